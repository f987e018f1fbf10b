//! Accepting connections from a listening socket.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::{Address, Parts};
use crate::sys;

/// What a listening socket had to give.
#[derive(Debug)]
#[must_use]
pub enum Accepted {
    /// A connection, non-blocking and closed on exec, and the address that it comes from.
    Connection(OwnedFd, Address),
    /// One that had failed before it could be accepted; there may be others.
    Lost,
    /// Nothing: wait until the socket is ready.
    WouldBlock,
    /// Nothing, because descriptors or memory are short; the socket stays ready meanwhile.
    Short(io::Error),
}

/// Takes the first connection that waits in the socket `fd`, which should be in non-blocking mode.
///
/// # Errors
///
/// The kernel's, of a socket that will never give a connection.
pub fn accept(fd: RawFd) -> io::Result<Accepted> {
    loop {
        let mut peer = Address::default();
        let failure = match sys::accept::accept(fd, &mut peer.bytes) {
            Ok((connection, length)) => {
                peer.length = length;
                return Ok(Accepted::Connection(connection, peer));
            }
            Err(failure) => failure,
        };
        match failure.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EAGAIN) => return Ok(Accepted::WouldBlock),
            Some(number) if is_shortage(number) => return Ok(Accepted::Short(failure)),
            // Linux hands up what has gone wrong on the new connection; a firewall says EPERM (accept(2)).
            Some(
                libc::ECONNABORTED
                | libc::EPROTO
                | libc::ENOPROTOOPT
                | libc::ENETDOWN
                | libc::ENETUNREACH
                | libc::EHOSTDOWN
                | libc::EHOSTUNREACH
                | libc::ENONET
                | libc::ETIMEDOUT
                | libc::EPERM,
            ) => return Ok(Accepted::Lost),
            _ => return Err(failure),
        }
    }
}

/// Whether the error `number` tells that descriptors or memory are short.
#[must_use]
pub fn is_shortage(number: i32) -> bool {
    matches!(number, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
}

/// The address that our end of every connection has which the listening socket `fd` accepts; `None` where it depends on the
/// connection: the socket listens on all interfaces, or takes connections that are meant for others (`IP_TRANSPARENT`).
#[must_use]
pub fn address_of_accepted(fd: RawFd) -> Option<Address> {
    let own = local_address(fd).ok()?;
    let everywhere = match own.parts() {
        Parts::V4(host, _) => host.is_unspecified(),
        Parts::V6 { host, .. } => host.is_unspecified(),
        Parts::Path(_) | Parts::Abstract(_) => return Some(own),
        Parts::Absent | Parts::Other => return None,
    };
    (!everywhere && !sys::accept::is_transparent(fd)).then_some(own)
}

/// The address of the socket `fd` itself.
///
/// # Errors
///
/// The kernel's.
pub fn local_address(fd: RawFd) -> io::Result<Address> {
    let mut own = Address::default();
    own.length = sys::accept::local_address(fd, &mut own.bytes)?;
    Ok(own)
}
