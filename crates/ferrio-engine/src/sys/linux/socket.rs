//! Sending: without SIGPIPE, and from files.

use std::io;
use std::os::fd::RawFd;

use rustix::net::SendFlags;

use crate::sys::lend;

/// Don't wait and don't raise SIGPIPE.
pub(crate) const SEND: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// Sends up to `count` bytes of the file `from`, starting at `offset`, over `to`.
pub(crate) fn sendfile(to: RawFd, from: RawFd, mut offset: u64, count: usize) -> io::Result<usize> {
    if i64::try_from(offset).is_err() {
        return Err(io::Error::from_raw_os_error(libc::EOVERFLOW));
    }
    Ok(rustix::fs::sendfile(lend(to), lend(from), Some(&mut offset), count)?)
}
