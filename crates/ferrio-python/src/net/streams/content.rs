//! What a reader has received and not given out yet.
//!
//! Usually this is one `bytes` object as it was received. Reads take pieces of it, or the object itself, without a
//! copy. If more arrives, it is joined in a buffer with the rest of the object.
//!
//! Invariant: while there is an object, it has unread bytes, and the buffer is empty.

use ferrio_engine::buffer::ByteBuffer;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Unread bytes in order of arrival. Dropping it runs no Python code: `bytes` refer to nothing.
#[derive(Default)]
pub(super) struct Content {
    whole: Option<Whole>,
    buffer: ByteBuffer,
}

struct Whole {
    /// Exactly of this class.
    bytes: Py<PyBytes>,
    /// How many of its bytes were read.
    read: usize,
}

impl Content {
    /// The unread bytes.
    #[inline]
    pub(super) fn as_slice(&self, py: Python<'_>) -> &[u8] {
        match &self.whole {
            Some(whole) => &whole.bytes.as_bytes(py)[whole.read..],
            None => self.buffer.as_slice(),
        }
    }

    /// How many bytes are unread.
    #[inline]
    pub(super) fn len(&self, py: Python<'_>) -> usize {
        match &self.whole {
            Some(whole) => whole.bytes.as_bytes(py).len() - whole.read,
            None => self.buffer.len(),
        }
    }

    /// Whether nothing is unread.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.whole.is_none() && self.buffer.is_empty()
    }

    /// Appends a copy of `data`. Raises `MemoryError` if there is no room; then nothing has changed.
    pub(super) fn extend(&mut self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if data.is_empty() {
            return Ok(());
        }
        self.join(py)?;
        self.buffer.extend(data).map_err(|_| PyMemoryError::new_err(()))
    }

    /// Appends `bytes`, which must be exactly of that class; keeps the object itself if nothing else is unread.
    /// Raises as `extend` does.
    #[inline]
    pub(super) fn put(&mut self, bytes: Bound<'_, PyBytes>) -> PyResult<()> {
        let py = bytes.py();
        let mut outcome = Ok(());
        if bytes.as_bytes().is_empty() {
            bytes.unbind().drop_ref(py);
        } else if self.is_empty() {
            self.whole = Some(Whole { bytes: bytes.unbind(), read: 0 });
        } else {
            outcome = self.extend(py, bytes.as_bytes());
            bytes.unbind().drop_ref(py);
        }
        outcome
    }

    /// Takes the first `count` bytes, which must be there.
    #[inline]
    pub(super) fn take<'py>(&mut self, py: Python<'py>, count: usize) -> Bound<'py, PyBytes> {
        if let Some(whole) = &self.whole
            && whole.read == 0
            && whole.bytes.as_bytes(py).len() == count
            && let Some(Whole { bytes, .. }) = self.whole.take()
        {
            return bytes.into_bound(py);
        }
        let taken = PyBytes::new(py, &self.as_slice(py)[..count]);
        self.consume(py, count);
        taken
    }

    /// Drops the first `count` bytes, or all if there are fewer.
    #[inline]
    pub(super) fn consume(&mut self, py: Python<'_>, count: usize) {
        match &mut self.whole {
            None => self.buffer.consume(count),
            Some(whole) if count < whole.bytes.as_bytes(py).len() - whole.read => whole.read += count,
            Some(_) => self.clear(py),
        }
    }

    /// Drops everything.
    pub(super) fn clear(&mut self, py: Python<'_>) {
        if let Some(whole) = self.whole.take() {
            whole.bytes.drop_ref(py);
        }
        self.buffer.clear();
    }

    /// Moves the unread bytes of an object into the buffer.
    #[inline]
    fn join(&mut self, py: Python<'_>) -> PyResult<()> {
        let Some(whole) = &self.whole else { return Ok(()) };
        let rest = &whole.bytes.as_bytes(py)[whole.read..];
        self.buffer.extend(rest).map_err(|_| PyMemoryError::new_err(()))?;
        if let Some(whole) = self.whole.take() {
            whole.bytes.drop_ref(py);
        }
        Ok(())
    }
}
