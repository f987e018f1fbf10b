//! Raw calls on files. All but [`read_cached`] may wait for a disk.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use super::socket::checked_size;
use super::{check, owned};

/// What `fstat` says of a descriptor, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) regular: bool,
    /// Whether a folder has it still.
    pub(crate) linked: bool,
    /// Bytes; zero for what has no size.
    pub(crate) size: u64,
}

/// Opens `path`, closed on exec; what is created may be read and written by all whom the umask lets.
pub(crate) fn open(path: &CStr, flags: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: `path` ends with a zero and is only read.
    owned(unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o666 as libc::c_uint) })
}

/// Kind and size of an open file.
pub(crate) fn status(fd: RawFd) -> io::Result<Status> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the kernel writes a `stat` into memory of that type; a bad `fd` yields an error.
    check(unsafe { libc::fstat(fd, status.as_mut_ptr()) })?;
    // SAFETY: written by the call that succeeded, and zeroes are a valid `stat` too.
    let status = unsafe { status.assume_init() };
    let regular = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    let linked = status.st_nlink > 0;
    Ok(Status { regular, linked, size: u64::try_from(status.st_size).unwrap_or(0) })
}

/// The file's position.
pub(crate) fn position(fd: RawFd) -> io::Result<u64> {
    // SAFETY: takes no pointers; a bad `fd` yields an error.
    let position = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    u64::try_from(position).map_err(|_| io::Error::last_os_error())
}

/// Reads at the file's position into memory that nobody has written yet.
pub(crate) fn read(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    // SAFETY: the kernel writes at most `len` bytes into memory that is borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe { libc::read(fd, room.as_mut_ptr().cast(), room.len()) })
}

/// As [`read`], at most `most` bytes, into the room behind what `memory` holds.
pub(crate) fn read_behind(fd: RawFd, memory: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let room = memory.spare_capacity_mut();
    let length = room.len().min(most);
    let count = read(fd, &mut room[..length])?;
    // SAFETY: the kernel has written so many bytes of the spare capacity.
    unsafe { memory.set_len(memory.len() + count) };
    Ok(count)
}

/// As [`read`], but fails with `EAGAIN` rather than wait for a disk, and with `EOPNOTSUPP` where the file system can't tell.
pub(crate) fn read_cached(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: one part, whose memory is borrowed for the call; offset -1 is the file's position; a bad `fd` yields an error.
    checked_size(unsafe { libc::preadv2(fd, &raw const part, 1, -1, libc::RWF_NOWAIT) })
}

/// Whether the byte at `offset` from the file's position can be read without waiting for a disk, or is beyond the end.
///
/// Fails as [`read_cached`] does, and where there is no position.
pub(crate) fn is_cached(fd: RawFd, offset: i64) -> io::Result<bool> {
    let position = position(fd)? as libc::off_t;
    let mut byte = MaybeUninit::<u8>::uninit();
    let part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    // SAFETY: one part of one byte, which lives until the call is over.
    match checked_size(unsafe { libc::preadv2(fd, &raw const part, 1, position + offset, libc::RWF_NOWAIT) })
    {
        Ok(_) => Ok(true),
        Err(failure) if failure.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(failure) => Err(failure),
    }
}

/// Has `length` bytes from the file's position on read from their disk, and does not move the position.
pub(crate) fn warm(fd: RawFd, length: usize) -> io::Result<()> {
    let mut position = position(fd)? as libc::off_t;
    let mut scratch = vec![MaybeUninit::<u8>::uninit(); length.min(1 << 16)];
    let mut left = length;
    while left > 0 {
        let piece = left.min(scratch.len());
        // SAFETY: the kernel writes at most `piece` bytes into memory that has so many.
        let count = unsafe { libc::pread(fd, scratch.as_mut_ptr().cast(), piece, position) };
        let count = checked_size(count)?;
        if count == 0 {
            break;
        }
        position += count as libc::off_t;
        left -= count;
    }
    Ok(())
}

/// Writes at the file's position what it takes of `data`.
pub(crate) fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    // SAFETY: the kernel reads at most `len` bytes from memory that is borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe { libc::write(fd, data.as_ptr().cast(), data.len()) })
}

/// Closes the descriptor and says what the system said, which `drop` does not.
pub(crate) fn close(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: a descriptor that was owned here, and is given up.
    check(unsafe { libc::close(fd.into_raw_fd()) }).map(drop)
}
