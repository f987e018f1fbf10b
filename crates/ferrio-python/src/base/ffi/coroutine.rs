//! Driving a coroutine by hand: `send`, `throw`, and the value of a `StopIteration`.

use std::ffi::CStr;
use std::ptr;
use std::sync::OnceLock;

use pyo3::exceptions::{PyBaseException, PyDeprecationWarning, PyStopIteration, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTraceback, PyTuple, PyType};

use super::Cast;
use crate::base::imports;

/// What a coroutine did when it was resumed.
pub(crate) enum Sent<'py> {
    /// It suspended and handed this object to its driver.
    Yielded(Bound<'py, PyAny>),
    /// It returned this value.
    Returned(Bound<'py, PyAny>),
    /// It raised.
    Raised(PyErr),
}

impl<'py> Sent<'py> {
    /// The same as a coroutine's `send` and `throw` return it.
    pub(crate) fn into_result(self) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Yielded(yielded) => Ok(yielded),
            Self::Returned(value) => Err(stop_iteration(value)),
            Self::Raised(failure) => Err(failure),
        }
    }
}

/// Resumes `coroutine` with `value`, without a `StopIteration` object if the type allows it (`am_send`).
#[inline]
pub(crate) fn send<'py>(coroutine: &Bound<'py, PyAny>, value: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coroutine.py();
    let mut result = ptr::null_mut();
    // SAFETY: attached, both are live references; `result` receives a new reference unless the call fails.
    unsafe {
        match ffi::PyIter_Send(coroutine.as_ptr(), value.as_ptr(), &raw mut result) {
            ffi::PySendResult::PYGEN_NEXT => Sent::Yielded(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_RETURN => Sent::Returned(Bound::from_owned_ptr(py, result)),
            ffi::PySendResult::PYGEN_ERROR => Sent::Raised(PyErr::fetch(py)),
        }
    }
}

/// Throws `exception` into `coroutine` by its `throw` method.
pub(crate) fn throw<'py>(coroutine: &Bound<'py, PyAny>, exception: &Bound<'py, PyAny>) -> Sent<'py> {
    let py = coroutine.py();
    match coroutine.call_method1(intern!(py, "throw"), (exception,)) {
        Ok(value) => Sent::Yielded(value),
        Err(error) if error.is_instance_of::<PyStopIteration>(py) => {
            match error.value(py).getattr(intern!(py, "value")) {
                Ok(value) => Sent::Returned(value),
                Err(error) => Sent::Raised(error),
            }
        }
        Err(error) => Sent::Raised(error),
    }
}

/// Sets the error that makes `__next__` return `value` to an `await`: `StopIteration(value)`, without Rust's lazy
/// errors. If the value is a tuple or an exception it needs the wrapping that a call does.
#[inline]
pub(crate) fn set_stop_iteration(value: &Bound<'_, PyAny>) {
    // SAFETY: attached; PyErr_SetObject and PyObject_CallOneArg borrow their arguments.
    unsafe {
        let wrap =
            ffi::PyTuple_Check(value.as_ptr()) != 0 || ffi::PyExceptionInstance_Check(value.as_ptr()) != 0;
        if wrap {
            let error = ffi::PyObject_CallOneArg(ffi::PyExc_StopIteration, value.as_ptr());
            if !error.is_null() {
                ffi::PyErr_SetObject(ffi::PyExc_StopIteration, error);
                ffi::Py_DECREF(error);
            }
        } else {
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, value.as_ptr());
        }
    }
}

/// `StopIteration(value)` as an error to return.
pub(crate) fn stop_iteration(value: Bound<'_, PyAny>) -> PyErr {
    set_stop_iteration(&value);
    PyErr::fetch(value.py())
}

/// The error that a call `throw(typ[, val[, tb]])` asks for; the arguments mean the same as for a generator. Raises
/// `TypeError` if they aren't an exception.
pub(crate) fn thrown<'py>(
    typ: Bound<'py, PyAny>,
    val: Option<Bound<'py, PyAny>>,
    tb: Option<Bound<'py, PyAny>>,
) -> PyResult<PyErr> {
    let py = typ.py();
    if (val.is_some() || tb.is_some()) && py.version_info() >= (3, 12) {
        // As a generator's `throw` does since 3.12.
        let message =
            c"the (type, exc, tb) signature of throw() is deprecated, use the single-arg signature instead.";
        PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)?;
    }
    if let Some(tb) = &tb
        && !tb.is_none()
        && !tb.is_instance_of::<PyTraceback>()
    {
        return Err(PyTypeError::new_err("throw() third argument must be a traceback object"));
    }
    let val = val.filter(|val| !val.is_none());
    let exception = if typ.is_instance_of::<PyBaseException>() {
        if val.is_some() {
            return Err(PyTypeError::new_err("instance exception may not have a separate value"));
        }
        typ
    } else if typ
        .as_instance::<PyType>()
        .is_some_and(|class| class.is_subclass_of::<PyBaseException>().unwrap_or(false))
    {
        match val {
            Some(val) if val.is_instance(&typ)? => val,
            Some(val) if val.is_instance_of::<PyTuple>() => typ.call(val.cast_into::<PyTuple>()?, None)?,
            Some(val) => typ.call1((val,))?,
            None => typ.call0()?,
        }
    } else {
        return Err(PyTypeError::new_err(format!(
            "exceptions must be classes or instances deriving from BaseException, not {}",
            typ.get_type().name()?
        )));
    };
    if let Some(tb) = tb.filter(|tb| !tb.is_none()) {
        exception.setattr(intern!(py, "__traceback__"), tb)?;
    }
    Ok(PyErr::from_value(exception))
}

/// The `__qualname__` of a coroutine of an `async def` function; `None` of anything else.
///
/// A recording asks this of each task, so it takes the way of the attribute without the look-up.
pub(crate) fn qualname<'py>(object: &Bound<'py, PyAny>) -> Option<Bound<'py, PyString>> {
    static GETTER: OnceLock<Option<ffi::getter>> = OnceLock::new();
    if !is_coroutine(object) {
        return None;
    }
    // SAFETY: attached. A static type's table of attributes never changes and ends with a null name. The getter is that of the
    // object's own class, takes no closure there, and returns a new reference or null with an error.
    let name = unsafe {
        let getter = GETTER.get_or_init(|| {
            let mut entry = ffi::PyCoro_Type.tp_getset;
            while !(*entry).name.is_null() && CStr::from_ptr((*entry).name) != c"__qualname__" {
                entry = entry.add(1);
            }
            (*entry).get
        });
        let found = (*getter)?(object.as_ptr(), ptr::null_mut());
        Bound::from_owned_ptr_or_err(object.py(), found)
    };
    name.ok()?.cast_into().ok()
}

/// Whether `object` is a generator that `types.coroutine` made awaitable: it has no `__await__`.
#[cold]
pub(crate) fn is_generator_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    // SAFETY: `object` is a live reference.
    let generator = unsafe { ffi::PyGen_CheckExact(object.as_ptr()) != 0 };
    Ok(generator && imports::IS_AWAITABLE.get(object.py())?.call1((object,))?.is_truthy()?)
}

/// Whether `object` is exactly a coroutine of an `async def` function.
#[inline]
pub(crate) fn is_coroutine(object: &Bound<'_, PyAny>) -> bool {
    // SAFETY: `object` is a live reference.
    unsafe { ffi::PyCoro_CheckExact(object.as_ptr()) != 0 }
}
