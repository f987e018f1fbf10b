//! A call that an extension left for the loop, from any thread.

use std::ffi::c_void;
use std::mem::ManuallyDrop;

use pyo3::prelude::*;

use super::{RAISED, Release, Run};

/// Runs once in the loop's thread, or is dropped, in any thread.
pub(crate) struct Posted {
    run: Run,
    drop: Release,
    data: *mut c_void,
}

// SAFETY: the header allows any thread to drop it; running it needs the loop's thread, which the caller of `run` is.
unsafe impl Send for Posted {}

impl Posted {
    /// Takes `data` over.
    ///
    /// # Safety
    ///
    /// The functions keep the header's promises for `data`.
    pub(super) unsafe fn take(run: Run, drop: Release, data: *mut c_void) -> Self {
        Self { run, drop, data }
    }

    /// Runs it, in the loop's thread; raises what it raised.
    pub(crate) fn run(self, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        // From here on the data belongs to the extension's function.
        let this = ManuallyDrop::new(self);
        // SAFETY: attached; the extension gave the function for this data, and it runs once.
        match unsafe { (this.run)(this.data, event_loop.as_ptr()) } {
            RAISED => Err(super::functions::raised(event_loop.py())),
            _ => Ok(()),
        }
    }
}

impl Drop for Posted {
    fn drop(&mut self) {
        // SAFETY: it didn't run. The extension gave the function for this data and any thread.
        unsafe { (self.drop)(self.data) };
    }
}
