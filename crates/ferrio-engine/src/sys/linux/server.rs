//! Listening sockets: accepting, and which errors only concern one connection.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::sys::check;
use crate::sys::datagram::{AddressBytes, LARGEST_ADDRESS};

/// Accepts a connection, non-blocking and closed on exec, and stores its peer's address in `peer`. Returns the connection and
/// the address's length.
pub(crate) fn accept(fd: RawFd, peer: &mut AddressBytes) -> io::Result<(OwnedFd, usize)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let mut length = LARGEST_ADDRESS as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into memory that is borrowed for the call and aligned for any address;
    // a bad `fd` yields an error.
    let connection = check(unsafe { libc::accept4(fd, peer.0.as_mut_ptr().cast(), &mut length, flags) })?;
    // SAFETY: a new descriptor without another owner.
    let connection = unsafe { OwnedFd::from_raw_fd(connection) };
    Ok((connection, (length as usize).min(LARGEST_ADDRESS)))
}

/// Whether an error of `accept` is one of the new connection, and the next one may be fine. Linux reports those here; a firewall
/// causes `EPERM` (accept(2)).
pub(crate) fn is_of_connection(number: i32) -> bool {
    matches!(
        number,
        libc::ECONNABORTED
            | libc::EPROTO
            | libc::ENOPROTOOPT
            | libc::ENETDOWN
            | libc::ENETUNREACH
            | libc::EHOSTDOWN
            | libc::EHOSTUNREACH
            | libc::ENONET
            | libc::ETIMEDOUT
            | libc::EPERM
    )
}

/// Whether the socket accepts connections to other addresses.
pub(crate) fn is_transparent(fd: RawFd) -> bool {
    [(libc::SOL_IP, libc::IP_TRANSPARENT), (libc::SOL_IPV6, libc::IPV6_TRANSPARENT)].into_iter().any(
        |(level, name)| {
            let mut on: libc::c_int = 0;
            let mut length = size_of::<libc::c_int>() as libc::socklen_t;
            // SAFETY: the kernel writes at most `length` bytes into `on`; a bad `fd`, or one of another family, yields an error.
            let read = unsafe { libc::getsockopt(fd, level, name, (&raw mut on).cast(), &mut length) };
            read == 0 && on != 0
        },
    )
}
