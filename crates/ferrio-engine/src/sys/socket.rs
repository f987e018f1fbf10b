//! Sockets and pipes. None of these calls blocks, but `sendfile` if its file has to be read from disk first.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::fs::OFlags;
use rustix::net::{RecvFlags, SendAncillaryBuffer, Shutdown};

use super::datagram::{AddressBytes, LARGEST_ADDRESS};
use super::linux::socket::SEND;
pub(crate) use super::linux::socket::sendfile;
use super::{check, lend};

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
pub(crate) fn file_type(fd: RawFd) -> io::Result<libc::mode_t> {
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

/// Stores the socket's own address in `own`; returns its length.
pub(crate) fn local_address(fd: RawFd, own: &mut AddressBytes) -> io::Result<usize> {
    let mut length = LARGEST_ADDRESS as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into memory that is borrowed for the call and aligned for any address;
    // a bad `fd` yields an error.
    check(unsafe { libc::getsockname(fd, own.0.as_mut_ptr().cast(), &mut length) })?;
    Ok((length as usize).min(LARGEST_ADDRESS))
}

/// Reads into `buffer`.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(lend(fd), buffer)?)
}

#[inline]
pub(super) fn checked_size(size: isize) -> io::Result<usize> {
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}
