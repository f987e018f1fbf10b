//! Classes, functions and objects that all threads use all the time, without a shared reference count.
//!
//! Without a GIL, counting a reference to another thread's object is an atomic addition. Two cores that count
//! references to the same object wait for each other, which takes longer than a whole step of a task. CPython avoids
//! that for its own classes and functions, and here ferrio's get the same treatment:
//!
//! - A class, and an object that exists once per process, become immortal. PyO3 keeps them until the process ends, so
//!   nothing lives longer because of it. (CPython counts the instances of a class per thread, but only its own
//!   deallocator takes an instance off that count; PyO3's uses the shared one.)
//! - A function is counted with delay, like those that `def` makes.
//!
//! Invariant: called while the module is made, or with an object that no other thread has seen. With a GIL nothing is
//! done, because a count costs no more there.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

#[cfg(Py_GIL_DISABLED)]
mod imp {
    use pyo3::ffi;

    // SAFETY: CPython's own, exported by every free-threaded version (`pycore_object.h`, and from 3.14 on
    // `cpython/object.h`); PyO3 declares neither.
    unsafe extern "C" {
        pub(super) fn _Py_SetImmortal(object: *mut ffi::PyObject);
        pub(super) fn PyUnstable_Object_EnableDeferredRefcount(object: *mut ffi::PyObject)
        -> std::ffi::c_int;
    }
}

/// Stops counting references to an object that exists once per process.
pub(crate) fn object(object: &Bound<'_, PyAny>) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: attached, `object` is a live reference and no other thread has one.
    unsafe {
        imp::_Py_SetImmortal(object.as_ptr());
    }
    #[cfg(not(Py_GIL_DISABLED))]
    let _ = object;
}

/// Stops counting references to a class.
pub(crate) fn class<T: PyTypeInfo>(py: Python<'_>) {
    if cfg!(Py_GIL_DISABLED) {
        object(T::type_object(py).as_any());
    }
}

/// Defers the counting of references to a built-in function of the module.
pub(crate) fn function(function: &Bound<'_, PyCFunction>) {
    #[cfg(Py_GIL_DISABLED)]
    // SAFETY: attached, `function` is a live reference. If a function refuses, it is counted as before.
    unsafe {
        imp::PyUnstable_Object_EnableDeferredRefcount(function.as_ptr());
    }
    #[cfg(not(Py_GIL_DISABLED))]
    let _ = function;
}
