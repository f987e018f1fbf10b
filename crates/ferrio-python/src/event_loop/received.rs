//! Where the loop receives: one buffer for all its connections, so that an idle one needs none.

use std::io;

use ferrio_engine::net::{self, Attempt};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::Loop;

/// The most that one look at a socket takes, in bytes.
pub(crate) const LARGEST_RECEIVED: usize = 256 * 1024;

impl Loop {
    /// Receives up to `size` bytes, at most `LARGEST_RECEIVED`; `None` if none are there, empty at the end of input.
    #[inline]
    pub(crate) fn receive<'py>(
        &self,
        py: Python<'py>,
        fd: i32,
        size: usize,
    ) -> io::Result<Option<Bound<'py, PyBytes>>> {
        self.received.with(py, |buffer| {
            let buffer = &mut whole(buffer)[..size.min(LARGEST_RECEIVED)];
            Ok(match net::receive(fd, buffer)? {
                Attempt::Done(count) => Some(PyBytes::new(py, &buffer[..count])),
                Attempt::WouldBlock => None,
            })
        })
    }

    /// Receives what is there and shows it to `take`, which may run Python code; `None` if nothing is there.
    #[inline]
    pub(crate) fn receive_for<R>(
        &self,
        py: Python<'_>,
        fd: i32,
        take: impl FnOnce(&[u8]) -> R,
    ) -> io::Result<Option<R>> {
        // Out of the cell while it is shown: what runs then may receive for somebody else.
        let mut buffer = self.received.with(py, std::mem::take);
        let outcome = match net::receive(fd, whole(&mut buffer)) {
            Ok(Attempt::Done(count)) => Ok(Some(take(&buffer[..count]))),
            Ok(Attempt::WouldBlock) => Ok(None),
            Err(failure) => Err(failure),
        };
        self.received.with(py, |place| *place = buffer);
        outcome
    }
}

#[inline]
fn whole(buffer: &mut Vec<u8>) -> &mut [u8] {
    if buffer.is_empty() {
        buffer.resize(LARGEST_RECEIVED, 0);
    }
    buffer
}
