//! Raw calls on child processes: process descriptors (pidfd), how a child ended, signals.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::check;

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
    Ok(rustix::process::pidfd_open(process(pid)?, PidfdFlags::empty())?)
}

/// How the child ended, if it has; `keep` leaves it for another call, else its number is free afterwards.
pub(crate) fn wait(whom: Whom<'_>, keep: bool) -> io::Result<Option<HowEnded>> {
    let id = match whom {
        Whom::Descriptor(fd) => WaitId::PidFd(fd),
        Whom::Number(pid) => WaitId::Pid(process(pid)?),
    };
    let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    options.set(WaitIdOptions::NOWAIT, keep);
    Ok(rustix::process::waitid(id, options)?.map(|ended| match ended.exit_status() {
        Some(status) => HowEnded::Exited(status),
        None => HowEnded::Killed(ended.terminating_signal().unwrap_or(0)),
    }))
}

fn process(pid: i32) -> io::Result<Pid> {
    // The kernel's own answer to numbers that no process has.
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(invalid)
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
    let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    while rustix::event::poll(&mut asked, None) == Err(rustix::io::Errno::INTR) {}
}

/// Whether others of the same user may look into this process, and a crash leaves its memory.
pub(crate) fn is_dumpable() -> bool {
    matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::Dumpable))
}

/// Makes it so.
pub(crate) fn make_dumpable() {
    // It can't fail with this argument.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
}
