//! Epoll: the set, its entries, and the waits.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;

pub(crate) use rustix::event::epoll::EventFlags;
use rustix::event::epoll::{self, Event, EventData};
use rustix::time::Timespec;

use crate::sys::{check, lend, timespec};

/// A new epoll instance, closed on exec.
pub(crate) fn create() -> io::Result<OwnedFd> {
    Ok(epoll::create(epoll::CreateFlags::CLOEXEC)?)
}

/// Watches `fd`.
pub(crate) fn add(epoll: impl AsFd, fd: RawFd, events: EventFlags, token: u64) -> io::Result<()> {
    Ok(epoll::add(epoll, lend(fd), EventData::new_u64(token), events)?)
}

/// Changes what `fd` is watched for.
pub(crate) fn modify(epoll: impl AsFd, fd: RawFd, events: EventFlags, token: u64) -> io::Result<()> {
    Ok(epoll::modify(epoll, lend(fd), EventData::new_u64(token), events)?)
}

/// Stops watching `fd`.
pub(crate) fn delete(epoll: impl AsFd, fd: RawFd) -> io::Result<()> {
    Ok(epoll::delete(epoll, lend(fd))?)
}

/// Waits for events, for ever or not at all; returns how many came.
pub(crate) fn wait(epoll: BorrowedFd<'_>, events: &mut [Event], forever: bool) -> io::Result<usize> {
    const NOW: Timespec = Timespec { tv_sec: 0, tv_nsec: 0 };
    Ok(epoll::wait(epoll, events, if forever { None } else { Some(&NOW) })?)
}

/// Like [`wait`], for at most `timeout`, with nanosecond precision (Linux 5.11 and later; `ENOSYS` before).
pub(crate) fn wait_for(epoll: BorrowedFd<'_>, events: &mut [Event], timeout: Duration) -> io::Result<usize> {
    let timeout = timespec(timeout);
    // SAFETY: the kernel writes at most `len` events into borrowed memory, reads one timespec, and takes no signal mask from a
    // null pointer. The raw call, because rustix makes it only for programs that require such a kernel.
    let count = check(unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            events.as_mut_ptr(),
            libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX),
            &raw const timeout,
            std::ptr::null::<libc::sigset_t>(),
            0usize,
        ) as libc::c_int
    })?;
    Ok(count as usize)
}
