//! A queue of bytes: appended at the end, consumed at the front.
//!
//! Invariants: the unread bytes are contiguous. At most one byte is moved for each byte consumed, so many small reads of a
//! full buffer cost no more than one large read. An empty buffer keeps at most [`KEPT`] bytes of memory, because most
//! connections of a busy server are idle.

use std::collections::TryReserveError;

/// How much memory an empty buffer keeps, in bytes.
pub const KEPT: usize = 1024;

/// Unread bytes in order of arrival.
#[derive(Debug, Default)]
pub struct ByteBuffer {
    /// Bytes `start..end` are the content. Those after `end` are spare and may hold anything.
    storage: Vec<u8>,
    start: usize,
    end: usize,
}

impl ByteBuffer {
    /// An empty buffer, without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { storage: Vec::new(), start: 0, end: 0 }
    }

    /// How many bytes are unread.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether nothing is unread.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The unread bytes.
    #[must_use]
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.storage[self.start..self.end]
    }

    /// How many bytes of memory it holds.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.storage.capacity()
    }

    /// Appends `data`.
    ///
    /// # Errors
    ///
    /// There is no memory for it; the content stays as it is.
    #[inline]
    pub fn extend(&mut self, data: &[u8]) -> Result<(), TryReserveError> {
        self.make_room(data.len());
        let reused = (self.storage.len() - self.end).min(data.len());
        let (inside, beyond) = data.split_at(reused);
        self.storage.try_reserve(beyond.len())?;
        self.storage[self.end..self.end + reused].copy_from_slice(inside);
        self.storage.extend_from_slice(beyond);
        self.end += data.len();
        Ok(())
    }

    /// Drops the first `size` bytes, or all if there are fewer.
    #[inline]
    pub fn consume(&mut self, size: usize) {
        if size >= self.len() {
            self.rewind();
        } else {
            self.start += size;
        }
    }

    /// Drops everything.
    pub fn clear(&mut self) {
        self.rewind();
    }

    /// Empties the buffer and frees its memory unless it is small.
    #[inline]
    fn rewind(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.storage.capacity() > KEPT {
            self.storage = Vec::new();
        }
    }

    /// Moves the content to the front if `size` more bytes don't fit and at least as many bytes were consumed as have to be
    /// moved. Otherwise the vector grows, doubling each time.
    #[inline]
    fn make_room(&mut self, size: usize) {
        if self.end + size > self.storage.capacity() && self.start >= self.len() && self.start > 0 {
            self.storage.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
    }
}
