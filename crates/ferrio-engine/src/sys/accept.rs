//! The raw call that accepts a connection.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::owned;

/// Accepts a connection, non-blocking and closed on exec.
pub(crate) fn accept(fd: RawFd) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes no address where it is given null pointers; a bad `fd` yields an error.
    owned(unsafe { libc::accept4(fd, std::ptr::null_mut(), std::ptr::null_mut(), flags) })
}
