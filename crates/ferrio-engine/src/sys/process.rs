//! Child processes: process descriptors (pidfd), how a child ended, signals.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::process::{DumpableBehavior, Pid, PidfdFlags, WaitId, WaitIdOptions};

use super::check;

/// The process to wait for: its descriptor or its number.
#[derive(Copy, Clone)]
pub(crate) enum Target<'a> {
    Descriptor(BorrowedFd<'a>),
    Number(i32),
}

/// How a child ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Exited(i32),
    Killed(i32),
}

/// A descriptor of the process, closed on exec (Linux 5.3).
pub(crate) fn open(pid: i32) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(process(pid)?, PidfdFlags::empty())?)
}

/// How the child ended, if it has. With `keep` it can be waited for again; otherwise its number becomes free.
pub(crate) fn wait(target: Target<'_>, keep: bool) -> io::Result<Option<Ending>> {
    let id = match target {
        Target::Descriptor(fd) => WaitId::PidFd(fd),
        Target::Number(pid) => WaitId::Pid(process(pid)?),
    };
    let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    options.set(WaitIdOptions::NOWAIT, keep);
    Ok(rustix::process::waitid(id, options)?.map(|ended| match ended.exit_status() {
        Some(status) => Ending::Exited(status),
        None => Ending::Killed(ended.terminating_signal().unwrap_or(0)),
    }))
}

fn process(pid: i32) -> io::Result<Pid> {
    // The kernel's error for numbers that no process can have.
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(invalid)
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

/// Sends a signal to a process by its number.
pub(crate) fn signal_number(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Blocks until the process behind a descriptor has ended.
pub(crate) fn wait_for_end(fd: BorrowedFd<'_>) {
    let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    while rustix::event::poll(&mut asked, None) == Err(rustix::io::Errno::INTR) {}
}

/// Whether other processes of the same user may inspect this one, and a crash dumps its memory.
pub(crate) fn is_dumpable() -> bool {
    matches!(rustix::process::dumpable_behavior(), Ok(DumpableBehavior::Dumpable))
}

/// Makes this process dumpable.
pub(crate) fn make_dumpable() {
    // It can't fail with this argument.
    let _ = rustix::process::set_dumpable_behavior(DumpableBehavior::Dumpable);
}
