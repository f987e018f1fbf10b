//! Pipes and similar files: calls on descriptors that use `read` and `write`, not `recv` and `send`.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use super::{Attempt, attempt};
use crate::sys;

/// The kind of an open file.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A pipe or a FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal or another character device.
    Character,
    /// A regular file, a directory or a block device.
    Other,
}

/// The kind of the open file `fd`.
///
/// # Errors
///
/// The kernel's, for a closed descriptor.
pub fn file_kind(fd: RawFd) -> io::Result<FileKind> {
    Ok(match sys::socket::file_type(fd)? {
        libc::S_IFIFO => FileKind::Pipe,
        libc::S_IFSOCK => FileKind::Socket,
        libc::S_IFCHR => FileKind::Character,
        _ => FileKind::Other,
    })
}

/// Puts the open file `fd` into non-blocking mode, for every process that shares it.
///
/// # Errors
///
/// The kernel's, for a closed descriptor.
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    sys::socket::set_nonblocking(fd)
}

/// Reads into `buffer`. If the descriptor is in blocking mode, call this only when it is ready.
///
/// # Errors
///
/// The kernel's; a terminal whose other end is gone returns `EIO`.
#[inline]
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<Attempt> {
    attempt(|| sys::socket::read(fd, buffer))
}

/// Writes as much of `data` as fits.
///
/// # Errors
///
/// The kernel's. `BrokenPipe` also raises SIGPIPE, which hosts usually ignore.
#[inline]
pub fn write(fd: RawFd, data: &[u8]) -> io::Result<Attempt> {
    attempt(|| sys::socket::write(fd, data))
}

/// Writes as much of `parts` as fits, in order and in one system call, which takes at most
/// [`MOST_PARTS`](super::MOST_PARTS) of them; otherwise like [`write`].
///
/// # Errors
///
/// Those of [`write`].
#[inline]
pub fn write_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<Attempt> {
    attempt(|| sys::socket::write_parts(fd, parts))
}
