//! Sockets, pipes, and files sent over sockets. None of these calls blocks, unless a file has to be read from disk first.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, Shutdown};
use rustix::pipe::PipeFlags;

use super::lend;

/// Don't wait and don't raise SIGPIPE.
const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Receives into `buffer`. Never blocks, even if the socket is in blocking mode.
#[inline]
pub(crate) fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(lend(fd), buffer, RecvFlags::DONTWAIT)?.1)
}

/// Like [`receive`], into uninitialised memory.
#[inline]
pub(crate) fn receive_into(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    Ok(rustix::net::recv(lend(fd), room, RecvFlags::DONTWAIT)?.1)
}

/// Sends as much of `data` as fits. Never blocks, even if the socket is in blocking mode, and raises no SIGPIPE.
#[inline]
pub(crate) fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(lend(fd), data, SEND)?)
}

/// Sends as much of `parts` as fits, in order, like [`send`].
#[inline]
pub(crate) fn send_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::net::sendmsg(lend(fd), parts, &mut SendAncillaryBuffer::default(), SEND)?)
}

/// Writes as much of `data` as fits.
#[inline]
pub(crate) fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(lend(fd), data)?)
}

/// Writes as much of `parts` as fits, in order, from the first ones that the kernel takes in one call.
#[inline]
pub(crate) fn write_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    Ok(rustix::io::writev(lend(fd), parts)?)
}

/// The file-type bits of a file's mode.
pub(crate) fn file_type(fd: RawFd) -> io::Result<u32> {
    Ok(rustix::fs::fstat(lend(fd))?.st_mode & libc::S_IFMT)
}

/// Puts the open file into non-blocking mode.
pub(crate) fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(lend(fd))?;
    if !flags.contains(OFlags::NONBLOCK) {
        rustix::fs::fcntl_setfl(lend(fd), flags | OFlags::NONBLOCK)?;
    }
    Ok(())
}

/// Whether writing is possible now, or there is an error or a hang-up.
pub(crate) fn is_writable(fd: RawFd) -> io::Result<bool> {
    let fd = lend(fd);
    let mut asked = [PollFd::new(&fd, PollFlags::OUT)];
    Ok(rustix::event::poll(&mut asked, Some(&Timespec::default()))? > 0)
}

/// Whether reading becomes possible within `timeout`, or there is an error or a hang-up.
pub(crate) fn is_readable_within(fd: RawFd, timeout: Duration) -> io::Result<bool> {
    let fd = lend(fd);
    let mut asked = [PollFd::new(&fd, PollFlags::IN)];
    let timeout = Timespec::try_from(timeout).unwrap_or_default();
    Ok(rustix::event::poll(&mut asked, Some(&timeout))? > 0)
}

/// Closes the sending direction.
pub(crate) fn shut_down_sending(fd: RawFd) -> io::Result<()> {
    Ok(rustix::net::shutdown(lend(fd), Shutdown::Write)?)
}

/// Sends up to `count` bytes of the file `from`, starting at `offset`, over `to`.
pub(crate) fn sendfile(to: RawFd, from: RawFd, mut offset: u64, count: usize) -> io::Result<usize> {
    if i64::try_from(offset).is_err() {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    }
    Ok(rustix::fs::sendfile(lend(to), lend(from), Some(&mut offset), count)?)
}

/// A pipe with both ends non-blocking and closed on exec: the reading end, then the writing end.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?)
}

/// Reads into `buffer`.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(lend(fd), buffer)?)
}

#[inline]
pub(super) fn checked_size(size: isize) -> io::Result<usize> {
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}
