//! "coroutine 'sleep' was never awaited": what an operation says when it dies unused.

use std::ffi::CString;
use std::sync::atomic::AtomicPtr;

use pyo3::exceptions::PyRuntimeWarning;
use pyo3::prelude::*;

use super::{Operation, origin};
use crate::ffi::finalize::Finalize;

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for Operation {
    #[inline]
    fn wants_finalize(slf: &Bound<'_, Self>) -> bool {
        slf.get().is_forgotten(slf.py())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let name = slf.get().__qualname__(py);
        let origin = slf.get().cr_origin(py).map(|origin| origin.into_bound(py));
        let message = format!("coroutine '{name}' was never awaited{}", origin::lines(origin)?);
        let message = CString::new(message).unwrap_or_else(|_| c"an operation was never awaited".to_owned());
        PyErr::warn(py, &py.get_type::<PyRuntimeWarning>(), &message, 1)
    }

    fn original_dealloc() -> &'static AtomicPtr<()> {
        &DEALLOC
    }
}
