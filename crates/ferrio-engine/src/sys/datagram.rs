//! Datagram sockets, with addresses as the bytes of the kernel's `sockaddr`.
//!
//! These are libc's calls: rustix returns an address by value, and these write it in place.

use std::io;
use std::os::fd::RawFd;

use super::linux::socket::SEND;
use super::socket::checked_size;

/// The size of `sockaddr_storage`, which can hold an address of any family.
pub(crate) const LARGEST_ADDRESS: usize = size_of::<libc::sockaddr_storage>();

/// Memory for an address, aligned for every `sockaddr`.
#[derive(Clone, Copy)]
#[repr(C, align(8))]
pub(crate) struct AddressBytes(pub(crate) [u8; LARGEST_ADDRESS]);

/// Receives one datagram into `buffer`, truncated if it doesn't fit, and stores its sender's address in `sender`. Never blocks,
/// even if the socket is in blocking mode. Returns the length of both.
#[inline]
pub(crate) fn receive_from(
    fd: RawFd,
    buffer: &mut [u8],
    sender: &mut AddressBytes,
) -> io::Result<(usize, usize)> {
    let mut length = LARGEST_ADDRESS as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes of data and at most `length` bytes of address. The memory is
    // borrowed for the call and aligned for any address; a bad `fd` yields an error.
    let count = unsafe {
        libc::recvfrom(
            fd,
            buffer.as_mut_ptr().cast(),
            buffer.len(),
            libc::MSG_DONTWAIT,
            sender.0.as_mut_ptr().cast(),
            &mut length,
        )
    };
    Ok((checked_size(count)?, (length as usize).min(LARGEST_ADDRESS)))
}

/// Sends `data` as one datagram to the address in the first `length` bytes of `target`, or with none to the socket's peer.
/// Never blocks, even if the socket is in blocking mode, and raises no SIGPIPE.
#[inline]
pub(crate) fn send_to(fd: RawFd, data: &[u8], target: &AddressBytes, length: usize) -> io::Result<usize> {
    let address = if length == 0 { std::ptr::null() } else { target.0.as_ptr().cast() };
    // SAFETY: the kernel reads `len` bytes of data and `length` bytes of address, clamped to the memory's size, from memory that is
    // borrowed for the call; a bad `fd` yields an error.
    checked_size(unsafe {
        libc::sendto(
            fd,
            data.as_ptr().cast(),
            data.len(),
            SEND.bits() as libc::c_int,
            address,
            length.min(LARGEST_ADDRESS) as libc::socklen_t,
        )
    })
}
