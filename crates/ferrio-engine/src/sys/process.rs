//! Child processes by their numbers: how one ended, and signals.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, WaitId, WaitIdOptions};

use super::check;

/// How a child ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    Exited(i32),
    Killed(i32),
}

/// How the child ended, if it has. With `keep` it can be waited for again; otherwise its number becomes free.
pub(crate) fn wait(pid: i32, keep: bool) -> io::Result<Option<Ending>> {
    wait_id(WaitId::Pid(process(pid)?), keep)
}

pub(super) fn wait_id(id: WaitId<'_>, keep: bool) -> io::Result<Option<Ending>> {
    let mut options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
    options.set(WaitIdOptions::NOWAIT, keep);
    Ok(rustix::process::waitid(id, options)?.map(|ended| match ended.exit_status() {
        Some(status) => Ending::Exited(status),
        None => Ending::Killed(ended.terminating_signal().unwrap_or(0)),
    }))
}

pub(super) fn process(pid: i32) -> io::Result<Pid> {
    // The kernel's error for numbers that no process can have.
    let invalid = || io::Error::from_raw_os_error(libc::EINVAL);
    Some(pid).filter(|pid| *pid > 0).and_then(Pid::from_raw).ok_or_else(invalid)
}

/// Sends a signal.
pub(crate) fn signal(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: takes numbers only.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// Blocks until the process behind a descriptor of `end_of_child` has ended.
pub(crate) fn wait_for_end(fd: BorrowedFd<'_>) {
    let mut asked = [PollFd::from_borrowed_fd(fd, PollFlags::IN)];
    while rustix::event::poll(&mut asked, None) == Err(rustix::io::Errno::INTR) {}
}
