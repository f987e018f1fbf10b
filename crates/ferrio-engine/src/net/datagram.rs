//! Datagrams: one call, one datagram, with the address it came from or goes to.

use std::io;
use std::os::fd::RawFd;

use super::{Address, Attempt, attempt};
use crate::sys;

/// Receives one datagram into `buffer`, cut where it does not fit, and puts its sender's address into `sender`.
///
/// # Errors
///
/// The kernel's; one that an earlier datagram caused (`ConnectionRefused` on a connected socket) comes here too.
#[inline]
pub fn receive_from(fd: RawFd, buffer: &mut [u8], sender: &mut Address) -> io::Result<Attempt> {
    attempt(|| {
        let (count, length) = sys::datagram::receive_from(fd, buffer, &mut sender.bytes)?;
        sender.length = length;
        Ok(count)
    })
}

/// Sends `data` as one datagram to `target`, or with none to where the socket is connected.
///
/// # Errors
///
/// The kernel's; also one that an earlier datagram caused.
#[inline]
pub fn send_to(fd: RawFd, data: &[u8], target: Option<&Address>) -> io::Result<Attempt> {
    match target {
        Some(target) => attempt(|| sys::datagram::send_to(fd, data, &target.bytes, target.length)),
        None => attempt(|| sys::socket::send(fd, data)),
    }
}
