//! No panic leaves a function that CPython calls: it becomes an exception.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;

/// Runs `body`, including the making of its exception, and returns its result. After a panic an exception is set and
/// `failed` is returned.
#[inline]
pub(super) fn protected<R>(py: Python<'_>, failed: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|payload| {
        explain(py, payload);
        failed
    })
}

#[cold]
fn explain(py: Python<'_>, payload: Box<dyn Any + Send>) {
    let text = text_of(payload.as_ref());
    let explained = catch_unwind(AssertUnwindSafe(|| {
        // PyO3 panics when memory is short, and has set the exception for that.
        if !memory_is_short(py) {
            PanicException::new_err(text).restore(py);
        }
    }));
    if explained.is_err() {
        // SAFETY: attached. The interpreter has preallocated MemoryErrors.
        unsafe { ffi::PyErr_NoMemory() };
    }
}

fn text_of(payload: &(dyn Any + Send)) -> String {
    let text =
        payload.downcast_ref::<&str>().copied().or(payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("ferrio panicked").to_owned()
}

/// Whether the exception that is set is a `MemoryError`.
fn memory_is_short(_py: Python<'_>) -> bool {
    // SAFETY: attached; the class lives as long as the interpreter.
    unsafe { !ffi::PyErr_Occurred().is_null() && ffi::PyErr_ExceptionMatches(ffi::PyExc_MemoryError) != 0 }
}

/// Runs `body`; a panic in it is an exception for the caller, as if `body` had raised it.
#[inline]
pub(crate) fn caught<R>(py: Python<'_>, body: impl FnOnce() -> R) -> PyResult<R> {
    catch_unwind(AssertUnwindSafe(body)).map_err(|payload| {
        // PyO3 panics when memory is short, and has set the exception for that.
        if memory_is_short(py) {
            PyErr::fetch(py)
        } else {
            PanicException::new_err(text_of(payload.as_ref()))
        }
    })
}
