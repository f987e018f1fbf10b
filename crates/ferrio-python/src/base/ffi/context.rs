//! `contextvars`: copy the current context, run inside one (PEP 567).

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::scope::then_leave;

/// The context of the running code, copied in constant time (`contextvars.copy_context()`).
#[inline]
pub(crate) fn copy_current(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    // SAFETY: attached; the call returns a new reference or null with an exception set.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyContext_CopyCurrent()) }
}

/// A copy of `context`, made in constant time. Raises `TypeError` if it isn't a `contextvars.Context`.
#[inline]
pub(crate) fn copy<'py>(context: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached, `context` is a live reference whose type the call checks; it returns a new reference or null with an
    // exception set.
    unsafe { Bound::from_owned_ptr_or_err(context.py(), ffi::PyContext_Copy(context.as_ptr())) }
}

/// Whether `object` is exactly a `contextvars.Context` (the class can't be subclassed).
#[inline]
pub(crate) fn is_context(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `object` is a live reference.
    unsafe { ffi::PyContext_CheckExact(object.as_ptr()) != 0 }
}

/// Whether this thread has entered `context`, so that nothing else can run in it.
pub(crate) fn is_entered(context: &Bound<'_, PyAny>) -> bool {
    is_context(context) && run(context, |_| Ok(())).is_err()
}

/// The given context, or a copy of the current one. Raises `TypeError` if it isn't a `contextvars.Context`.
#[inline]
pub(crate) fn given_or_copy<'py>(
    py: Python<'py>,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match context {
        None => copy_current(py),
        Some(context) if context.is_none() => copy_current(py),
        Some(context) => Ok(context),
    }
}

/// Raises `TypeError` unless `context` is a `contextvars.Context`.
pub(crate) fn require(context: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_context(context) {
        return Ok(());
    }
    Err(PyTypeError::new_err(format!(
        "a contextvars.Context was expected, got {}",
        context.get_type().name()?
    )))
}

/// Runs `body` with `context` entered, and leaves it however `body` ends (`context.run`).
///
/// If it isn't a real context (a test's mock), it only has its own `run`; entering it raises `TypeError`.
#[inline]
pub(crate) fn run<'py, R>(
    context: &Bound<'py, PyAny>,
    body: impl FnOnce(Python<'py>) -> PyResult<R>,
) -> PyResult<R> {
    let py = context.py();
    // SAFETY: attached; PyContext_Enter checks the type itself and fails with an exception.
    if unsafe { ffi::PyContext_Enter(context.as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    // SAFETY: attached, and this very context was entered above by this thread. The exception of `body`, if any, is held by what it
    // returned, not by the interpreter's error indicator.
    let (result, left) = then_leave(|| body(py), || unsafe { ffi::PyContext_Exit(context.as_ptr()) });
    if left == 0 { result } else { Err(PyErr::fetch(py)) }
}
