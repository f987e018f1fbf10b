//! Process descriptors (pidfd), which become readable when the process ends.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{PidfdFlags, WaitId};

use crate::sys::check;
use crate::sys::process::{Ending, process, wait_id};

/// A descriptor of the process, closed on exec (Linux 5.3).
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(process(pid)?, PidfdFlags::empty())?)
}

/// How the child ended, if it has. With `keep` it can be waited for again; otherwise its number becomes free.
pub(crate) fn wait(fd: BorrowedFd<'_>, keep: bool) -> io::Result<Option<Ending>> {
    wait_id(WaitId::PidFd(fd), keep)
}

/// How the process behind a descriptor ended, even after other code has waited for it (Linux 6.15). `None` if the kernel
/// doesn't say.
pub(crate) fn exit_info(fd: BorrowedFd<'_>) -> Option<Ending> {
    /// The first version of `struct pidfd_info`, 64 bytes long.
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
        Ending::Exited(libc::WEXITSTATUS(info.exit_code))
    } else {
        Ending::Killed(libc::WTERMSIG(info.exit_code))
    })
}

/// Sends a signal to the process behind a descriptor.
pub(crate) fn signal(fd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: without a `siginfo_t` the kernel fills one in, as for `kill`; bad numbers yield an error.
    let outcome = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal, no_info, 0) };
    check(outcome as libc::c_int).map(drop)
}
