//! File operations for threads that may wait for a disk. [`threads`] has those threads.
//!
//! Reading what is in the page cache needs no thread: [`read_cached`] reads it, or says that it would have to wait.
//! io_uring isn't used. A thousand cached files of 10 KiB were opened, read and closed. (Linux 6.18, ext4, two busy
//! CPUs, best of 15 rounds, in µs per file.) One thread took 4.1 of wall and 3.9 of CPU time, four threads 4.5 and
//! 4.5. A ring with a thousand requests at a time took 4.6 and 2.7. That is no clear gain, even in batches that a
//! loop seldom has. And for uncached data a ring uses threads as well: the kernel's.
//!
//! Invariants: a call that a signal interrupts is repeated; the file's position moves by exactly what was read or written.

pub mod threads;

use std::ffi::CStr;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};

use crate::sys::{cached, file as sys};

pub use threads::FileThreads;

/// A file that was just opened.
#[derive(Debug)]
pub struct Opened {
    /// Closed on exec.
    pub fd: OwnedFd,
    /// Whether it is a regular file, neither a directory nor a pipe or a device.
    pub regular: bool,
    /// Bytes.
    pub size: u64,
}

/// How to open a file: the flags of `open(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// For reading.
    pub reads: bool,
    /// For writing.
    pub writes: bool,
    /// What happens to the existing content.
    pub start: Start,
}

/// What opening does to an existing or missing file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The file must exist and keeps its content.
    Keep,
    /// The file is created if needed, and emptied.
    Truncate,
    /// The file must not exist, and is created.
    Create,
    /// The file is created if needed; all writes go to its end.
    Append,
}

impl Access {
    /// The flags of `open(2)`.
    pub fn flags(self) -> i32 {
        let access = match (self.reads, self.writes) {
            (true, true) => libc::O_RDWR,
            (false, true) => libc::O_WRONLY,
            _ => libc::O_RDONLY,
        };
        access
            | match self.start {
                Start::Keep => 0,
                Start::Truncate => libc::O_CREAT | libc::O_TRUNC,
                Start::Create => libc::O_CREAT | libc::O_EXCL,
                Start::Append => libc::O_CREAT | libc::O_APPEND,
            }
    }
}

/// Opens `path` and finds out what it is.
///
/// # Errors
///
/// The system's, except `EINTR`.
pub fn open(path: &CStr, access: Access) -> io::Result<Opened> {
    let fd = retry(|| sys::open(path, access.flags()))?;
    let status = sys::status(std::os::fd::AsRawFd::as_raw_fd(&fd))?;
    Ok(Opened { fd, regular: status.regular, size: status.size })
}

/// Reads at the file's position until `room` is full or the file ends; returns the number of bytes.
///
/// # Errors
///
/// The system's, if nothing was read. Otherwise the bytes read are returned, and the next read reports the error.
pub fn read_full(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    fill(room, |room| sys::read(fd, room))
}

/// Like [`read_full`], as far as possible without waiting for a disk. Returns the number of bytes, and whether that is all;
/// otherwise the rest needs a thread.
///
/// # Errors
///
/// Those of [`read_full`].
pub fn read_cached(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<(usize, bool)> {
    let mut complete = true;
    let count = fill(room, |room| match cached::read(fd, room) {
        Err(failure) if needs_thread(&failure) => {
            complete = false;
            Ok(0)
        }
        other => other,
    })?;
    Ok((count, complete))
}

/// Reads from the file's position to its end, and appends to `rest`.
///
/// # Errors
///
/// The system's, and `OutOfMemory`. `rest` has what was read before.
pub fn read_rest(fd: RawFd, rest: &mut Vec<u8>) -> io::Result<()> {
    loop {
        if rest.capacity() - rest.len() < PIECE {
            rest.try_reserve(PIECE.max(rest.len()))?;
        }
        let count = retry(|| sys::read_behind(fd, rest, usize::MAX))?;
        if count == 0 {
            return Ok(());
        }
    }
}

/// Like [`read_rest`], at most `most` bytes.
///
/// # Errors
///
/// Those of [`read_rest`].
pub fn read_more(fd: RawFd, rest: &mut Vec<u8>, most: usize) -> io::Result<()> {
    let mut left = most;
    while left > 0 {
        rest.try_reserve(left.min(PIECE))?;
        let count = retry(|| sys::read_behind(fd, rest, left))?;
        if count == 0 {
            break;
        }
        left -= count;
    }
    Ok(())
}

/// Whether the bytes at the file's position and `reach` bytes further on can be read without waiting for a disk. `None` if
/// the file system can't tell.
pub fn is_cached(fd: RawFd, reach: usize) -> Option<bool> {
    Some(cached::is_cached(fd, 0).ok()? && cached::is_cached(fd, reach as u64).ok()?)
}

/// How many bytes are between the file's position and its end, if it is a regular file.
pub fn remaining(fd: RawFd) -> Option<u64> {
    let status = sys::status(fd).ok().filter(|status| status.regular)?;
    Some(status.size.saturating_sub(sys::position(fd).ok()?))
}

/// Whether `fd` is a regular file.
pub fn is_regular(fd: RawFd) -> bool {
    sys::status(fd).is_ok_and(|status| status.regular)
}

/// Whether closing `fd`, which was opened for reading only, needs no disk. That is so for a regular file on a local file system
/// (only those can tell what is cached), unless it was deleted: then its blocks have to be freed.
pub fn closes_quickly(fd: RawFd) -> bool {
    sys::status(fd).is_ok_and(|status| status.regular && status.linked) && cached::is_cached(fd, 0).is_ok()
}

/// Makes the system read `length` bytes from the file's position into its cache. The position doesn't move.
pub fn warm(fd: RawFd, length: usize) {
    // A failure will show when the bytes are really read.
    drop(retry(|| sys::warm(fd, length)));
}

/// Writes all of `data` at the file's position. Returns how many bytes were written, and the error if not all.
pub fn write_all(fd: RawFd, data: &[u8]) -> (usize, io::Result<()>) {
    let mut done = 0;
    while done < data.len() {
        match retry(|| sys::write(fd, &data[done..])) {
            Ok(count) => done += count,
            Err(failure) => return (done, Err(failure)),
        }
    }
    (done, Ok(()))
}

/// Closes the descriptor.
///
/// # Errors
///
/// The system's; the descriptor is closed even then.
pub fn close(fd: OwnedFd) -> io::Result<()> {
    match sys::close(fd) {
        // Linux has closed it. Trying again could close another file with the same number.
        Err(failure) if failure.kind() == ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

const PIECE: usize = 64 * 1024;

/// The most bytes that the kernel reads in one call.
const LARGEST_CALL: usize = 0x7fff_f000;

fn fill(
    room: &mut [MaybeUninit<u8>],
    mut read: impl FnMut(&mut [MaybeUninit<u8>]) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut filled = 0;
    while filled < room.len() {
        let end = room.len().min(filled + LARGEST_CALL);
        match retry(|| read(&mut room[filled..end])) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(failure) if filled == 0 => return Err(failure),
            Err(_) => break,
        }
    }
    Ok(filled)
}

fn needs_thread(failure: &io::Error) -> bool {
    failure.kind() == ErrorKind::WouldBlock
        || matches!(
            failure.raw_os_error(),
            Some(libc::EOPNOTSUPP | libc::ESPIPE | libc::EINVAL | libc::ENOSYS)
        )
}

fn retry<R>(mut call: impl FnMut() -> io::Result<R>) -> io::Result<R> {
    loop {
        match call() {
            Err(failure) if failure.kind() == ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}
