//! `_buffer`, for those who look into a reader from Python.
//!
//! A subclass written for asyncio's reader works on `self._buffer` itself: it cuts bytes off the front, or adds some. For it
//! the buffer becomes a real `bytearray`, from which the native buffer is filled before native code looks at it, and to
//! which it is written back after a change. A plain reader shows a copy, and stays fast.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PySlice};

use super::reader::StreamReader;
use crate::base::ffi::Cast;
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::interpreter::is_exactly;

/// What `reader._buffer` gives.
pub(super) fn buffer<'py>(reader: &Bound<'py, StreamReader>) -> Bound<'py, PyByteArray> {
    let py = reader.py();
    if let Some(shown) = known(reader) {
        return shown;
    }
    let copy = reader.get().state.with(py, |state| PyByteArray::new(py, state.unread.as_slice(py)));
    if !is_exactly::<StreamReader>(reader.as_any()) {
        let kept = copy.clone().unbind();
        reader.get().state.with(py, |state| state.shown = Some(kept));
    }
    copy
}

/// `reader._buffer = value`: a `bytearray` is taken as it is by a subclass, all else is copied.
pub(super) fn set_buffer(reader: &Bound<'_, StreamReader>, value: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = reader.py();
    let bytes = Buffer::to_read(value)?;
    let shared = match value.as_instance::<PyByteArray>() {
        Some(array) if !is_exactly::<StreamReader>(reader.as_any()) => Some(array.clone().unbind()),
        _ => None,
    };
    let old = reader.get().state.with(py, |state| {
        state.unread.clear(py);
        bytes.read(py, |bytes| state.unread.extend(py, bytes))?;
        PyResult::Ok(std::mem::replace(&mut state.shown, shared))
    });
    old.map(drop)
}

/// Takes over what the subclass made of its `_buffer`.
#[inline]
pub(super) fn absorb(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    known(reader).map_or(Ok(()), |shown| absorb_from(reader, &shown))
}

#[cold]
fn absorb_from(reader: &Bound<'_, StreamReader>, shown: &Bound<'_, PyByteArray>) -> PyResult<()> {
    let (py, content) = (reader.py(), shown.to_vec());
    reader.get().state.with(py, |state| {
        state.unread.clear(py);
        state.unread.extend(py, &content)
    })
}

/// Gives back to `_buffer` what became of the buffer. Raises `BufferError` while somebody holds a view of it.
#[inline]
pub(super) fn reflect(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    match known(reader) {
        Some(shown) => reflect_to(reader, &shown),
        None => Ok(()),
    }
}

#[cold]
fn reflect_to(reader: &Bound<'_, StreamReader>, shown: &Bound<'_, PyByteArray>) -> PyResult<()> {
    let py = reader.py();
    let content = reader.get().state.with(py, |state| PyBytes::new(py, state.unread.as_slice(py)));
    shown.set_item(PySlice::full(py), content)
}

#[inline]
fn known<'py>(reader: &Bound<'py, StreamReader>) -> Option<Bound<'py, PyByteArray>> {
    let py = reader.py();
    reader.get().state.with(py, |state| state.shown.as_ref().map(|shown| shown.bind(py).clone()))
}
