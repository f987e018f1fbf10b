//! The meaning of the error number that `connect` returns on a non-blocking socket.

use std::io;

/// The state of a connection attempt.
#[derive(Debug)]
#[must_use]
pub enum Connecting {
    /// It is connected.
    Done,
    /// The peer hasn't answered yet: wait until the socket is writable, then read its error.
    Pending,
    /// It has failed.
    Failed(io::Error),
}

/// Interprets the error number of a first or repeated `connect`, 0 for none. Repeating the call shows at once whether the
/// peer has answered meanwhile, as a peer on the same machine does.
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
    fn error_numbers_are_interpreted() {
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
