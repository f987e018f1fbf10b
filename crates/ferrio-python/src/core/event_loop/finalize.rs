//! "unclosed event loop": what happens when an open loop is dropped.

use pyo3::exceptions::PyResourceWarning;
use pyo3::prelude::*;
use std::ffi::CString;

use super::Loop;
use crate::base::ffi::finalize::{Dying, Finalize, general};

impl Finalize for Loop {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        !dying.get().closed()
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let message = CString::new(format!("unclosed event loop {}", slf.repr()?));
        let message = message.unwrap_or_else(|_| c"unclosed event loop".to_owned());
        // Not through Python's `warnings`: when the interpreter ends, imports no longer succeed.
        let warned = PyErr::warn(py, &py.get_type::<PyResourceWarning>(), &message, 1);
        // A warning may be an error; the loop is closed even then.
        if !slf.get().is_running() {
            slf.call_method0(intern!(py, "close"))?;
        }
        warned
    }

    general!();
}
