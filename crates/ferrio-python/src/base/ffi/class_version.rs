//! CPython's version number of a class: it changes with any change of the class's attributes, or of its bases'.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::prelude::*;
use pyo3::types::PyType;

/// The number; 0 if it has none.
#[inline]
pub(crate) fn of(class: &Bound<'_, PyType>) -> u32 {
    // SAFETY: the class is alive. The field is a `u32` that other threads may write without a GIL, so it is read atomically.
    unsafe { AtomicU32::from_ptr(&raw mut (*class.as_type_ptr()).tp_version_tag) }.load(Ordering::Relaxed)
}
