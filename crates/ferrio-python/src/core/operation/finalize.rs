//! "coroutine 'sleep' was never awaited": what an operation says when it dies unused.

use std::sync::atomic::AtomicPtr;

use pyo3::prelude::*;

use super::Operation;
use crate::base::ffi::finalize::Finalize;
use crate::base::imports;

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for Operation {
    #[inline]
    fn wants_finalize(slf: &Bound<'_, Self>) -> bool {
        slf.get().is_forgotten(slf.py())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        // The interpreter's own words, with the origin in debug mode; `tracemalloc` adds where the object was allocated.
        imports::WARN_UNAWAITED.get(slf.py())?.call1((slf,)).map(drop)
    }

    fn original_dealloc() -> &'static AtomicPtr<()> {
        &DEALLOC
    }
}
