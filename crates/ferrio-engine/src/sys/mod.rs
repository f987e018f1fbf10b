//! The only raw libc of the engine: clock, epoll, eventfd, timerfd here, sockets and pipes in `socket.rs`, datagrams in
//! `datagram.rs`, child processes in `process.rs`, how they begin in `spawn.rs` and `child.rs`, files in `file.rs`, loaded objects in
//! `object.rs`, the end of a thread in `thread_end.rs`, each as one safe function.
//!
//! No policy lives here: a function makes one system call and turns -1 into an `io::Error`.
#![allow(unsafe_code, reason = "system calls have no safe form; every block states what makes it sound")]

pub(crate) mod accept;
mod child;
pub(crate) mod datagram;
pub(crate) mod file;
pub(crate) mod object;
pub(crate) mod process;
pub(crate) mod socket;
pub(crate) mod spawn;
pub(crate) mod thread_end;

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use crate::clock::Nanos;

/// `CLOCK_MONOTONIC` in nanoseconds.
#[inline]
pub(crate) fn monotonic_nanos() -> Nanos {
    read_clock(libc::CLOCK_MONOTONIC)
}

/// The same, as of the kernel's last tick (1 to 10 ms ago), for a fraction of the cost.
#[inline]
pub(crate) fn coarse_nanos() -> Nanos {
    read_clock(libc::CLOCK_MONOTONIC_COARSE)
}

#[inline]
fn read_clock(clock: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to; these clocks exist on every Linux, so the call can't fail.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A new epoll instance, closed on exec.
pub(crate) fn epoll_create() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })
}

/// Adds, changes or removes (`operation`) the interest of `epoll` in `fd`.
pub(crate) fn epoll_control(
    epoll: impl AsFd,
    operation: libc::c_int,
    fd: RawFd,
    events: u32,
    token: u64,
) -> io::Result<()> {
    let mut event = libc::epoll_event { events, u64: token };
    // SAFETY: `event` is a valid epoll_event for the length of the call; a bad `fd` yields EBADF.
    check(unsafe { libc::epoll_ctl(epoll.as_fd().as_raw_fd(), operation, fd, &mut event) }).map(drop)
}

/// Waits for events, `most` of them or what `buffer` (which is emptied first) has room for, without limit or not at all.
pub(crate) fn epoll_wait(
    epoll: BorrowedFd<'_>,
    buffer: &mut Vec<libc::epoll_event>,
    most: usize,
    forever: bool,
) -> io::Result<()> {
    buffer.clear();
    let timeout = if forever { -1 } else { 0 };
    // SAFETY: the kernel writes at most `capacity` events into memory that `buffer` owns.
    let count = check(unsafe {
        libc::epoll_wait(epoll.as_raw_fd(), buffer.as_mut_ptr(), capacity(buffer, most), timeout)
    })?;
    // SAFETY: the kernel has initialised `count` events, no more than the capacity.
    unsafe { buffer.set_len(count as usize) };
    Ok(())
}

/// As [`epoll_wait`], for at most `timeout`, which the kernel takes in nanoseconds (Linux 5.11 and later; else ENOSYS).
pub(crate) fn epoll_pwait2(
    epoll: BorrowedFd<'_>,
    buffer: &mut Vec<libc::epoll_event>,
    most: usize,
    timeout: Duration,
) -> io::Result<()> {
    buffer.clear();
    let timeout = timespec(timeout);
    // SAFETY: the kernel writes at most `capacity` events into memory that `buffer` owns, reads one timespec, and takes no
    // signal mask from a null pointer. The raw system call because glibc wraps it since 2.35 only.
    let count = check(unsafe {
        libc::syscall(
            libc::SYS_epoll_pwait2,
            epoll.as_raw_fd(),
            buffer.as_mut_ptr(),
            capacity(buffer, most),
            &raw const timeout,
            std::ptr::null::<libc::sigset_t>(),
            0usize,
        ) as libc::c_int
    })?;
    // SAFETY: the kernel has initialised `count` events, no more than the capacity.
    unsafe { buffer.set_len(count as usize) };
    Ok(())
}

/// A new eventfd, non-blocking, closed on exec, at zero.
pub(crate) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })
}

/// Adds one to an eventfd.
pub(crate) fn eventfd_add(fd: BorrowedFd<'_>) -> io::Result<()> {
    let one = 1u64;
    // SAFETY: reads eight bytes from `one`.
    let written = unsafe { libc::write(fd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    check(written as libc::c_int).map(drop)
}

/// Sets an eventfd back to zero.
pub(crate) fn eventfd_reset(fd: BorrowedFd<'_>) -> io::Result<()> {
    let mut count = 0u64;
    // SAFETY: writes eight bytes into `count`.
    let read = unsafe { libc::read(fd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    check(read as libc::c_int).map(drop)
}

/// A new timerfd of `CLOCK_MONOTONIC`, non-blocking, closed on exec, not armed.
pub(crate) fn timerfd() -> io::Result<OwnedFd> {
    // SAFETY: takes no pointers.
    owned(unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) })
}

/// Arms a timerfd to expire once after `timeout`, which must not be zero (zero disarms).
pub(crate) fn timerfd_arm(fd: BorrowedFd<'_>, timeout: Duration) -> io::Result<()> {
    let once = libc::itimerspec {
        it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 },
        it_value: timespec(timeout),
    };
    // SAFETY: `once` is a valid itimerspec; the old value may be null.
    check(unsafe { libc::timerfd_settime(fd.as_raw_fd(), 0, &once, std::ptr::null_mut()) }).map(drop)
}

/// The calling thread's timer slack in nanoseconds: how much later than asked the kernel may end a wait.
pub(crate) fn timer_slack() -> io::Result<u64> {
    // SAFETY: takes no pointers.
    check(unsafe { libc::prctl(libc::PR_GET_TIMERSLACK) }).map(|slack| slack as u64)
}

/// Whether the calling thread is niced, that is, of lower priority than normal.
pub(crate) fn is_niced() -> bool {
    // SAFETY: takes no pointers. It can't fail for the calling thread, and -1 is a priority too.
    unsafe { libc::getpriority(libc::PRIO_PROCESS, 0) > 0 }
}

/// The number of the CPU that runs the calling thread.
#[inline]
pub(crate) fn current_cpu() -> u32 {
    // SAFETY: takes no pointers. Linux has had the call since 2.6.19; -1 would be the number of no CPU.
    unsafe { libc::sched_getcpu() as u32 }
}

fn timespec(duration: Duration) -> libc::timespec {
    // The kernel refuses more seconds than it can count; nobody lives to see the difference.
    libc::timespec {
        tv_sec: duration.as_secs().min(i32::MAX as u64) as libc::time_t,
        tv_nsec: duration.subsec_nanos() as libc::c_long,
    }
}

fn capacity(buffer: &Vec<libc::epoll_event>, most: usize) -> libc::c_int {
    libc::c_int::try_from(buffer.capacity().min(most)).unwrap_or(libc::c_int::MAX)
}

/// Makes the number of `old` mean what `new` means; closed on exec.
pub(crate) fn replace(old: BorrowedFd<'_>, new: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes no pointers; both descriptors are open, and who owns `old` goes on owning its number.
    check(unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}

fn owned(fd: libc::c_int) -> io::Result<OwnedFd> {
    let fd = check(fd)?;
    // SAFETY: a new descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
