//! The code of a Python function, by its address: tracers give functions other code, and the loop notices that.

use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;

use crate::base::gc::gc;

/// The address of a function's code, which changes if it gets other code; 0 for other objects.
#[inline]
pub(crate) fn address(object: &Bound<'_, PyAny>) -> usize {
    let pointer = object.as_ptr();
    // SAFETY: attached; it is checked to be a function.
    unsafe {
        if ffi::PyObject_TypeCheck(pointer, &raw mut ffi::PyFunction_Type) == 0 {
            return 0;
        }
        code_of(pointer)
    }
}

/// The address of the code of a function.
///
/// # Safety
/// Attached; it must be a function.
#[inline]
pub(super) unsafe fn code_of(function: *mut ffi::PyObject) -> usize {
    // SAFETY: by the contract. Other threads may write the field without a GIL, so it is read atomically.
    unsafe {
        let code = &raw mut (*function.cast::<ffi::PyFunctionObject>()).func_code;
        AtomicPtr::from_ptr(code).load(Ordering::Relaxed).addr()
    }
}

/// An object, and the code that it had if it is a function.
pub(crate) struct WithCode {
    object: Py<PyAny>,
    /// 0 if it isn't a function.
    code: usize,
}

gc!(WithCode { object } not { code });

impl WithCode {
    /// As it is now.
    pub(crate) fn new(object: &Bound<'_, PyAny>) -> Self {
        Self { object: object.clone().unbind(), code: address(object) }
    }

    /// The object.
    pub(crate) fn object(&self, py: Python<'_>) -> Py<PyAny> {
        self.object.clone_ref(py)
    }

    /// Whether it still has that code.
    #[inline]
    pub(crate) fn is_unchanged(&self, _py: Python<'_>) -> bool {
        // SAFETY: attached; it has code, so it was checked to be a function.
        self.code == 0 || unsafe { code_of(self.object.as_ptr()) } == self.code
    }
}
