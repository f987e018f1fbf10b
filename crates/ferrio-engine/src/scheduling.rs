//! How much a thread has run, and how long it had to wait for a CPU.

use crate::sys;
use crate::watchdog::Usage;

/// What the thread with this number has used; zeros if it is gone.
pub fn usage(thread: u32) -> Usage {
    Usage {
        cpu: sys::thread_cpu_nanos(thread).unwrap_or(0),
        queued: sys::task_file(thread, "schedstat").and_then(|text| queued_in(&text)),
        runnable: sys::task_file(thread, "stat").is_some_and(|text| is_running_in(&text)),
    }
}

/// The second number of `/proc/self/task/N/schedstat`: nanoseconds of waiting for a CPU.
fn queued_in(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Whether `/proc/self/task/N/stat` shows the state "R". The name before it may have any characters, even parentheses.
fn is_running_in(text: &str) -> bool {
    text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('R'))
}
