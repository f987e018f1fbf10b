//! Raw calls on child processes: process descriptors (pidfd), how a child ended, signals.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::{check, owned};

/// Who is waited for: a process descriptor, or the number of a process.
#[derive(Copy, Clone)]
pub(crate) enum Whom<'a> {
    Descriptor(BorrowedFd<'a>),
    Number(i32),
}

/// How a child ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum HowEnded {
    Exited(i32),
    Killed(i32),
}

/// A descriptor of the process, closed on exec (Linux 5.3).
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: takes numbers only. The raw system call because glibc wraps it since 2.36 only.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) as libc::c_int })
}

/// How the child ended, if it has; `keep` leaves it for another call, else its number is free afterwards.
pub(crate) fn wait(whom: Whom<'_>, keep: bool) -> io::Result<Option<HowEnded>> {
    let (kind, id) = match whom {
        Whom::Descriptor(fd) => (libc::P_PIDFD, fd.as_raw_fd()),
        Whom::Number(pid) => (libc::P_PID, pid),
    };
    let options = libc::WEXITED | libc::WNOHANG | if keep { libc::WNOWAIT } else { 0 };
    // SAFETY: zeroes are a valid `siginfo_t`.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills in `info`, which outlives the call; a bad id yields an error.
    check(unsafe { libc::waitid(kind, id as libc::id_t, &mut info, options) })?;
    // SAFETY: `waitid` writes the fields of SIGCHLD, or leaves the zeroes where no child has ended.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    if pid == 0 {
        return Ok(None);
    }
    Ok(Some(if info.si_code == libc::CLD_EXITED {
        HowEnded::Exited(status)
    } else {
        HowEnded::Killed(status)
    }))
}

/// How the process behind a descriptor ended, whoever has waited for it (Linux 6.15); `None` if the kernel does not say.
pub(crate) fn exit_info(fd: BorrowedFd<'_>) -> Option<HowEnded> {
    /// `struct pidfd_info` in its first version, of 64 bytes.
    #[repr(C)]
    struct Info {
        mask: u64,
        cgroup: u64,
        numbers: [u32; 11],
        exit_code: i32,
    }
    const EXIT: u64 = 1 << 3;
    const GET_INFO: u32 = 3 << 30 | (size_of::<Info>() as u32) << 16 | 0xff << 8 | 11;
    let mut info = Info { mask: EXIT, cgroup: 0, numbers: [0; 11], exit_code: 0 };
    // SAFETY: the request's number tells the kernel the size of `info`, which outlives the call.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), GET_INFO as libc::Ioctl, &mut info) };
    if outcome != 0 || info.mask & EXIT == 0 {
        return None;
    }
    Some(if libc::WIFEXITED(info.exit_code) {
        HowEnded::Exited(libc::WEXITSTATUS(info.exit_code))
    } else {
        HowEnded::Killed(libc::WTERMSIG(info.exit_code))
    })
}

/// Sends a signal to the process behind a descriptor.
pub(crate) fn signal(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without a `siginfo_t` the kernel makes one up as `kill` does; bad numbers yield an error.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, no_info, 0) };
    check(outcome as libc::c_int).map(drop)
}

/// Sends a signal to a process by its number.
pub(crate) fn signal_number(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Waits until the process behind a descriptor has ended, however long that takes.
pub(crate) fn wait_for_end(fd: BorrowedFd<'_>) {
    let mut asked = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    loop {
        // SAFETY: the kernel reads and writes one `pollfd`.
        let outcome = unsafe { libc::poll(&raw mut asked, 1, -1) };
        if outcome != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return;
        }
    }
}

/// Whether others of the same user may look into this process, and a crash leaves its memory.
pub(crate) fn is_dumpable() -> bool {
    // SAFETY: takes no pointers, and can't fail.
    unsafe { libc::prctl(libc::PR_GET_DUMPABLE) == 1 }
}

/// Makes it so.
pub(crate) fn make_dumpable() {
    // SAFETY: takes numbers only, and can't fail with this one.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
}
