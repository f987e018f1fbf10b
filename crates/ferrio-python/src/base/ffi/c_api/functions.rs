//! The functions that extensions call, and the capsule in which they find them.

use std::ffi::{c_char, c_int, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::Arc;

use pyo3::exceptions::{PySystemError, PyValueError};
use pyo3::ffi;
use pyo3::prelude::*;

use super::super::protect::protected;
use super::{
    Bell, CAPSULE, Counted, ForeignFuture, FutureType, Host, LoopApi, Mailbox, Posted, RAISED, Release, Run,
    VERSION, WaiterType, Waiting, watch,
};

/// The table of functions for `H`.
pub(super) const fn table<H: Host>() -> &'static LoopApi {
    const {
        &LoopApi {
            version: VERSION,
            size: size_of::<LoopApi>() as u32,
            future_new: future_new::<H>,
            waker_retain: waker_retain::<H>,
            waker_release: waker_release::<H>,
            waker_wake: waker_wake::<H>,
            waiter_new: waiter_new::<H>,
            waiter_retain: retain::<(Waiting, H::Bell)>,
            waiter_release: release::<(Waiting, H::Bell)>,
            waiter_complete: waiter_complete::<H>,
            loop_of: loop_of::<H>,
            loop_retain: retain::<H::Mailbox>,
            loop_release: release::<H::Mailbox>,
            loop_post: loop_post::<H>,
            waker_retain_here: retain::<H::Bell>,
            waker_release_here: release::<H::Bell>,
            loop_time: watch::loop_time::<H>,
            watch_time: watch::watch_time::<H>,
            watch_descriptor: watch::watch_descriptor::<H>,
            watch_close: watch::watch_close::<H>,
            watch_retain: retain::<H::Watch>,
            watch_release: release::<H::Watch>,
            watch_cancel: watch::watch_cancel::<H>,
            loop_running: loop_running::<H>,
        }
    }
}

/// The capsule with the table: the value of `__ferrio_loop_api__`.
pub(crate) fn capsule<H: Host>(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let table = ptr::from_ref(table::<H>()).cast_mut().cast();
    // SAFETY: attached; table and name are static, and the capsule drops neither. Extensions only read the table.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyCapsule_New(table, CAPSULE.as_ptr(), None)) }
}

/// A text of an extension, `None` if it isn't UTF-8.
///
/// # Safety
///
/// `start` points to `length` bytes that live as long as the process, or is null.
pub(super) unsafe fn text(start: *const c_char, length: usize) -> Option<&'static str> {
    if start.is_null() {
        return None;
    }
    // SAFETY: by the contract.
    std::str::from_utf8(unsafe { std::slice::from_raw_parts(start.cast(), length) }).ok()
}

/// The same text again, without another look at each byte.
///
/// # Safety
///
/// `text` has returned it.
pub(super) unsafe fn known_text(start: *const c_char, length: usize) -> &'static str {
    // SAFETY: by the contract.
    unsafe { std::str::from_utf8_unchecked(std::slice::from_raw_parts(start.cast(), length)) }
}

/// The error that a function of an extension has set.
#[cold]
pub(super) fn raised(py: Python<'_>) -> PyErr {
    PyErr::take(py)
        .unwrap_or_else(|| PySystemError::new_err("an extension failed without setting an exception"))
}

/// Calls `make` for the attached caller. An error or a panic becomes Python's error, and the result null.
fn answer(make: impl FnOnce(Python<'_>) -> PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    // SAFETY: the header asks the caller to be attached.
    let py = unsafe { Python::assume_attached() };
    protected(py, ptr::null_mut(), || match make(py) {
        Ok(object) => object.into_ptr(),
        Err(failure) => {
            failure.restore(py);
            ptr::null_mut()
        }
    })
}

/// Runs `body`, which can't fail, for a caller that may not be attached. A panic would be a fault of ours: the process is
/// better off without what `body` does than without its other threads.
pub(super) fn quietly<R>(failed: R, body: impl FnOnce() -> R) -> R {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or(failed)
}

/// A borrowed loop as the header passes it.
///
/// # Safety
///
/// Attached, and `event_loop` is null or a live object.
pub(super) unsafe fn borrowed<'py>(
    py: Python<'py>,
    event_loop: *mut ffi::PyObject,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: by the contract.
    let event_loop = unsafe { Bound::from_borrowed_ptr_or_opt(py, event_loop) };
    event_loop.ok_or_else(|| PyValueError::new_err("the loop is NULL"))
}

unsafe extern "C" fn future_new<H: Host>(
    event_loop: *mut ffi::PyObject,
    functions: *const FutureType,
    data: *mut c_void,
) -> *mut ffi::PyObject {
    answer(|py| {
        // SAFETY: the caller hands over the data with its type.
        let future = unsafe { ForeignFuture::take(functions, data) }?;
        // SAFETY: attached; the header asks for a borrowed reference.
        H::future(&unsafe { borrowed(py, event_loop) }?, future)
    })
}

