//! Whether anybody listens to audit events, through `sys.addaudithook` or a C hook.
//!
//! Native code that replaces an audited method then calls the method, so that a hook sees what it always sees.

use std::ffi::{c_char, c_int, c_void};

use pyo3::ffi::{PyErr_SetNone, PyExc_RuntimeError, PyObject};
use pyo3::prelude::*;

unsafe extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// Fails when the event's argument is made, so the event reaches no hook.
unsafe extern "C" fn refuse(_unused: *mut c_void) -> *mut PyObject {
    // SAFETY: called by `PySys_Audit`, attached.
    unsafe { PyErr_SetNone(PyExc_RuntimeError) };
    std::ptr::null_mut()
}

/// Whether there is an audit hook.
///
/// CPython has no function for that. But it only makes an event's arguments if there is a hook.
#[inline]
pub(crate) fn is_watched(py: Python<'_>) -> bool {
    // SAFETY: attached. The strings end with a zero; "O&" takes a function and its argument, which are given.
    let outcome = unsafe {
        PySys_Audit(
            c"ferrio".as_ptr(),
            c"O&".as_ptr(),
            refuse as unsafe extern "C" fn(*mut c_void) -> *mut PyObject,
            std::ptr::null_mut::<c_void>(),
        )
    };
    if outcome == 0 {
        return false;
    }
    drop(PyErr::take(py));
    true
}
