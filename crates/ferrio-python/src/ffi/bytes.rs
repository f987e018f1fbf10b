//! `bytes` objects that the kernel fills, which spares a copy.

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
    // Below 3.15 PyO3 has the same functions, made of the private ones that these replaced.
    use ffi::compat::{
        PyBytesWriter_Create, PyBytesWriter_Discard, PyBytesWriter_FinishWithSize, PyBytesWriter_GetData,
    };

    let length = isize::try_from(room).expect("no memory is longer than an isize");
    // SAFETY: attached; returns a writer, or null with an exception set.
    let writer = unsafe { PyBytesWriter_Create(length) };
    if writer.is_null() {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: the new writer has room for so many bytes, which nobody else sees before it is finished.
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
