//! Memory that is lent to `ssl`'s C functions, and `bytes` objects that are filled before anybody sees them.
//!
//! Invariant: no view outlives its memory, whatever Python code does to it meanwhile.

use std::ffi::c_char;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::interpreter::has_one_reference;
use crate::base::{imports, slice};

// SAFETY: CPython's own, in every version (`bytesobject.h`); PyO3 does not declare it.
unsafe extern "C" {
    pub(super) fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, length: ffi::Py_ssize_t)
    -> std::ffi::c_int;
}

/// Calls `bio.write(data)` of an `ssl.MemoryBIO`.
///
/// If the method is C's own, which copies and runs no Python code, it gets a view of Rust's memory. Any other gets a
/// `bytes` object, which it may keep.
pub(crate) fn write_to_bio<'py>(bio: &Bound<'py, PyAny>, data: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    let py = bio.py();
    let write = intern!(py, "write");
    if !lends_to(bio)? {
        return bio.call_method1(write, (PyBytes::new(py, data),));
    }
    // SAFETY: attached. No Python code and no other thread runs before the end of the function. So nobody else finds
    // the view, which is dropped here. A read-only view never writes.
    let view = unsafe { view_of(py, data.as_ptr().cast_mut().cast(), data.len(), ffi::PyBUF_READ)? };
    bio.call_method1(write, (view,))
}

/// Whether memory can be lent to `bio.write`. If not, the view could be found in `gc.get_objects()`, and a slice of
/// it kept: by another thread, or by the collector, which CPython 3.11 runs when it allocates.
fn lends_to(bio: &Bound<'_, PyAny>) -> PyResult<bool> {
    let quiet = cfg!(Py_3_12) && !cfg!(Py_GIL_DISABLED);
    Ok(quiet && bio.get_type().is(imports::C_MEMORY_BIO.get(bio.py())?))
}

/// The part `start..end` of `bytes`, as a view that keeps the object alive.
pub(crate) fn part_of<'py>(
    bytes: &Bound<'py, PyBytes>,
    start: usize,
    end: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = bytes.py();
    // SAFETY: attached, a live object that exports its bytes.
    let view = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromObject(bytes.as_ptr()))? };
    slice::part(&view, start, Some(end))
}

unsafe fn view_of(
    py: Python<'_>,
    start: *mut c_char,
    length: usize,
    flags: std::ffi::c_int,
) -> PyResult<Bound<'_, PyAny>> {
    let length = isize::try_from(length).expect("no memory is longer than an isize");
    // SAFETY: attached; the caller vouches for the memory.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyMemoryView_FromMemory(start, length, flags)) }
}

/// Whether nothing but `view` refers to its memory: no other reference to it, no export of it, and no slice.
fn is_sole(view: &Bound<'_, PyAny>) -> bool {
    /// The beginning of a `memoryview`, in every version (`cpython/memoryobject.h`): its first field is an object to
    /// which all slices of a view refer.
    #[repr(C)]
    struct View {
        head: ffi::PyVarObject,
        shared: *mut ffi::PyObject,
    }
    // SAFETY: attached; `view` was made by PyMemoryView_FromMemory, and keeps that object alive.
    let shared = unsafe { Borrowed::from_ptr(view.py(), (*view.as_ptr().cast::<View>()).shared) };
    has_one_reference(view) && has_one_reference(&shared)
}

/// A `bytes` object that is being built.
pub(crate) struct BytesBuilder<'py> {
    /// As long as there is room; nobody else has a reference.
    object: Bound<'py, PyBytes>,
    filled: usize,
    room: usize,
}

impl<'py> BytesBuilder<'py> {
    /// One with room for `room` bytes. Raises `MemoryError`.
    pub(crate) fn with_room(py: Python<'py>, room: usize) -> PyResult<Self> {
        let length = isize::try_from(room).expect("no memory is longer than an isize");
        // SAFETY: attached; with a null source the content is uninitialized, and it is written before it is read.
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length))?
                .cast_into_unchecked::<PyBytes>()
        };
        Ok(Self { object, filled: 0, room })
    }

    /// Continues an object of `room` bytes to which nobody else refers, and whose first `filled` bytes are written.
    pub(super) fn of_parts(object: Bound<'py, PyBytes>, filled: usize, room: usize) -> Self {
        Self { object, filled, room }
    }

    /// How many more bytes fit in.
    pub(crate) fn room(&self) -> usize {
        self.room - self.filled
    }

    /// Whether nothing has been written yet.
    pub(crate) fn is_empty(&self) -> bool {
        self.filled == 0
    }

    /// Appends `bytes`, for which there must be room.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.room(), "more bytes than there is room for");
        // SAFETY: the room is ours, and `bytes` can't overlap it: nobody has seen the object.
        unsafe {
            let start = ffi::PyBytes_AsString(self.object.as_ptr()).cast::<u8>().add(self.filled);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        }
        self.filled += bytes.len();
    }

    /// Calls `fill` with a writable `memoryview` of the room; `written` tells from its answer how much has been
    /// filled.
    ///
    /// `fill` may run Python code, which may keep the view or a slice of it. Then the memory is left to that code,
    /// and the bytes move to a new object.
    pub(crate) fn fill<R>(
        &mut self,
        fill: impl FnOnce(&Bound<'py, PyAny>) -> R,
        written: impl FnOnce(&R) -> usize,
    ) -> PyResult<R> {
        let py = self.object.py();
        // SAFETY: the room behind what is filled belongs to the object, and only we refer to it. The memory outlives
        // every view: it lives as long as the builder, and for ever if a view is left when `fill` returns.
        let view = unsafe {
            let start = ffi::PyBytes_AsString(self.object.as_ptr()).add(self.filled);
            view_of(py, start, self.room(), ffi::PyBUF_WRITE)?
        };
        let answer = fill(&view);
        self.filled += written(&answer).min(self.room());
        if !is_sole(&view) {
            self.move_out()?;
        }
        Ok(answer)
    }

    /// Continues with a new object, and leaves the old one alive for ever.
    #[cold]
    fn move_out(&mut self) -> PyResult<()> {
        let mut new = Self::with_room(self.object.py(), self.room)?;
        // SAFETY: both objects have `room` bytes, of which the first `filled` are written in the old one. Others may write
        // there, so there is no Rust reference to them.
        unsafe {
            let from = ffi::PyBytes_AsString(self.object.as_ptr());
            std::ptr::copy_nonoverlapping(from, ffi::PyBytes_AsString(new.object.as_ptr()), self.filled);
        }
        std::mem::swap(&mut self.object, &mut new.object);
        std::mem::forget(new.object);
        Ok(())
    }

    /// The object, cut to what was filled. Raises `MemoryError`.
    pub(crate) fn finish(self) -> PyResult<Bound<'py, PyBytes>> {
        if self.filled == self.room {
            return Ok(self.object);
        }
        let py = self.object.py();
        let length = isize::try_from(self.filled).expect("it fitted into the room");
        let mut object = self.object.into_ptr();
        // SAFETY: attached; the only reference is handed over, and a new one or null comes back.
        unsafe {
            if _PyBytes_Resize(&mut object, length) != 0 {
                return Err(PyErr::fetch(py));
            }
            Ok(Bound::from_owned_ptr(py, object).cast_into_unchecked::<PyBytes>())
        }
    }
}
