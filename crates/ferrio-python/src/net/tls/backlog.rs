//! What the program has written and TLS hasn't encrypted yet.
//!
//! Small pieces are joined, so that they leave in one record. If the TLS object refuses a piece, exactly the same
//! bytes are offered again, as OpenSSL demands. Nothing here runs Python code.

use std::collections::VecDeque;

use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::base::room::Room;

/// The most that one record holds, in bytes.
pub(super) const RECORD: usize = 1 << 14;

/// The queue.
#[derive(Default)]
pub(super) struct Backlog {
    /// None of them is empty.
    pieces: VecDeque<Py<PyBytes>>,
    /// How much of the first piece is encrypted.
    start: usize,
    /// The number of bytes left.
    size: usize,
    /// The first piece was offered and refused: it must stay as it is.
    offered: bool,
}

/// What to encrypt next: `bytes[start..end]`, at least one byte and at most what fits into a record.
pub(super) struct Next<'py> {
    pub(super) bytes: Bound<'py, PyBytes>,
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Backlog {
    /// How many bytes wait.
    #[inline]
    pub(super) fn size(&self) -> usize {
        self.size
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.size == 0
    }

    /// Appends `bytes`, whose length is `length` and not zero.
    #[inline]
    pub(super) fn push(&mut self, bytes: Py<PyBytes>, length: usize) -> PyResult<()> {
        self.pieces.make_room(1)?;
        self.size += length;
        self.pieces.push_back(bytes);
        Ok(())
    }

    /// The pieces; the first without its encrypted part.
    pub(super) fn copy<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyBytes>> {
        let pieces = self.pieces.iter().enumerate();
        pieces
            .map(|(index, piece)| match (index, self.start) {
                (0, start) if start > 0 => PyBytes::new(py, &piece.as_bytes(py)[start..]),
                _ => piece.bind(py).clone(),
            })
            .collect()
    }

    /// Takes everything out; the caller drops it.
    pub(super) fn clear(&mut self) -> VecDeque<Py<PyBytes>> {
        (self.start, self.size, self.offered) = (0, 0, false);
        std::mem::take(&mut self.pieces)
    }

    /// Takes out the pieces to join into one; empty if there is nothing to join.
    #[inline]
    pub(super) fn joinable(&mut self, py: Python<'_>) -> Vec<Py<PyBytes>> {
        if self.pieces.len() < 2 || self.offered || self.start > 0 {
            return Vec::new();
        }
        let (mut count, mut size) = (0, 0);
        for piece in &self.pieces {
            let length = piece.as_bytes(py).len();
            if size + length > RECORD {
                break;
            }
            (count, size) = (count + 1, size + length);
        }
        if count < 2 { Vec::new() } else { self.pieces.drain(..count).collect() }
    }

    /// Puts joined pieces back at the front.
    pub(super) fn put_back(&mut self, joined: Py<PyBytes>) {
        self.pieces.push_front(joined);
    }

    /// What to encrypt next.
    #[inline]
    pub(super) fn next<'py>(&mut self, py: Python<'py>) -> Option<Next<'py>> {
        let bytes = self.pieces.front()?.bind(py).clone();
        self.offered = true;
        let end = bytes.as_bytes().len().min(self.start + RECORD);
        Some(Next { bytes, start: self.start, end })
    }

    /// Advances by the `count` bytes that were encrypted. Returns a piece that is used up, for the caller to drop.
    #[inline]
    #[must_use]
    pub(super) fn advance(&mut self, py: Python<'_>, count: usize) -> Option<Py<PyBytes>> {
        let length = self.pieces.front()?.as_bytes(py).len();
        self.start += count;
        self.size -= count;
        self.offered = false;
        if self.start < length {
            return None;
        }
        self.start = 0;
        self.pieces.pop_front()
    }
}
