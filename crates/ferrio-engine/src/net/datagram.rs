//! Datagrams: each call sends or receives one, with its address.

use std::io;
use std::os::fd::RawFd;

use super::{Address, Attempt, attempt};
use crate::sys;

/// Receives one datagram into `buffer`, truncated if it doesn't fit, and stores its sender's address in `sender`.
///
/// # Errors
///
/// The kernel's, including errors that an earlier datagram caused (`ConnectionRefused` on a connected socket).
#[inline]
pub fn receive_from(fd: RawFd, buffer: &mut [u8], sender: &mut Address) -> io::Result<Attempt> {
    attempt(|| {
        let (count, length) = sys::datagram::receive_from(fd, buffer, &mut sender.bytes)?;
        sender.length = length;
        Ok(count)
    })
}

/// Sends `data` as one datagram to `target`, or without one to the socket's peer.
///
/// # Errors
///
/// The kernel's, including errors that an earlier datagram caused.
#[inline]
pub fn send_to(fd: RawFd, data: &[u8], target: Option<&Address>) -> io::Result<Attempt> {
    match target {
        Some(target) => attempt(|| sys::datagram::send_to(fd, data, &target.bytes, target.length)),
        None => attempt(|| sys::socket::send(fd, data)),
    }
}
