//! How much a thread has run, and how long it had to wait for a CPU.

use crate::sys::thread as sys;
use crate::watchdog::Usage;

/// What the thread with this number has used; zeros if it is gone.
pub fn usage(thread: u32) -> Usage {
    Usage {
        cpu: sys::cpu_nanos(thread).unwrap_or(0),
        queued: sys::queued_nanos(thread),
        runnable: sys::is_runnable(thread),
    }
}
