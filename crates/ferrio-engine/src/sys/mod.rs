//! The engine's system calls, each as one safe function; no policy lives here.
//!
//! They are rustix's wherever that has a safe form at no cost. rustix goes through libc, so a library that is preloaded in
//! front of libc (`LD_PRELOAD`) sees the same calls as without it. Raw libc remains where rustix has no call, or has one that
//! copies more. Clock, eventfd and timerfd are here; each other file is named after what it calls.
#![allow(unsafe_code, reason = "some system calls have no safe form; every block states what makes it sound")]

pub(crate) mod accept;
mod child;
pub(crate) mod datagram;
pub(crate) mod epoll;
pub(crate) mod file;
pub(crate) mod object;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod spawn;
mod thread;
pub(crate) mod thread_end;
pub(crate) mod ticks;

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::EventfdFlags;
use rustix::time::{ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

pub(crate) use self::thread::{task_file, thread_cpu_nanos, thread_number};
use crate::clock::Nanos;

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub(crate) fn monotonic_nanos() -> Nanos {
    read_clock(ClockId::Monotonic)
}

/// The same at the kernel's last tick (1 to 10 ms ago), for a fraction of the cost.
#[inline]
pub(crate) fn coarse_nanos() -> Nanos {
    read_clock(ClockId::MonotonicCoarse)
}

#[inline]
fn read_clock(clock: ClockId) -> Nanos {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A new eventfd, non-blocking, closed on exec, at zero.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    Ok(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Adds one to an eventfd.
pub(crate) fn eventfd_add(fd: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(fd, &1u64.to_ne_bytes())?;
    Ok(())
}

/// Sets an eventfd back to zero.
pub(crate) fn eventfd_reset(fd: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::read(fd, &mut [0; 8])?;
    Ok(())
}

/// A new timerfd of `CLOCK_MONOTONIC`, non-blocking, closed on exec, not armed.
pub(crate) fn timerfd() -> io::Result<OwnedFd> {
    let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
    Ok(rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?)
}

/// Arms a timerfd to expire once after `timeout`, which must not be zero (zero disarms).
pub(crate) fn timerfd_arm(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    let once = Itimerspec { it_interval: Timespec::default(), it_value: timespec(timeout) };
    rustix::time::timerfd_settime(fd, TimerfdTimerFlags::empty(), &once)?;
    Ok(())
}

/// The calling thread's timer slack in nanoseconds: how much later than asked the kernel may end a wait.
pub(crate) fn timer_slack() -> io::Result<u64> {
    Ok(rustix::thread::current_timer_slack()?)
}

/// Whether the calling thread is niced, that is, has a lower priority than normal.
pub(crate) fn is_niced() -> bool {
    rustix::process::getpriority_process(None).is_ok_and(|priority| priority > 0)
}

/// The number of the CPU that runs the calling thread.
#[inline]
pub(crate) fn current_cpu() -> u32 {
    rustix::thread::sched_getcpu() as u32
}

/// The kernel refuses more seconds than it can count, so a longer time is cut to 68 years.
fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().min(i32::MAX as u64) as i64, tv_nsec: duration.subsec_nanos() as _ }
}

/// Makes `old`'s number refer to the open file of `new`; closed on exec.
pub(crate) fn replace(old: BorrowedFd<'_>, new: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes no pointers; both descriptors are open, and `old`'s owner still owns its number.
    check(unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}

/// Lends a descriptor to one system call. A number that isn't open makes the call fail with `EBADF`.
#[inline]
fn lend<'call>(fd: RawFd) -> BorrowedFd<'call> {
    // -1 is the one number that a `BorrowedFd` can't hold; the kernel refuses every other negative number the same way.
    let fd = if fd == -1 { RawFd::MIN } else { fd };
    // SAFETY: the number isn't -1. The caller keeps the descriptor open during the call, or wants to learn that it is closed. The
    // kernel checks the number, and no Rust code relies on it.
    unsafe { BorrowedFd::borrow_raw(fd) }
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
