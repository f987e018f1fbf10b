//! Descriptors that are made with their flags, so that no child of another thread inherits them.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::pipe::PipeFlags;

use crate::sys::check;

/// A pipe with both ends non-blocking and closed on exec: the reading end, then the writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// Makes `old`'s number refer to the open file of `new`; closed on exec.
pub(crate) fn replace(old: BorrowedFd<'_>, new: &OwnedFd) -> io::Result<()> {
    // SAFETY: takes no pointers; both descriptors are open, and `old`'s owner still owns its number.
    check(unsafe { libc::dup3(new.as_raw_fd(), old.as_raw_fd(), libc::O_CLOEXEC) }).map(drop)
}
