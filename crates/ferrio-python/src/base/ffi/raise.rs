//! Raises an exception object the way Python's `raise` statement does, and handles one as inside `except`.

use std::marker::PhantomData;

use pyo3::exceptions::PyBaseException;
use pyo3::ffi;
use pyo3::prelude::*;

use super::protect::protected;
use super::scope::then_leave;

/// The error that `raise exception` makes: its `__context__` is the exception that is being handled, if any.
///
/// `PyErr::from_value` alone leaves the context as it is, which is right for an exception that only passes through.
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

/// The same error with its exception object made, or a `MemoryError`.
///
/// PyO3 makes the object of a new error after a method has returned, where nothing catches the panic that it causes
/// if memory is short.
#[cold]
pub(crate) fn made(py: Python<'_>, error: PyErr) -> PyErr {
    protected(py, (), || error.restore(py));
    PyErr::fetch(py)
}

/// Runs `work` as inside an `except` block for `exception`: `sys.exception()` returns it meanwhile, and exceptions
/// raised there have it as their `__context__`.
pub(crate) fn while_handling<R>(exception: &Bound<'_, PyBaseException>, work: impl FnOnce() -> R) -> R {
    let py = exception.py();
    // Each running coroutine has its own place for the exception that it handles; if that is empty, the one of an
    // outer coroutine shows.
    let shown = handled(py);
    handle(py, None);
    let behind = handled(py);
    handle(py, Some(exception));
    let own = shown.filter(|shown| !behind.is_some_and(|behind| behind.is(shown)));
    then_leave(work, || handle(py, own.as_ref())).0
}

/// Takes away the exception that is set, if any, until the returned value is dropped.
///
/// `PyErr::take` isn't suitable: it panics for the exception that a panic has become.
pub(crate) fn set_aside(_attached: Python<'_>) -> SetAside<'_> {
    // SAFETY: attached; what is fetched is owned until it is restored.
    unsafe {
        #[cfg(Py_3_12)]
        return SetAside { exception: ffi::PyErr_GetRaisedException(), attached: PhantomData };
        #[cfg(not(Py_3_12))]
        {
            let mut parts = [std::ptr::null_mut(); 3];
            let [class, value, traceback] = &mut parts;
            ffi::PyErr_Fetch(class, value, traceback);
            SetAside { parts, attached: PhantomData }
        }
    }
}

/// An exception that waits.
pub(crate) struct SetAside<'py> {
    #[cfg(Py_3_12)]
    exception: *mut ffi::PyObject,
    #[cfg(not(Py_3_12))]
    parts: [*mut ffi::PyObject; 3],
    attached: PhantomData<Python<'py>>,
}

impl Drop for SetAside<'_> {
    fn drop(&mut self) {
        // SAFETY: still attached, and this gives away what `set_aside` was given; null means none.
        unsafe {
            #[cfg(Py_3_12)]
            ffi::PyErr_SetRaisedException(self.exception);
            #[cfg(not(Py_3_12))]
            ffi::PyErr_Restore(self.parts[0], self.parts[1], self.parts[2]);
        }
    }
}

/// Reports the exception that is set, for which there is no caller; `culprit` was at work.
pub(super) fn write_unraisable<T>(culprit: &Bound<'_, T>) {
    // SAFETY: attached, the culprit is a live reference, and an exception is set.
    unsafe { ffi::PyErr_WriteUnraisable(culprit.as_ptr()) };
}

fn handled(py: Python<'_>) -> Option<Bound<'_, PyBaseException>> {
    // SAFETY: attached; what it returns is a new reference to an exception, or null if none is being handled.
    let found = unsafe { Bound::from_owned_ptr_or_opt(py, ffi::PyErr_GetHandledException()) };
    found.and_then(|found| found.cast_into().ok())
}

fn handle(_attached: Python<'_>, exception: Option<&Bound<'_, PyBaseException>>) {
    let pointer = exception.map_or(std::ptr::null_mut(), |exception| exception.as_ptr());
    // SAFETY: attached; the function takes its own reference, or null.
    unsafe { ffi::PyErr_SetHandledException(pointer) };
}
