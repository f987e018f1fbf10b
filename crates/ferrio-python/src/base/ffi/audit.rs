//! Whether somebody listens to audit events: `sys.addaudithook` or its like in C.
//!
//! Native code that stands for an audited method takes the method's way then, so that a hook sees what it always sees.

use std::ffi::{c_char, c_int, c_void};

use pyo3::ffi::{PyErr_SetNone, PyExc_RuntimeError, PyObject};
use pyo3::prelude::*;

unsafe extern "C" {
    fn PySys_Audit(event: *const c_char, format: *const c_char, ...) -> c_int;
}

/// Refuses to be an argument of the event, which therefore reaches no hook.
unsafe extern "C" fn refuse(_unused: *mut c_void) -> *mut PyObject {
    // SAFETY: called by `PySys_Audit`, attached.
    unsafe { PyErr_SetNone(PyExc_RuntimeError) };
    std::ptr::null_mut()
}

/// Whether there is an audit hook.
///
/// CPython has no question of that kind. But it makes an event's arguments only where there is a hook.
#[inline]
pub(crate) fn is_watched(py: Python<'_>) -> bool {
    // SAFETY: attached. Texts are closed by a zero; "O&" takes a function and its argument, as given.
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
