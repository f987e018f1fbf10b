//! Accepting connections from a listening socket.

use std::io;
use std::os::fd::{OwnedFd, RawFd};

use super::{Address, Parts};
use crate::sys;

/// The result of trying to accept a connection.
#[derive(Debug)]
#[must_use]
pub enum Accepted {
    /// A connection (non-blocking, closed on exec) and its peer's address.
    Connection(OwnedFd, Address),
    /// A connection that failed before it was accepted; there may be others.
    Lost,
    /// No connection is waiting; wait until the socket is ready.
    WouldBlock,
    /// Descriptors or memory are short; the socket stays ready.
    Short(io::Error),
}

/// Accepts the first waiting connection of the socket `fd`, which should be in non-blocking mode.
///
/// # Errors
///
/// The kernel's, for a socket that can never have a connection.
pub fn accept(fd: RawFd) -> io::Result<Accepted> {
    loop {
        let mut peer = Address::default();
        let failure = match sys::server::accept(fd, &mut peer.bytes) {
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
            Some(number) if sys::server::is_of_connection(number) => return Ok(Accepted::Lost),
            _ => return Err(failure),
        }
    }
}

/// Whether the error `number` means that descriptors or memory are short.
#[must_use]
pub fn is_shortage(number: i32) -> bool {
    matches!(number, libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
}

/// The local address that all connections accepted by the socket `fd` have. `None` if it depends on the connection: the socket
/// listens on all interfaces, or accepts connections to other addresses (`IP_TRANSPARENT`).
#[must_use]
pub fn address_of_accepted(fd: RawFd) -> Option<Address> {
    let own = local_address(fd).ok()?;
    let everywhere = match own.parts() {
        Parts::V4(host, _) => host.is_unspecified(),
        Parts::V6 { host, .. } => host.is_unspecified(),
        Parts::Path(_) | Parts::Abstract(_) => return Some(own),
        Parts::Absent | Parts::Other => return None,
    };
    (!everywhere && !sys::server::is_transparent(fd)).then_some(own)
}

/// The address of the socket `fd` itself.
///
/// # Errors
///
/// The kernel's.
pub fn local_address(fd: RawFd) -> io::Result<Address> {
    let mut own = Address::default();
    own.length = sys::socket::local_address(fd, &mut own.bytes)?;
    Ok(own)
}
