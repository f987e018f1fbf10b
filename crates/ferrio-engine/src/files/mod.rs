//! Files: what is done to a descriptor by a thread that may wait for a disk ([`threads`] are those threads).
//!
//! Reads of what is in the page cache need no thread: [`read_cached`] takes it from there or says that it would have to
//! wait. io_uring is not used. Opening, reading and closing a thousand cached files of 10 KiB took (Linux 6.18, ext4, two
//! busy CPUs, best of 15 rounds, in µs a file): one thread 4.1 of wall and 3.9 of CPU time, four threads 4.5 and 4.5, a
//! ring that gets a thousand requests at a time 4.6 and 2.7. That is no clear gain even in batches that a loop seldom
//! has, and what is not cached a ring leaves to threads as well, the kernel's.
//!
//! Invariants: every call here is repeated if a signal interrupts it; the file's position moves by what was read or
//! written, never by more.

pub mod threads;

use std::ffi::CStr;
use std::io::{self, ErrorKind};
use std::mem::MaybeUninit;
use std::os::fd::{OwnedFd, RawFd};

use crate::sys::file as sys;

pub use threads::FileThreads;

/// A file just opened.
#[derive(Debug)]
pub struct Opened {
    /// Closed on exec.
    pub fd: OwnedFd,
    /// Whether it is a regular file, neither a directory nor a pipe or a device.
    pub regular: bool,
    /// Bytes.
    pub size: u64,
}

/// How to open a file: what `open(2)` calls flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Access {
    /// For reading.
    pub reads: bool,
    /// For writing.
    pub writes: bool,
    /// What happens to what is there.
    pub start: Start,
}

/// What opening does to the file's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The file must be there and is left as it is.
    Keep,
    /// It is made if needed, and emptied.
    Truncate,
    /// It must not be there, and is made.
    Create,
    /// It is made if needed; all is written at its end.
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

/// Opens `path` and looks what it is.
///
/// # Errors
///
/// What the system says, `EINTR` excepted.
pub fn open(path: &CStr, access: Access) -> io::Result<Opened> {
    let fd = retry(|| sys::open(path, access.flags()))?;
    let status = sys::status(std::os::fd::AsRawFd::as_raw_fd(&fd))?;
    Ok(Opened { fd, regular: status.regular, size: status.size })
}

/// Reads at the file's position until `room` is full or the file ends; returns how many bytes.
///
/// # Errors
///
/// What the system says if nothing was read; else what was read counts, and the next read will tell.
pub fn read_full(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<usize> {
    fill(room, |room| sys::read(fd, room))
}

/// As [`read_full`], as far as that goes without waiting for a disk. `None` if the rest needs a thread: the first so many
/// bytes are read.
///
/// # Errors
///
/// As [`read_full`].
pub fn read_cached(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<(usize, bool)> {
    let mut complete = true;
    let count = fill(room, |room| match sys::read_cached(fd, room) {
        Err(failure) if needs_thread(&failure) => {
            complete = false;
            Ok(0)
        }
        other => other,
    })?;
    Ok((count, complete))
}

/// Reads from the file's position to its end; appends to `rest`.
///
/// # Errors
///
/// What the system says, and `OutOfMemory`; `rest` has what was read before.
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

/// As [`read_rest`], at most `most` bytes.
///
/// # Errors
///
/// As [`read_rest`].
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

/// Whether what lies at the file's position and `reach` bytes further on can be read without waiting for a disk. `None`
/// where the file system can't tell.
pub fn is_cached(fd: RawFd, reach: usize) -> Option<bool> {
    Some(sys::is_cached(fd, 0).ok()? && sys::is_cached(fd, reach as u64).ok()?)
}

/// How many bytes lie between the file's position and its end, if it is a regular file.
pub fn remaining(fd: RawFd) -> Option<u64> {
    let status = sys::status(fd).ok().filter(|status| status.regular)?;
    Some(status.size.saturating_sub(sys::position(fd).ok()?))
}

/// Whether `fd` is a regular file.
pub fn is_regular(fd: RawFd) -> bool {
    sys::status(fd).is_ok_and(|status| status.regular)
}

/// Whether closing `fd`, which was opened for reading only, waits for no disk: it is a regular file of a local file
/// system (those can say what is cached), and not a deleted one, whose blocks would have to be given back.
pub fn closes_quickly(fd: RawFd) -> bool {
    sys::status(fd).is_ok_and(|status| status.regular && status.linked) && sys::is_cached(fd, 0).is_ok()
}

/// Has the system read `length` bytes from the file's position on; the position stays.
pub fn warm(fd: RawFd, length: usize) {
    // A failure shows up where the bytes are read in earnest.
    drop(retry(|| sys::warm(fd, length)));
}

/// Writes all of `data` at the file's position. Returns how many bytes that came to, and why not all.
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
/// What the system says; it is closed all the same.
pub fn close(fd: OwnedFd) -> io::Result<()> {
    match sys::close(fd) {
        // Linux has closed it: to try again could hit another file of the same number.
        Err(failure) if failure.kind() == ErrorKind::Interrupted => Ok(()),
        other => other,
    }
}

const PIECE: usize = 64 * 1024;

/// The most that the kernel reads in one call.
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
