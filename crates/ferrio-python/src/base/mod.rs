//! What everything else builds on: CPython's raw calls, arguments, errors, imports, and how functions look to Python.
//!
//! Knows no class of ferrio.

#[macro_use]
pub(crate) mod names;

pub(crate) mod arguments;
pub(crate) mod by_address;
pub(crate) mod class;
pub(crate) mod error;
pub(crate) mod ffi;
pub(crate) mod functions;
pub(crate) mod gc;
pub(crate) mod imports;
pub(crate) mod journal;
pub(crate) mod observation;
pub(crate) mod overrides;
pub(crate) mod published;
pub(crate) mod recording;
pub(crate) mod replaced;
pub(crate) mod room;
pub(crate) mod slice;

use pyo3::prelude::*;

/// Fetches what the module needs before its classes are made.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    ffi::interpreter::park_ended_threads();
    ffi::interpreter::let_attach_at_the_end(py);
    names::load(py);
    imports::load(py)?;
    ffi::task_list::prepare(py)
}
