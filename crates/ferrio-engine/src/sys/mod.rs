//! The engine's system calls, each as one safe function; no policy lives here.
//!
//! They are rustix's wherever that has a safe form at no cost. rustix goes through libc, so a library that is preloaded in
//! front of libc (`LD_PRELOAD`) sees the same calls as without it. Raw libc remains where rustix has no call, or has one that
//! copies more. Each file is named after what it calls; the monotonic clock is here.
//!
//! The files beside this one use what POSIX has, or what rustix has on every Unix. `linux` has the rest. Its head lists what
//! another system has to have in its place.
#![allow(unsafe_code, reason = "some system calls have no safe form; every block states what makes it sound")]

pub(crate) mod datagram;
pub(crate) mod file;
pub(crate) mod pipe;
pub(crate) mod poll;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod thread_end;

mod linux;

use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use rustix::time::{ClockId, Timespec};

pub(crate) use self::linux::{
    address, cached, clock, end_of_child, epoll, eventfd, events, object, replace, server, spawn, thread,
    ticks, timerfd,
};
use crate::clock::Nanos;

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub(crate) fn monotonic_nanos() -> Nanos {
    read_clock(ClockId::Monotonic)
}

#[inline]
fn read_clock(clock: ClockId) -> Nanos {
    let time = rustix::time::clock_gettime(clock);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// The kernel refuses more seconds than it can count, so a longer time is cut to 68 years.
fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs().min(i32::MAX as u64) as i64, tv_nsec: duration.subsec_nanos() as _ }
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
