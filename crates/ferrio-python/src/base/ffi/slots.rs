//! The slots of the await protocol, set directly: `am_await`, `tp_iternext`, and `am_send`, which PyO3 doesn't offer.
//!
//! They do what the class's `__await__`, `__next__` and `send` do, without PyO3's wrappers and without a
//! `StopIteration` object where CPython needs none. A panic becomes an exception.

use std::ptr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyClass, PyTypeInfo};

use super::coroutine::{Sent, set_stop_iteration};
use super::protect::protected;

/// A class that is its own iterator under `await`.
pub(crate) trait Awaitable: PyClass {
    /// Whether it may be awaited now; raises if not.
    fn begin(slf: &Bound<'_, Self>) -> PyResult<()>;

    /// Goes on.
    fn advance<'py>(slf: &Bound<'py, Self>) -> Sent<'py>;
}

/// An awaitable that passes for a coroutine.
pub(crate) trait Coroutine: Awaitable {
    /// The iterator for `yield from`; raises `TypeError` for all other callers.
    fn iterate<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>>;

    /// What `coroutine[...]` raises.
    fn refuse_subscript() -> PyErr;
}

unsafe extern "C" fn am_await<T: Awaitable>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls the slot attached, with a live instance of T; `object` is borrowed.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>())
    };
    protected(py, ptr::null_mut(), || match T::begin(&slf) {
        Ok(()) => slf.into_ptr(),
        Err(failure) => {
            failure.restore(py);
            ptr::null_mut()
        }
    })
}

unsafe extern "C" fn tp_iternext<T: Awaitable>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls the slot attached, with a live instance of T, and keeps it alive for the call.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>())
    };
    protected(py, ptr::null_mut(), || match T::advance(&slf) {
        Sent::Yielded(yielded) => yielded.into_ptr(),
        // Null without an exception is an iterator's end, and an await's `None`.
        Sent::Returned(value) if value.is_none() => ptr::null_mut(),
        Sent::Returned(value) => {
            set_stop_iteration(&value);
            ptr::null_mut()
        }
        Sent::Raised(failure) => {
            failure.restore(py);
            ptr::null_mut()
        }
    })
}

unsafe extern "C" fn am_send<T: Awaitable>(
    object: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: as for `tp_iternext`.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>())
    };
    let failed = (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR);
    let (object, outcome) = protected(py, failed, || match T::advance(&slf) {
        Sent::Yielded(yielded) => (yielded.into_ptr(), ffi::PySendResult::PYGEN_NEXT),
        Sent::Returned(value) => (value.into_ptr(), ffi::PySendResult::PYGEN_RETURN),
        Sent::Raised(failure) => {
            failure.restore(py);
            (ptr::null_mut(), ffi::PySendResult::PYGEN_ERROR)
        }
    });
    // SAFETY: `result` is CPython's, for a new reference.
    unsafe { *result = object };
    outcome
}

unsafe extern "C" fn tp_iter<T: Coroutine>(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls the slot attached, with a live instance of T; `object` is borrowed.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>())
    };
    protected(py, ptr::null_mut(), || match T::iterate(&slf) {
        Ok(iterator) => iterator.into_ptr(),
        Err(failure) => {
            failure.restore(py);
            ptr::null_mut()
        }
    })
}

unsafe extern "C" fn mp_subscript<T: Coroutine>(
    _object: *mut ffi::PyObject,
    _key: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls the slot attached.
    let py = unsafe { Python::assume_attached() };
    protected(py, ptr::null_mut(), || {
        T::refuse_subscript().restore(py);
        ptr::null_mut()
    })
}

/// Sets slots of `T` and removes the methods of these names, which a coroutine doesn't have. Gives it a coroutine's
/// name for the interpreter's own messages. Called once, while the module is made, after `install`.
pub(crate) fn install_coroutine<T: Coroutine + PyTypeInfo>(py: Python<'_>) -> PyResult<()> {
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T; a heap type has room for the slots of a mapping.
    unsafe {
        (*class).tp_iter = Some(tp_iter::<T>);
        (*(*class).tp_as_mapping).mp_subscript = Some(mp_subscript::<T>);
        ffi::PyType_Modified(class);
    }
    let class = T::type_object(py);
    class.setattr("__name__", "coroutine")?;
    class.setattr("__qualname__", "coroutine")
}

/// Sets the slots of `T`, which already has an `__await__`; called once, while the module is made.
pub(crate) fn install<T: Awaitable + PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T; it has `tp_as_async`, because it has `__await__`.
    unsafe {
        let asynchronous = (*class).tp_as_async;
        (*asynchronous).am_await = Some(am_await::<T>);
        (*asynchronous).am_send = Some(am_send::<T>);
        (*class).tp_iternext = Some(tp_iternext::<T>);
        ffi::PyType_Modified(class);
    }
}
