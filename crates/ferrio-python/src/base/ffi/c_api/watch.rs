//! The functions by which extensions have the loop call them: at a time, for a descriptor, at the loop's end.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::Arc;

use pyo3::exceptions::PyValueError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::super::protect::protected;
use super::functions::{borrowed, quietly};
use super::{Call, Callback, Counted, Host, RAISED, READABLE, Release, WRITABLE, Watch, Watched};

/// Makes a watch for the attached caller; a null pointer with Python's error if that fails.
///
/// # Safety
///
/// As `loop_time`; the functions keep the header's promises for `data`, which is handed over.
unsafe fn watch<H: Host>(
    event_loop: *mut ffi::PyObject,
    functions: (Option<Call>, Option<Release>, *mut c_void),
    watched: impl FnOnce() -> PyResult<Watched>,
) -> *mut c_void {
    // SAFETY: the header asks the caller to be attached.
    let py = unsafe { Python::assume_attached() };
    protected(py, ptr::null_mut(), || {
        let (Some(call), Some(drop), data) = functions else {
            PyValueError::new_err("a watch needs `call` and `drop`").restore(py);
            return ptr::null_mut();
        };
        // SAFETY: the caller hands over the data with its functions.
        let callback = unsafe { Callback::take(call, drop, data) };
        // SAFETY: attached; the header asks for a borrowed reference.
        match unsafe { borrowed(py, event_loop) }.and_then(|event_loop| Ok((event_loop, watched()?))) {
            Ok((event_loop, watched)) => match H::watch(&event_loop, watched, callback) {
                Ok(watch) => return Arc::into_raw(watch).cast_mut().cast(),
                Err(failure) => failure.restore(py),
            },
            Err(failure) => {
                callback.end(py);
                failure.restore(py);
            }
        }
        ptr::null_mut()
    })
}

pub(super) unsafe extern "C" fn loop_time<H: Host>(event_loop: *mut ffi::PyObject, nanos: *mut u64) -> c_int {
    // SAFETY: the header asks the caller to be attached.
    let py = unsafe { Python::assume_attached() };
    protected(py, RAISED, || {
        // SAFETY: attached; the header asks for a borrowed reference.
        match unsafe { borrowed(py, event_loop) }.and_then(|event_loop| H::time(&event_loop)) {
            Ok(time) => {
                // SAFETY: the caller says that this is a place for a number.
                unsafe { *nanos = time };
                0
            }
            Err(failure) => {
                failure.restore(py);
                RAISED
            }
        }
    })
}

pub(super) unsafe extern "C" fn watch_time<H: Host>(
    event_loop: *mut ffi::PyObject,
    deadline: u64,
    call: Option<Call>,
    drop: Option<Release>,
    data: *mut c_void,
) -> *mut c_void {
    // SAFETY: by the header.
    unsafe { watch::<H>(event_loop, (call, drop, data), || Ok(Watched::Time(deadline))) }
}

pub(super) unsafe extern "C" fn watch_descriptor<H: Host>(
    event_loop: *mut ffi::PyObject,
    descriptor: c_int,
    interest: u32,
    call: Option<Call>,
    drop: Option<Release>,
    data: *mut c_void,
) -> *mut c_void {
    let watched = || {
        if descriptor < 0 {
            return Err(PyValueError::new_err(format!("Invalid file descriptor: {descriptor}")));
        }
        if interest & (READABLE | WRITABLE) == 0 || interest & !super::INTERESTS != 0 {
            return Err(PyValueError::new_err("the interest is neither FERRIO_READABLE nor FERRIO_WRITABLE"));
        }
        Ok(Watched::Descriptor(descriptor, interest))
    };
    // SAFETY: by the header.
    unsafe { watch::<H>(event_loop, (call, drop, data), watched) }
}

pub(super) unsafe extern "C" fn watch_close<H: Host>(
    event_loop: *mut ffi::PyObject,
    call: Option<Call>,
    drop: Option<Release>,
    data: *mut c_void,
) -> *mut c_void {
    // SAFETY: by the header.
    unsafe { watch::<H>(event_loop, (call, drop, data), || Ok(Watched::Close)) }
}

pub(super) unsafe extern "C" fn watch_cancel<H: Host>(watch: *mut c_void) {
    // SAFETY: the caller has a reference to a watch, which this table has made.
    let watch = unsafe { &(*watch.cast::<Counted<H::Watch>>()).value };
    quietly((), || watch.cancel());
}
