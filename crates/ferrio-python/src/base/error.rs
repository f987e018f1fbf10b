//! Raises asyncio's exceptions from Rust, and tests kinds of exceptions.

use std::io;

use pyo3::exceptions::{
    PyBaseException, PyBlockingIOError, PyInterruptedError, PyKeyboardInterrupt, PyMemoryError, PyOSError,
    PySystemExit,
};
use pyo3::prelude::*;

use crate::base::ffi::raise::raise;
use crate::base::imports;

/// `asyncio.InvalidStateError(message)`.
pub(crate) fn invalid_state(py: Python<'_>, message: &str) -> PyErr {
    match imports::INVALID_STATE_ERROR.get(py).and_then(|class| class.call1((message,))) {
        Ok(error) => raise(error),
        Err(error) => error,
    }
}

/// `asyncio.CancelledError()`, with `message` as its only argument if there is one.
pub(crate) fn cancelled<'py>(
    py: Python<'py>,
    message: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let class = imports::CANCELLED_ERROR.get(py)?;
    match message {
        Some(message) if !message.is_none() => class.call1((message,)),
        _ => class.call0(),
    }
}

/// Whether `error` is an `asyncio.CancelledError`.
pub(crate) fn is_cancelled(py: Python<'_>, error: &PyErr) -> bool {
    imports::CANCELLED_ERROR.get(py).is_ok_and(|class| error.matches(py, class).unwrap_or(false))
}

/// Whether the exception object is an `asyncio.CancelledError`.
pub(crate) fn is_cancellation(exception: &Bound<'_, PyAny>) -> PyResult<bool> {
    exception.is_instance(imports::CANCELLED_ERROR.get(exception.py())?)
}

/// Whether `error` must end the program rather than be reported: `KeyboardInterrupt`, `SystemExit`.
pub(crate) fn ends_program(py: Python<'_>, error: &PyErr) -> bool {
    error.is_instance_of::<PyKeyboardInterrupt>(py) || error.is_instance_of::<PySystemExit>(py)
}

/// The exception object of `error`.
pub(crate) fn into_object(py: Python<'_>, error: PyErr) -> Bound<'_, PyBaseException> {
    // Through the interpreter, which makes the object at once: PyO3 would detach and attach to make it.
    error.restore(py);
    PyErr::fetch(py).into_value(py).into_bound(py)
}

/// The `OSError` (or the subclass for its number) of a system call that failed, with `errno` and text like Python's
/// own. It is a `MemoryError` if this process, not the system, had no memory.
#[cold]
pub(crate) fn from_system(py: Python<'_>, failure: &io::Error) -> PyErr {
    if failure.kind() == io::ErrorKind::OutOfMemory && failure.raw_os_error().is_none() {
        return PyMemoryError::new_err(());
    }
    let Some(number) = failure.raw_os_error() else { return PyOSError::new_err(failure.to_string()) };
    match imports::STRERROR.get(py).and_then(|strerror| strerror.call1((number,))) {
        Ok(text) => PyOSError::new_err((number, text.unbind())),
        Err(error) => error,
    }
}

/// `None` if the socket's method says that it would block.
pub(crate) fn unless_blocked<'py>(
    py: Python<'py>,
    outcome: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(failure)
            if failure.is_instance_of::<PyBlockingIOError>(py)
                || failure.is_instance_of::<PyInterruptedError>(py) =>
        {
            Ok(None)
        }
        Err(failure) => Err(failure),
    }
}
