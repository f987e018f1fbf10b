//! Rust's memory lent to C functions of the interpreter, and `bytes` objects that are filled before anybody sees them.

use std::ffi::c_char;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

// SAFETY: CPython's own, in every version (`bytesobject.h`); PyO3 does not declare it.
unsafe extern "C" {
    pub(super) fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, length: ffi::Py_ssize_t)
    -> std::ffi::c_int;
}

/// Calls `call` with a `memoryview` of `bytes` that reads and can't write.
///
/// The view is released when `call` is over: whoever kept it finds it empty. Raises `MemoryError` only.
pub(crate) fn lend<'py, R>(
    py: Python<'py>,
    bytes: &[u8],
    call: impl FnOnce(&Bound<'py, PyAny>) -> R,
) -> PyResult<R> {
    // SAFETY: attached; the memory outlives the view's use, see `Lent`, and a view made to read never writes.
    let view = unsafe { view_of(py, bytes.as_ptr().cast_mut().cast(), bytes.len(), ffi::PyBUF_READ)? };
    let lent = Lent(view);
    Ok(call(&lent.0))
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

/// A view that must not outlive the memory it shows.
struct Lent<'py>(Bound<'py, PyAny>);

impl Drop for Lent<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a live reference.
        if unsafe { ffi::Py_REFCNT(self.0.as_ptr()) } != 1
            && self.0.call_method0(pyo3::intern!(self.0.py(), "release")).is_err()
        {
            // Somebody still looks at memory that is about to go. The callees are C functions that copy, so this can't be.
            std::process::abort();
        }
    }
}

/// A `bytes` object in the making.
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
        // SAFETY: attached; a null source leaves the content open, which is written before it is read.
        let object = unsafe {
            Bound::from_owned_ptr_or_err(py, ffi::PyBytes_FromStringAndSize(std::ptr::null(), length))?
                .cast_into_unchecked::<PyBytes>()
        };
        Ok(Self { object, filled: 0, room })
    }

    /// Goes on with an object of `room` bytes to which nobody else refers, and whose first `filled` bytes are written.
    pub(super) fn of_parts(object: Bound<'py, PyBytes>, filled: usize, room: usize) -> Self {
        Self { object, filled, room }
    }

    /// How many bytes more it takes.
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

    /// Calls `fill` with a writable `memoryview` of the room; what `written` says of the answer has been filled.
    pub(crate) fn fill<R>(
        &mut self,
        fill: impl FnOnce(&Bound<'py, PyAny>) -> R,
        written: impl FnOnce(&R) -> usize,
    ) -> PyResult<R> {
        let py = self.object.py();
        // SAFETY: the room behind what is filled belongs to the object, which only we refer to.
        let view = unsafe {
            let start = ffi::PyBytes_AsString(self.object.as_ptr()).add(self.filled);
            view_of(py, start, self.room(), ffi::PyBUF_WRITE)?
        };
        let lent = Lent(view);
        let answer = fill(&lent.0);
        drop(lent);
        self.filled += written(&answer).min(self.room());
        Ok(answer)
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
