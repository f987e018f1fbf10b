//! Timerfds: timers that become readable when they expire.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

use crate::sys::timespec;

/// A new timerfd of `CLOCK_MONOTONIC`, non-blocking, closed on exec, not armed.
pub(crate) fn create() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Arms a timerfd to expire once after `timeout`, which must not be zero (zero disarms).
pub(crate) fn arm(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    let once = Itimerspec { it_interval: Timespec::default(), it_value: timespec(timeout) };
    rustix::time::timerfd_settime(fd, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}
