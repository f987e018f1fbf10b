//! `_buffer` of a reader, for Python code that uses it.
//!
//! A subclass written for asyncio's reader works on `self._buffer` itself: it cuts bytes off the front, or adds some.
//! In that case the buffer becomes a real `bytearray`. Native code copies it into its own buffer before each look,
//! and writes it back after a change. A plain reader returns a copy, and stays fast.

use std::sync::atomic::Ordering;

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PySlice};

use super::reader::StreamReader;
use crate::base::ffi::Cast;
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::interpreter::is_exactly;

/// The value of `reader._buffer`.
pub(super) fn buffer<'py>(reader: &Bound<'py, StreamReader>) -> Bound<'py, PyByteArray> {
    let py = reader.py();
    if let Some(held) = known(reader) {
        return held;
    }
    let copy = reader.get().state.with(py, |state| PyByteArray::new(py, state.unread.as_slice(py)));
    if !is_exactly::<StreamReader>(reader.as_any()) {
        let kept = copy.clone().unbind();
        reader.get().state.with(py, |state| state.python_buffer = Some(kept));
        reader.get().has_python_buffer.store(true, Ordering::Relaxed);
    }
    copy
}

/// `reader._buffer = value`: a subclass keeps a `bytearray` as it is; everything else is copied.
pub(super) fn set_buffer(reader: &Bound<'_, StreamReader>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = reader.py();
    let bytes = Buffer::to_read(value)?;
    let array = match value.as_instance::<PyByteArray>() {
        Some(array) if !is_exactly::<StreamReader>(reader.as_any()) => Some(array.clone().unbind()),
        _ => None,
    };
    reader.get().has_python_buffer.store(array.is_some(), Ordering::Relaxed);
    let old = reader.get().state.with(py, |state| {
        state.unread.clear(py);
        bytes.read(py, |bytes| state.unread.extend(py, bytes))?;
        PyResult::Ok(std::mem::replace(&mut state.python_buffer, array))
    });
    old.map(drop)
}

/// Copies the subclass's `_buffer` into our own.
#[cold]
pub(super) fn load(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    let Some(content) = known(reader).map(|held| held.to_vec()) else { return Ok(()) };
    let py = reader.py();
    reader.get().state.with(py, |state| {
        state.unread.clear(py);
        state.unread.extend(py, &content)
    })
}

/// Writes the buffer back to `_buffer`. Raises `BufferError` while a view of that exists.
#[cold]
pub(super) fn store(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    let Some(held) = known(reader) else { return Ok(()) };
    let py = reader.py();
    let content = reader.get().state.with(py, |state| PyBytes::new(py, state.unread.as_slice(py)));
    held.set_item(PySlice::full(py), content)
}

fn known<'py>(reader: &Bound<'py, StreamReader>) -> Option<Bound<'py, PyByteArray>> {
    let py = reader.py();
    reader.get().state.with(py, |state| state.python_buffer.as_ref().map(|held| held.bind(py).clone()))
}