unsafe extern "C" fn waiter_new<H: Host>(
    event_loop: *mut ffi::PyObject,
    functions: *const WaiterType,
    data: *mut c_void,
    waiter: *mut *mut c_void,
) -> *mut ffi::PyObject {
    answer(|py| {
        // SAFETY: the caller hands over the data with its type.
        let waiting = unsafe { Waiting::take(functions, data) }?;
        // SAFETY: attached; the header asks for a borrowed reference.
        let (awaitable, counted) = H::waiter(&unsafe { borrowed(py, event_loop) }?, waiting)?;
        if waiter.is_null() {
            return Err(PyValueError::new_err("there is no place for the waiter"));
        }
        // SAFETY: the caller says that this is a place for a pointer. It gets one reference.
        unsafe { *waiter = Arc::into_raw(counted).cast_mut().cast() };
        Ok(awaitable)
    })
}

unsafe extern "C" fn waiter_complete<H: Host>(waiter: *mut c_void, payload: *mut c_void) -> c_int {
    // SAFETY: the caller has a reference to a waiter, which this table has made.
    let (waiting, bell) = unsafe { &(*waiter.cast::<Counted<(Waiting, H::Bell)>>()).value };
    let wanted = waiting.complete(payload);
    if wanted {
        quietly((), || bell.ring());
    }
    c_int::from(wanted)
}

unsafe extern "C" fn waker_wake<H: Host>(waker: *mut c_void) {
    // SAFETY: the caller has a reference to a waker, which this table has made.
    let bell = unsafe { &(*waker.cast::<Counted<H::Bell>>()).value };
    quietly((), || bell.ring());
}

unsafe extern "C" fn waker_retain<H: Host>(waker: *mut c_void) -> *mut c_void {
    // SAFETY: the caller has a reference to a waker, which this table has made.
    unsafe { (*waker.cast::<Counted<H::Bell>>()).value.is_held_outside() };
    // SAFETY: as above.
    unsafe { retain::<H::Bell>(waker) }
}

unsafe extern "C" fn waker_release<H: Host>(waker: *mut c_void) {
    // SAFETY: the caller has a reference to a waker, which this table has made, and gives it up.
    unsafe {
        (*waker.cast::<Counted<H::Bell>>()).value.is_released_outside();
        release::<H::Bell>(waker);
    }
}

unsafe extern "C" fn loop_of<H: Host>(event_loop: *mut ffi::PyObject) -> *mut c_void {
    // SAFETY: the header asks the caller to be attached.
    let py = unsafe { Python::assume_attached() };
    protected(py, ptr::null_mut(), || {
        // SAFETY: attached; the header asks for a borrowed reference.
        match unsafe { borrowed(py, event_loop) }.and_then(|event_loop| H::mailbox(&event_loop)) {
            Ok(mailbox) => Arc::into_raw(Counted::new::<H>(mailbox)).cast_mut().cast(),
            Err(failure) => {
                failure.restore(py);
                ptr::null_mut()
            }
        }
    })
}

unsafe extern "C" fn loop_running<H: Host>() -> *mut ffi::PyObject {
    // SAFETY: the header asks the caller to be attached.
    let py = unsafe { Python::assume_attached() };
    // This thread keeps a reference for as long as the loop runs.
    H::running(py).map_or(ptr::null_mut(), |running| running.bind(py).as_ptr())
}

unsafe extern "C" fn loop_post<H: Host>(
    handle: *mut c_void,
    run: Option<Run>,
    drop: Option<Release>,
    data: *mut c_void,
) -> c_int {
    let (Some(run), Some(drop)) = (run, drop) else { return RAISED };
    // SAFETY: the caller hands over the data with its functions.
    let posted = unsafe { Posted::take(run, drop, data) };
    // SAFETY: the caller has a reference to a handle, which this table has made.
    let mailbox = unsafe { &(*handle.cast::<Counted<H::Mailbox>>()).value };
    quietly(RAISED, || match mailbox.post(posted) {
        Ok(()) => 0,
        Err(_refused) => RAISED,
    })
}

unsafe extern "C" fn retain<T>(counted: *mut c_void) -> *mut c_void {
    // SAFETY: the caller has a reference to a `Counted<T>`, which came from an `Arc`.
    unsafe { Arc::increment_strong_count(counted.cast::<Counted<T>>()) };
    counted
}

unsafe extern "C" fn release<T>(counted: *mut c_void) {
    // SAFETY: the caller gives up a reference that it has, to a `Counted<T>`, which came from an `Arc`. Its content
    // may be dropped by any thread.
    unsafe { Arc::decrement_strong_count(counted.cast::<Counted<T>>()) };
}
