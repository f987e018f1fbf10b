//! Reading what the page cache has, without waiting for a disk.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

use rustix::io::ReadWriteFlags;

use crate::sys::file::position;
use crate::sys::lend;
use crate::sys::socket::checked_size;

/// Reads at the file's position into uninitialised memory. Fails with `EAGAIN` instead of waiting for a disk, and with `EOPNOTSUPP` if the file system can't tell.
pub(crate) fn read(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    let part = libc::iovec { iov_base: room.as_mut_ptr().cast(), iov_len: room.len() };
    // SAFETY: one part, whose memory is borrowed for the call; offset -1 is the file's position; a bad `fd` yields an error.
    checked_size(unsafe { libc::preadv2(fd, &raw const part, 1, -1, libc::RWF_NOWAIT) })
}

/// Whether the byte at `offset` from the file's position can be read without waiting for a disk. True beyond the end.
///
/// Fails like [`read`], and if the file has no position.
pub(crate) fn is_cached(fd: RawFd, offset: u64) -> io::Result<bool> {
    let place = position(fd)?.saturating_add(offset);
    let mut byte = [0];
    let mut parts = [IoSliceMut::new(&mut byte)];
    match rustix::io::preadv2(lend(fd), &mut parts, place, ReadWriteFlags::NOWAIT) {
        Ok(_) => Ok(true),
        Err(rustix::io::Errno::AGAIN) => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}
