//! What the number means that `connect` on a non-blocking socket ends with.

use std::io;

/// How far a connection attempt has come.
#[derive(Debug)]
#[must_use]
pub enum Connecting {
    /// It is connected.
    Done,
    /// The peer has not answered: wait until the socket has room to write, then ask it for its error.
    Pending,
    /// It has failed.
    Failed(io::Error),
}

/// Reads the error number of a first or repeated `connect`, 0 for none. Repeating it tells at once of a peer that has answered
/// while the first call returned, as peers on the same machine do.
pub fn connecting(number: i32) -> Connecting {
    match number {
        0 | libc::EISCONN => Connecting::Done,
        libc::EINPROGRESS | libc::EALREADY | libc::EINTR => Connecting::Pending,
        _ => Connecting::Failed(io::Error::from_raw_os_error(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_meaning() {
        assert!(matches!(connecting(0), Connecting::Done));
        assert!(matches!(connecting(libc::EISCONN), Connecting::Done));
        for number in [libc::EINPROGRESS, libc::EALREADY, libc::EINTR] {
            assert!(matches!(connecting(number), Connecting::Pending));
        }
        for number in [libc::ECONNREFUSED, libc::EAGAIN, libc::EBADF] {
            assert!(matches!(connecting(number), Connecting::Failed(_)));
        }
    }
}
