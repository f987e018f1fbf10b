//! Descriptors that wake a loop, and pipes for the engine's own use.

use std::io;
use std::os::fd::BorrowedFd;

pub(crate) use super::linux::pipe as create;

/// Writes the eight bytes that wake whoever polls the other end, or add one to a counter.
pub(crate) fn signal(fd: BorrowedFd<'_>) -> io::Result<()> {
    rustix::io::write(fd, &1u64.to_ne_bytes())?;
    Ok(())
}

/// Takes out what `signal` wrote: eight bytes, or all of a counter. Returns the number of bytes.
pub(crate) fn take(fd: BorrowedFd<'_>, bytes: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::io::read(fd, bytes)?)
}
