//! "coroutine 'sleep' was never awaited": what an operation says when it dies unused.

use std::sync::atomic::AtomicPtr;

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;

use super::{Operation, Phase};
use crate::ffi::finalize::Finalize;

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for Operation {
    #[inline]
    fn wants_finalize(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.phase == Phase::Fresh)
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let name = slf.get().__qualname__(py);
        let message = format!("coroutine '{name}' was never awaited\0");
        let message = std::ffi::CStr::from_bytes_with_nul(message.as_bytes()).unwrap_or(c"never awaited");
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), message, 1)
    }

    fn original_dealloc() -> &'static AtomicPtr<()> {
        &DEALLOC
    }
}
