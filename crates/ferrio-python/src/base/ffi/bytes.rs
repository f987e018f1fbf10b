//! `bytes` objects that the kernel fills, which avoids a copy.

use std::io;
use std::mem::MaybeUninit;

use ferrio_engine::net::{self, Attempt};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Receives up to `room` bytes (at least one) from the socket `fd`; `None` if none are there, empty at the end of input.
///
/// The outer error is a `MemoryError`.
pub(crate) fn receive(
    py: Python<'_>,
    fd: i32,
    room: usize,
) -> PyResult<io::Result<Option<Bound<'_, PyBytes>>>> {
    // Below 3.15 PyO3 has the same functions, made from the private ones that they replaced.
    use ffi::compat::{
        PyBytesWriter_Create, PyBytesWriter_Discard, PyBytesWriter_FinishWithSize, PyBytesWriter_GetData,
    };

    let length = isize::try_from(room).expect("no memory is longer than an isize");
    // SAFETY: attached; returns a writer, or null with an exception set.
    let writer = unsafe { PyBytesWriter_Create(length) };
    if writer.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: the new writer has room for this many bytes, which nobody else sees before it is finished.
    let memory = unsafe {
        let start = PyBytesWriter_GetData(writer).cast::<MaybeUninit<u8>>();
        std::slice::from_raw_parts_mut(start, room)
    };
    let outcome = net::receive_into(fd, memory);
    let Ok(Attempt::Done(count)) = outcome else {
        // SAFETY: the writer is alive, and is not used again.
        unsafe { PyBytesWriter_Discard(writer) };
        return Ok(outcome.map(|_| None));
    };
    // SAFETY: as above; the kernel has written the `count` bytes that are kept.
    let object =
        unsafe { Bound::from_owned_ptr_or_err(py, PyBytesWriter_FinishWithSize(writer, count as isize))? };
    // SAFETY: writers make objects of exactly this class.
    Ok(Ok(Some(unsafe { object.cast_into_unchecked::<PyBytes>() })))
}

/// A `bytes` object that a thread without the interpreter fills, front to back.
pub(crate) struct Filling {
    /// As long as there is room; nobody else has a reference.
    object: Py<PyBytes>,
    start: *mut MaybeUninit<u8>,
    room: usize,
    filled: usize,
}

// SAFETY: the memory belongs to the object, and only this value refers to it. So the value's owner may write it, in
// any thread and while detached. The reference itself is `Send`.
unsafe impl Send for Filling {}

impl Filling {
    /// One with room for `room` bytes. Raises `MemoryError`.
    pub(crate) fn with_room(py: Python<'_>, room: usize) -> PyResult<Self> {
        let length = isize::try_from(room).map_err(|_| pyo3::exceptions::PyMemoryError::new_err(()))?;
        // SAFETY: attached; with a null source the content is uninitialized, and it is written before it is read.
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length))?
                .cast_into_unchecked::<PyBytes>()
        };
        // SAFETY: a live `bytes` object.
        let start = unsafe { ffi::PyBytes_AsString(object.as_ptr()) }.cast();
        Ok(Self { object: object.unbind(), start, room, filled: 0 })
    }

    /// The memory behind what is filled.
    pub(crate) fn memory(&mut self) -> &mut [MaybeUninit<u8>] {
        // SAFETY: the object has `room` bytes at `start` for as long as it lives; an empty slice of the shared empty object
        // is never written.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(self.filled), self.room - self.filled) }
    }

    /// Notes that this many bytes more have been written.
    pub(crate) fn advance(&mut self, count: usize) {
        self.filled += count.min(self.room - self.filled);
    }

    /// Appends `data`; the room grows like a vector's. Raises `MemoryError`; then nothing is left.
    pub(crate) fn extend(&mut self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if self.memory().len() < data.len() {
            self.grow(py, (self.filled + data.len()).max(2 * self.room))?;
        }
        // SAFETY: there is room behind what is filled; nobody has seen the object, so `data` isn't part of it.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), self.start.add(self.filled).cast(), data.len())
        };
        self.advance(data.len());
        Ok(())
    }

    fn grow(&mut self, py: Python<'_>, room: usize) -> PyResult<()> {
        let length = isize::try_from(room).map_err(|_| pyo3::exceptions::PyMemoryError::new_err(()))?;
        let nothing = Self::with_room(py, 0)?;
        let filled = self.filled;
        let mut object = std::mem::replace(self, nothing).object.into_ptr();
        // SAFETY: attached; the only reference is handed over (the shared empty object isn't touched). A new one with
        // the same content, or null, comes back.
        unsafe {
            if super::memory::_PyBytes_Resize(&mut object, length) != 0 {
                return Err(PyErr::fetch(py));
            }
            self.start = ffi::PyBytes_AsString(object).cast();
            self.object = Bound::from_owned_ptr(py, object).cast_into_unchecked::<PyBytes>().unbind();
        }
        (self.room, self.filled) = (room, filled);
        Ok(())
    }

    /// Whether no room is left.
    pub(crate) fn is_full(&self) -> bool {
        self.filled == self.room
    }

    /// The object, cut to what was filled, followed by `rest`. Raises `MemoryError`.
    pub(crate) fn finish<'py>(self, py: Python<'py>, rest: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
        let builder =
            super::memory::BytesBuilder::of_parts(self.object.into_bound(py), self.filled, self.room);
        let object = builder.finish()?;
        if rest.is_empty() {
            return Ok(object);
        }
        let mut whole = super::memory::BytesBuilder::with_room(py, object.as_bytes().len() + rest.len())?;
        whole.push(object.as_bytes());
        whole.push(rest);
        whole.finish()
    }
}
