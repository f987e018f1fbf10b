//! Bytes that wait to be sent, in the pieces in which they were written.
//!
//! `bytes` objects are kept as they are. What the program may change after `write` has returned is copied; if it is
//! large, only the part that the socket doesn't accept at once. Dropping a piece runs no Python code, so all of this
//! may happen while a transport's state is borrowed.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use ferrio_engine::net::{self, Attempt};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use crate::base::ffi::Cast;
use crate::base::ffi::buffer::Buffer;
use crate::base::room::{self, Room};
use crate::core::event_loop::Loop;

/// How many pieces are sent in one system call.
const PIECES: usize = 64;

/// Up to this many bytes are joined first: copying them costs less than a list of pieces costs the kernel.
const JOINED: usize = 16 * 1024;

/// From this many bytes on, a copy costs more than trying the socket first.
const MUCH: usize = 16 * 1024;

/// One piece, never empty.
pub(crate) enum Piece {
    Bytes(Py<PyBytes>),
    Copied(Box<[u8]>),
}

impl Piece {
    /// A piece of the argument of `write`; `None` if that is empty.
    ///
    /// Raises `TypeError` for anything but `bytes`, `bytearray` or `memoryview`.
    #[inline]
    pub(crate) fn new(data: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if let Some(bytes) = data.as_exactly::<PyBytes>() {
            return Ok((!bytes.as_bytes().is_empty()).then(|| Self::Bytes(bytes.clone().unbind())));
        }
        if !is_accepted(data) {
            return Err(PyTypeError::new_err(format!(
                "data argument must be a bytes, bytearray, or memoryview object, not '{}'",
                data.get_type().name()?
            )));
        }
        Self::copy_of(data)
    }

    /// A copy of any buffer.
    pub(crate) fn copy_of(data: &Bound<'_, PyAny>) -> PyResult<Option<Self>> {
        if let Some(view) = data.as_instance::<PyMemoryView>()
            && !view.getattr(intern!(data.py(), "c_contiguous"))?.is_truthy()?
        {
            let bytes = view.call_method0(intern!(data.py(), "tobytes"))?;
            return Self::new(&bytes);
        }
        Self::rest_of(data.py(), &Buffer::to_read(data)?, 0)
    }

    /// A copy of a buffer without its first `sent` bytes; `None` if nothing is left.
    ///
    /// Raises `MemoryError` if there is no room for it.
    pub(super) fn rest_of(py: Python<'_>, buffer: &Buffer, sent: usize) -> PyResult<Option<Self>> {
        buffer.read(py, |bytes| match &bytes[sent.min(bytes.len())..] {
            [] => Ok(None),
            rest => room::copy_of(rest).map(|copy| Some(Self::Copied(copy))),
        })
    }

    #[inline]
    fn as_slice<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(py),
            Self::Copied(copy) => copy,
        }
    }

    /// The number of bytes.
    #[inline]
    pub(crate) fn len(&self, py: Python<'_>) -> usize {
        self.as_slice(py).len()
    }

    #[inline]
    fn release(self, py: Python<'_>) {
        if let Self::Bytes(bytes) = self {
            bytes.drop_ref(py);
        }
    }
}

/// Whether `write` accepts it.
fn is_accepted(data: &Bound<'_, PyAny>) -> bool {
    data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
}

/// The bytes of the argument of `write`, if there are many and they would have to be copied.
#[inline]
pub(super) fn much_that_may_change(data: &Bound<'_, PyAny>) -> Option<Buffer> {
    if data.is_exact_instance_of::<PyBytes>() {
        return None;
    }
    // A view's length is in items: a few large ones are copied, which is slower but correct.
    let much = is_accepted(data) && data.len().is_ok_and(|length| length >= MUCH);
    // If it isn't contiguous, this fails, and it is copied piece by piece.
    if much { Buffer::to_read(data).ok() } else { None }
}

/// The queue.
#[derive(Default)]
pub(crate) struct Outgoing {
    pieces: VecDeque<Piece>,
    /// How much of the first piece has been sent.
    sent: usize,
    /// The number of bytes left.
    size: usize,
}

