//! Growth of lists that raises `MemoryError`; the standard library's own would abort the process.
//!
//! It is for lists whose size a program decides: items of a queue, pending tasks, waiters, pieces to be sent.

use std::collections::VecDeque;

use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

/// A list that can make room before it grows.
pub(crate) trait Room {
    /// Makes room for `count` more elements. Raises `MemoryError`; then the list stays as it is.
    fn make_room(&mut self, count: usize) -> PyResult<()>;
}

impl<T> Room for Vec<T> {
    #[inline]
    fn make_room(&mut self, count: usize) -> PyResult<()> {
        if count <= self.capacity() - self.len() {
            return Ok(());
        }
        self.try_reserve(count).map_err(|_| PyMemoryError::new_err(()))
    }
}

impl<T> Room for VecDeque<T> {
    #[inline]
    fn make_room(&mut self, count: usize) -> PyResult<()> {
        if count <= self.capacity() - self.len() {
            return Ok(());
        }
        self.try_reserve(count).map_err(|_| PyMemoryError::new_err(()))
    }
}

/// A copy of `bytes`. Raises `MemoryError`.
pub(crate) fn copy_of(bytes: &[u8]) -> PyResult<Box<[u8]>> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| PyMemoryError::new_err(()))?;
    copy.extend_from_slice(bytes);
    Ok(copy.into_boxed_slice())
}
