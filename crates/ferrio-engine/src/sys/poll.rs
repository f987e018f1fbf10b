//! `poll(2)`, and how to tell whether a descriptor's number still means the same file.

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

pub(crate) use rustix::event::PollFlags;
use rustix::fs::FileType;

use super::{lend, timespec};

/// One descriptor to look at, and what was seen.
pub(crate) type Asked = rustix::event::PollFd<'static>;

/// Asks for `flags` of a descriptor. Errors and hang-ups are always seen.
pub(crate) fn ask(fd: RawFd, flags: PollFlags) -> Asked {
    Asked::from_borrowed_fd(lend(fd), flags)
}

/// Asks for nothing at all: negative numbers are skipped.
pub(crate) fn ask_nothing() -> Asked {
    ask(-1, PollFlags::empty())
}

/// Waits until one of `asked` is ready; `None` means for ever. Returns how many are.
pub(crate) fn wait(asked: &mut [Asked], timeout: Option<Duration>) -> io::Result<usize> {
    Ok(rustix::event::poll(asked, timeout.map(timespec).as_ref())?)
}

/// The file behind a descriptor: its device and its number there. Kinds of files without a place of their own (eventfds) may
/// share one.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct File(u64, u64);

/// The file behind a descriptor, and whether it can be waited for: regular files, directories and disks are always ready.
#[allow(clippy::unnecessary_cast, reason = "the numbers have other types on other systems")]
pub(crate) fn file(fd: RawFd) -> io::Result<(File, bool)> {
    let status = rustix::fs::fstat(lend(fd))?;
    let kind = FileType::from_raw_mode(status.st_mode);
    let waits = !matches!(kind, FileType::RegularFile | FileType::Directory | FileType::BlockDevice);
    Ok((File(status.st_dev as u64, status.st_ino as u64), waits))
}

/// How many bytes of input there are; zero if the descriptor can't tell.
pub(crate) fn pending(fd: RawFd) -> u64 {
    rustix::io::ioctl_fionread(lend(fd)).unwrap_or(0)
}
