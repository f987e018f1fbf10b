//! "coroutine 'sleep' was never awaited": the warning of an operation that is dropped unused.

use pyo3::prelude::*;

use super::Operation;
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::imports;

impl Finalize for Operation {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        dying.get().is_forgotten(dying.py())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        // The interpreter's own wording, with the origin in debug mode. `tracemalloc` adds where the object was allocated.
        imports::WARN_UNAWAITED.get(slf.py())?.call1((slf,)).map(drop)
    }

    general!();
}
