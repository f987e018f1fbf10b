//! Raising an exception object the way Python's `raise` statement does.

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

/// The error that `raise exception` makes: its `__context__` is the exception that is being handled, if any.
///
/// `PyErr::from_value` alone leaves the context as it is, which is right for what only passes through.
pub(crate) fn raise(exception: Bound<'_, PyAny>) -> PyErr {
    let py = exception.py();
    let exception = match exception.cast_into::<PyBaseException>() {
        Ok(exception) => exception,
        Err(failure) => return failure.into(),
    };
    // SAFETY: attached; both are live references, and the type is that of the instance.
    unsafe { ffi::PyErr_SetObject(exception.get_type_ptr().cast(), exception.as_ptr()) };
    PyErr::fetch(py)
}