impl Outgoing {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// How many bytes are left.
    #[inline]
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Appends a piece. Raises `MemoryError` if there is no room.
    #[inline]
    pub(crate) fn push(&mut self, py: Python<'_>, piece: Piece) -> PyResult<()> {
        self.pieces.make_room(1)?;
        self.size += piece.len(py);
        self.pieces.push_back(piece);
        Ok(())
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        self.pieces = VecDeque::new();
        (self.sent, self.size) = (0, 0);
    }

    /// Sends until nothing is left (`true`) or the socket is full.
    #[inline]
    pub(crate) fn send(&mut self, event_loop: &Bound<'_, Loop>, fd: i32) -> io::Result<bool> {
        self.drain(event_loop, |rest| net::send(fd, rest), |parts| net::send_parts(fd, parts))
    }

    /// As `send`, for descriptors that aren't sockets.
    pub(crate) fn write(&mut self, event_loop: &Bound<'_, Loop>, fd: i32) -> io::Result<bool> {
        self.drain(event_loop, |rest| net::write(fd, rest), |parts| net::write_parts(fd, parts))
    }

    #[inline]
    fn drain(
        &mut self,
        event_loop: &Bound<'_, Loop>,
        one: impl Fn(&[u8]) -> io::Result<Attempt>,
        several: impl Fn(&[IoSlice<'_>]) -> io::Result<Attempt>,
    ) -> io::Result<bool> {
        let py = event_loop.py();
        while let Some(first) = self.pieces.front() {
            let rest = &first.as_slice(py)[self.sent..];
            let (offered, attempt) = if self.pieces.len() == 1 {
                (rest.len(), one(rest)?)
            } else {
                self.offer_several(event_loop, &one, &several)?
            };
            match attempt {
                Attempt::Done(count) => {
                    event_loop.get().traffic().sent.add(count as u64);
                    self.advance(py, count);
                    if count < offered {
                        // The next call would only find that the socket is full.
                        return Ok(false);
                    }
                }
                Attempt::WouldBlock => return Ok(false),
            }
        }
        Ok(true)
    }

    /// Tries to send the first pieces in one system call; returns how many bytes these have, and the result.
    fn offer_several(
        &self,
        event_loop: &Bound<'_, Loop>,
        one: impl Fn(&[u8]) -> io::Result<Attempt>,
        several: impl Fn(&[IoSlice<'_>]) -> io::Result<Attempt>,
    ) -> io::Result<(usize, Attempt)> {
        let py = event_loop.py();
        if self.size <= JOINED {
            return event_loop.get().receiving().with_scratch(py, |scratch| {
                let (mut end, mut skip) = (0, self.sent);
                for piece in &self.pieces {
                    let bytes = &piece.as_slice(py)[skip..];
                    scratch[end..end + bytes.len()].copy_from_slice(bytes);
                    end += bytes.len();
                    skip = 0;
                }
                Ok((end, one(&scratch[..end])?))
            });
        }
        let mut parts = [IoSlice::new(&[]); PIECES];
        let (mut offered, mut skip) = (0, self.sent);
        let count = self.pieces.len().min(PIECES);
        for (part, piece) in parts.iter_mut().zip(&self.pieces) {
            let bytes = &piece.as_slice(py)[skip..];
            offered += bytes.len();
            *part = IoSlice::new(bytes);
            skip = 0;
        }
        Ok((offered, several(&parts[..count])?))
    }

    /// A copy of what is left, piece by piece.
    pub(super) fn copy(&self, py: Python<'_>) -> Vec<Vec<u8>> {
        let mut skip = self.sent;
        let rest = |piece: &Piece| piece.as_slice(py)[std::mem::take(&mut skip)..].to_vec();
        self.pieces.iter().map(rest).collect()
    }

    /// What is left of the first piece, as an object.
    pub(super) fn first<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        match self.pieces.front()? {
            Piece::Bytes(bytes) if self.sent == 0 => Some(bytes.bind(py).clone()),
            piece => Some(PyBytes::new(py, &piece.as_slice(py)[self.sent..])),
        }
    }

    /// Drops the first `count` bytes, which have been sent.
    pub(super) fn advance(&mut self, py: Python<'_>, mut count: usize) {
        count = count.min(self.size);
        self.size -= count;
        while count > 0 {
            let Some(first) = self.pieces.front() else { return };
            let left = first.len(py) - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            if let Some(piece) = self.pieces.pop_front() {
                piece.release(py);
            }
        }
    }
}
