//! Raw calls on sockets, pipes and files that are sent over sockets. None of them blocks, but for a file that must be read
//! from its disk first.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};

use super::{check, owned};

/// Receives into `buffer`, whether or not the socket is non-blocking.
#[inline]
pub(crate) fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes into memory that is borrowed for the call; a bad `fd` yields an error.
    let count = unsafe { libc::recv(fd, buffer.as_mut_ptr().cast(), buffer.len(), libc::MSG_DONTWAIT) };
    checked_size(count)
}

/// As [`receive`], into memory that nobody has written yet.
#[inline]
pub(crate) fn receive_into(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes into memory that is borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe { libc::recv(fd, room.as_mut_ptr().cast(), room.len(), libc::MSG_DONTWAIT) })
}

/// Sends what fits of `data`, whether or not the socket is non-blocking, and without SIGPIPE.
#[inline]
pub(crate) fn send(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: the kernel reads at most `len` bytes from memory that is borrowed for the call; a bad `fd` yields an error.
    let count = unsafe { libc::send(fd, data.as_ptr().cast(), data.len(), flags) };
    checked_size(count)
}

/// Sends what fits of `parts`, in order, as [`send`] does.
#[inline]
pub(crate) fn send_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    // SAFETY: a message of zeroes is one without address, control data and parts.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // `IoSlice` has the layout of `iovec` by its documentation; the kernel only reads them.
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    message.msg_iovlen = parts.len();
    // SAFETY: message and parts are borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe { libc::sendmsg(fd, &message, flags) })
}

/// Writes what fits of `data`.
#[inline]
pub(crate) fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most `len` bytes from memory that is borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })
}

/// Writes what fits of `parts`, in order.
#[inline]
pub(crate) fn write_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    let count = libc::c_int::try_from(parts.len()).unwrap_or(libc::c_int::MAX);
    // SAFETY: `IoSlice` has the layout of `iovec` by its documentation, and the kernel only reads the parts, which are borrowed
    // for the call; a bad `fd` or too many parts yield an error.
    checked_size(unsafe { libc::writev(fd, parts.as_ptr().cast(), count) })
}

/// The bits of a file's mode that say what kind of file it is.
pub(crate) fn file_type(fd: RawFd) -> io::Result<u32> {
    // SAFETY: zeroes are a valid `stat`.
    let mut status: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills in `status`, which outlives the call; a bad `fd` yields an error.
    check(unsafe { libc::fstat(fd, &mut status) })?;
    Ok(status.st_mode & libc::S_IFMT)
}

/// Puts the open file into non-blocking mode.
pub(crate) fn set_nonblocking(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only; a bad `fd` yields an error.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    if flags & libc::O_NONBLOCK == 0 {
        // SAFETY: as before.
        check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    }
    Ok(())
}

/// Whether there is room to write, an error or a hang-up now.
pub(crate) fn is_writable(fd: RawFd) -> io::Result<bool> {
    let mut asked = libc::pollfd { fd, events: libc::POLLOUT, revents: 0 };
    // SAFETY: `asked` is one valid pollfd for the length of the call, which doesn't wait.
    check(unsafe { libc::poll(&mut asked, 1, 0) }).map(|ready| ready > 0)
}

/// Closes the sending direction.
pub(crate) fn shut_down_sending(fd: RawFd) -> io::Result<()> {
    // SAFETY: takes numbers only; a bad `fd` yields an error.
    check(unsafe { libc::shutdown(fd, libc::SHUT_WR) }).map(drop)
}

/// Sends up to `count` bytes of the file `from`, beginning at `offset`, over `to`.
pub(crate) fn sendfile(to: RawFd, from: RawFd, offset: u64, count: usize) -> io::Result<usize> {
    let mut offset =
        libc::off_t::try_from(offset).map_err(|_| io::Error::from_raw_os_error(libc::EOVERFLOW))?;
    // SAFETY: the kernel updates `offset`, which outlives the call; bad descriptors yield an error.
    checked_size(unsafe { libc::sendfile(to, from, &mut offset, count) })
}

/// A pipe, both ends non-blocking and closed on exec: the end to read, the end to write.
pub(crate) fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the kernel writes two descriptors into `ends`.
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    Ok((owned(ends[0])?, owned(ends[1])?))
}

/// Reads into `buffer`.
pub(crate) fn read(fd: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes into memory that is borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe { libc::read(fd, buffer.as_mut_ptr().cast(), buffer.len()) })
}

#[inline]
pub(super) fn checked_size(size: isize) -> io::Result<usize> {
    usize::try_from(size).map_err(|_| io::Error::last_os_error())
}
