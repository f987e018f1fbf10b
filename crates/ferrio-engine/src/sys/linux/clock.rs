//! What only Linux says of time: a cheap clock, and how late it may end a wait.

use std::io;

use rustix::time::ClockId;

use crate::clock::Nanos;
use crate::sys::read_clock;

/// `CLOCK_MONOTONIC` at the kernel's last tick (1 to 10 ms ago), for a fraction of the cost.
#[inline]
pub(crate) fn coarse_nanos() -> Nanos {
    read_clock(ClockId::MonotonicCoarse)
}

/// The calling thread's timer slack in nanoseconds: how much later than asked the kernel may end a wait.
pub(crate) fn timer_slack() -> io::Result<u64> {
    Ok(rustix::thread::current_timer_slack()?)
}

/// Whether the calling thread is niced, that is, has a lower priority than normal. The slack is greater then.
pub(crate) fn is_niced() -> bool {
    rustix::process::getpriority_process(None).is_ok_and(|priority| priority > 0)
}
