//! Deep recursion ends in `RecursionError`, before the C stack ends.
//!
//! The interpreter counts calls of C code. From 3.14 on it compares with the real end of the stack. Before that, its
//! count is meant for its own small frames, so the stack that the recursion has used is measured here too.

use pyo3::ffi;
use pyo3::prelude::*;

/// One level of a recursion, until it is dropped.
#[must_use = "the level ends when this is dropped"]
pub(crate) struct Level<'py> {
    _attached: Python<'py>,
    #[cfg(not(Py_3_14))]
    _measured: measured::Level,
}

impl Drop for Level<'_> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: attached, and the level was entered when this was made.
        unsafe { ffi::Py_LeaveRecursiveCall() };
    }
}

/// Enters one more level. Raises `RecursionError` if there are too many.
#[inline]
pub(crate) fn enter(py: Python<'_>) -> PyResult<Level<'_>> {
    #[cfg(not(Py_3_14))]
    let measured = measured::enter()?;
    // SAFETY: attached; the text ends in a zero byte and lives for ever.
    if unsafe { ffi::Py_EnterRecursiveCall(c"".as_ptr()) } != 0 {
        return Err(PyErr::fetch(py));
    }
    Ok(Level {
        _attached: py,
        #[cfg(not(Py_3_14))]
        _measured: measured,
    })
}

#[cfg(not(Py_3_14))]
mod measured {
    use std::cell::Cell;
    use std::ptr;

    use pyo3::exceptions::PyRecursionError;
    use pyo3::prelude::*;

    /// How much of the stack a recursion may use: half of what a thread gets by default.
    const MOST: usize = 4 << 20;

    thread_local! {
        /// The address of the outermost level's frame, 0 outside of any.
        static OUTERMOST: Cell<usize> = const { Cell::new(0) };
    }

    pub(super) struct Level {
        outermost: bool,
    }

    impl Drop for Level {
        #[inline]
        fn drop(&mut self) {
            if self.outermost {
                OUTERMOST.set(0);
            }
        }
    }

    #[inline]
    pub(super) fn enter() -> PyResult<Level> {
        let marker = 0_u8;
        let here = ptr::from_ref(&marker).addr();
        let outermost = OUTERMOST.get();
        if outermost == 0 {
            OUTERMOST.set(here);
        } else if outermost.saturating_sub(here) > MOST {
            return Err(PyRecursionError::new_err("maximum recursion depth exceeded"));
        }
        Ok(Level { outermost: outermost == 0 })
    }
}
