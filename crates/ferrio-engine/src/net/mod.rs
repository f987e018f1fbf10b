//! Calls that never block, on descriptors that the caller owns.
//!
//! The result is an [`Attempt`]: done, or "wait for the descriptor". How to wait is up to the host.

mod accept;
mod address;
mod connect;
mod datagram;
mod pipe;
mod signal_pipe;

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

pub use self::accept::{Accepted, accept, address_of_accepted, is_shortage, local_address};
pub use self::address::{Address, Parts};
pub use self::connect::{Connecting, connecting};
pub use self::datagram::{receive_from, send_to};
pub use self::pipe::{FileKind, file_kind, read, set_nonblocking, write, write_parts};
pub use self::signal_pipe::SignalPipe;
use crate::sys;

/// The result of a call on a descriptor.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Attempt {
    /// This many bytes were transferred. Zero bytes received mean the end of input.
    Done(usize),
    /// Nothing was possible now: wait until the descriptor is ready.
    WouldBlock,
}

/// Receives into `buffer`, without blocking even if the socket is in blocking mode.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn receive(fd: RawFd, buffer: &mut [u8]) -> io::Result<Attempt> {
    attempt(|| sys::socket::receive(fd, buffer))
}

/// Like [`receive`], into uninitialised memory. As many of its first bytes are initialised as were received.
///
/// # Errors
///
/// The kernel's.
#[inline]
pub fn receive_into(fd: RawFd, room: &mut [MaybeUninit<u8>]) -> io::Result<Attempt> {
    attempt(|| sys::socket::receive_into(fd, room))
}

/// Sends as much of `data` as fits, without blocking even if the socket is in blocking mode.
///
/// # Errors
///
/// The kernel's. `BrokenPipe` raises no signal.
#[inline]
pub fn send(fd: RawFd, data: &[u8]) -> io::Result<Attempt> {
    attempt(|| sys::socket::send(fd, data))
}

/// The greatest number of parts for one [`send_parts`]: the kernel's `IOV_MAX`.
pub const MOST_PARTS: usize = 1024;

/// Sends as much of `parts` as fits, in order and in one system call; otherwise like [`send`].
///
/// # Errors
///
/// The kernel's; `InvalidInput` (`EMSGSIZE`) for more than [`MOST_PARTS`].
#[inline]
pub fn send_parts(fd: RawFd, parts: &[IoSlice<'_>]) -> io::Result<Attempt> {
    attempt(|| sys::socket::send_parts(fd, parts))
}

/// Whether a connection attempt on `fd` is over. A peer on the same machine has answered when `connect` returns.
///
/// # Errors
///
/// The kernel's, if it is out of memory.
pub fn has_connected(fd: RawFd) -> io::Result<bool> {
    sys::socket::is_writable(fd)
}

/// Closes the sending direction of a connection.
///
/// # Errors
///
/// The kernel's: `NotConnected` if the connection is gone already.
pub fn shut_down_sending(fd: RawFd) -> io::Result<()> {
    sys::socket::shut_down_sending(fd)
}

/// Sends up to `count` bytes of the file `from`, starting at `offset`, over the socket `to`. The file's position doesn't move.
/// It blocks while the file is read from disk, so release the host's interpreter first.
///
/// # Errors
///
/// The kernel's: `InvalidInput` for a file that can't be sent this way.
pub fn sendfile(to: RawFd, from: RawFd, offset: u64, count: usize) -> io::Result<Attempt> {
    attempt(|| sys::socket::sendfile(to, from, offset, count))
}

#[inline]
fn attempt(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<Attempt> {
    loop {
        match call() {
            Ok(count) => return Ok(Attempt::Done(count)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Attempt::WouldBlock),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
