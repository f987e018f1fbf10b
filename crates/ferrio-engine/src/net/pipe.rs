//! Pipes and what passes for them: calls on descriptors that are read and written, not received from and sent to.

use std::io::{self, IoSlice};
use std::os::fd::RawFd;

use super::{Attempt, attempt};
use crate::sys;

/// What kind of file a descriptor stands for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FileKind {
    /// A pipe or a FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A terminal or another character device.
    Character,
    /// A regular file, a directory, a disk.
    Other,
}

/// What kind of file `fd` stands for.
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

/// Puts the open file behind `fd` into non-blocking mode, for everybody who has it open.
///
/// # Errors
///
/// The kernel's, for a closed descriptor.
pub fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    sys::socket::set_nonblocking(fd)
}

/// Reads into `buffer`; of a descriptor in blocking mode only call it when it is ready.
///
/// # Errors
///
/// The kernel's; a terminal whose other end has gone answers with `EIO`.
#[inline]
pub fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<Attempt> {
    attempt(|| sys::socket::read(fd, buffer))
}

/// Writes as much of `data` as fits.
///
/// # Errors
///
/// The kernel's; `BrokenPipe` also sends the signal of that name, which Python ignores from its start on.
#[inline]
pub fn write(fd: RawFd, data: &[u8]) -> io::Result<Attempt> {
    attempt(|| sys::socket::write(fd, data))
}

/// Writes as much of `parts` as fits, in order and in one system call, which takes [`MOST_PARTS`](super::MOST_PARTS) at most;
/// otherwise as [`write`].
///
/// # Errors
///
/// Those of [`write`].
#[inline]
pub fn write_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<Attempt> {
    attempt(|| sys::socket::write_parts(fd, parts))
}
