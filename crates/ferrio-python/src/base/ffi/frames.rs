//! The stack of the calling thread, as code objects and places in them. Lines are found later.

use pyo3::ffi;
use pyo3::prelude::*;

/// A frame: its code, and the instruction that it is at.
pub(crate) type Place = (Py<PyAny>, i32);

/// The innermost frames of this thread, the innermost first.
pub(crate) fn innermost(py: Python<'_>, limit: usize) -> Vec<Place> {
    let mut places = Vec::with_capacity(limit);
    // SAFETY: attached. `PyEval_GetFrame` returns a borrowed reference, or null if no Python code runs; the others return new
    // ones, and null after the outermost frame.
    unsafe {
        let frame = ffi::PyEval_GetFrame();
        let mut frame = Bound::from_borrowed_ptr_or_opt(py, frame.cast());
        while let Some(here) = frame.filter(|_| places.len() < limit) {
            let raw = here.as_ptr().cast::<ffi::PyFrameObject>();
            let code = Bound::from_owned_ptr(py, ffi::PyFrame_GetCode(raw).cast());
            places.push((code.unbind(), ffi::PyFrame_GetLasti(raw)));
            frame = Bound::from_owned_ptr_or_opt(py, ffi::PyFrame_GetBack(raw).cast());
        }
    }
    places
}

/// The line of an instruction of `code`.
pub(crate) fn line(code: &Bound<'_, PyAny>, instruction: i32) -> i32 {
    // SAFETY: attached; it is checked to be a code object.
    unsafe {
        if ffi::Py_IS_TYPE(code.as_ptr(), &raw mut ffi::PyCode_Type) == 0 {
            return 0;
        }
        ffi::PyCode_Addr2Line(code.as_ptr().cast(), instruction).max(0)
    }
}
