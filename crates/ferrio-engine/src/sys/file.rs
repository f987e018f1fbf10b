//! Files. All of these calls may wait for a disk; `cached` has those that don't.

use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{IntoRawFd, OwnedFd, RawFd};

use rustix::fs::{FileType, Mode, OFlags};

use super::{check, lend};

/// The parts of `fstat`'s answer that matter here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) regular: bool,
    /// Whether a folder still contains it.
    pub(crate) linked: bool,
    /// Its size in bytes; zero if it has none.
    pub(crate) size: u64,
}

/// Opens `path`, closed on exec. The umask limits who may read and write a created file.
pub(crate) fn open(path: &CStr, flags: i32) -> io::Result<OwnedFd> {
    let flags = OFlags::from_bits_retain(flags as u32) | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::from_raw_mode(0o666))?)
}

/// Kind and size of an open file.
pub(crate) fn status(fd: RawFd) -> io::Result<Status> {
    let status = rustix::fs::fstat(lend(fd))?;
    let regular = FileType::from_raw_mode(status.st_mode).is_file();
    let linked = status.st_nlink > 0;
    Ok(Status { regular, linked, size: u64::try_from(status.st_size).unwrap_or(0) })
}

/// The file's position.
pub(crate) fn position(fd: RawFd) -> io::Result<u64> {
    Ok(rustix::fs::tell(lend(fd))?)
}

/// Reads at the file's position into uninitialised memory.
pub(crate) fn read(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    Ok(rustix::io::read(lend(fd), room)?.0.len())
}

/// Like [`read`], at most `most` bytes, appending to `memory` within its capacity.
pub(crate) fn read_behind(fd: RawFd, memory: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let room = memory.spare_capacity_mut();
    let length = room.len().min(most);
    let count = read(fd, &mut room[..length])?;
    // SAFETY: the kernel has written this many bytes of the spare capacity.
    unsafe { memory.set_len(memory.len() + count) };
    Ok(count)
}

/// Reads `length` bytes from the file's position into the system's cache, without moving the position.
pub(crate) fn warm(fd: RawFd, length: usize) -> io::Result<()> {
    let mut scratch = [MaybeUninit::<u8>::uninit(); 1 << 16];
    let mut position = position(fd)?;
    let mut left = length;
    while left > 0 {
        let piece = left.min(scratch.len());
        let count = rustix::io::pread(lend(fd), &mut scratch[..piece], position)?.0.len();
        if count == 0 {
            break;
        }
        position += count as u64;
        left -= count;
    }
    Ok(())
}

/// Writes as much of `data` at the file's position as the system takes.
pub(crate) fn write(fd: RawFd, data: &[u8]) -> io::Result<usize> {
    Ok(rustix::io::write(lend(fd), data)?)
}

/// Closes the descriptor and returns the system's error, which `drop` ignores.
pub(crate) fn close(fd: OwnedFd) -> io::Result<()> {
    // SAFETY: the descriptor was owned here and is given up.
    check(unsafe { libc::close(fd.into_raw_fd()) }).map(drop)
}
