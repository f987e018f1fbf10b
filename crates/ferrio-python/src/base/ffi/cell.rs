//! Interior state of a Python object, reached only while attached to the interpreter.
//!
//! Invariant: at most one closure looks into a cell at a time. A nested look is a bug of ours and panics (which
//! becomes an exception), it is never undefined behaviour. So closures stay short: they run no Python code and drop
//! no Python reference, because both may come back here; and they look into no other cell but leaves (`with_leaf`), because
//! where threads run at the same time two of them could wait for each other. What says who looks is in `usage.rs`.

use std::cell::UnsafeCell;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::usage::{Depth, Usage};

/// A value for short looks, one at a time.
pub(crate) struct Guarded<T> {
    usage: Usage,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is reached only by who has marked `usage` as busy, and that is one at a time (see `Usage`).
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T> Guarded<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { usage: Usage::idle(), value: UnsafeCell::new(value) }
    }

    /// Runs `look` on the state and returns what it returns. Panics if a look is under way already in this thread; waits
    /// for the end of another thread's.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn with<R>(&self, py: Python<'_>, look: impl FnOnce(&mut T) -> R) -> R {
        let _depth = Depth::look();
        let _busy = self.usage.take(py);
        // SAFETY: the cell is ours until `_busy` is dropped, so no other reference to the value is alive.
        look(unsafe { &mut *self.value.get() })
    }

    /// The same from inside a look at another cell. Its closure looks nowhere else, so that no two threads can wait for
    /// each other.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn with_leaf<R>(&self, py: Python<'_>, look: impl FnOnce(&mut T) -> R) -> R {
        let _depth = Depth::leaf();
        let _busy = self.usage.take(py);
        // SAFETY: the cell is ours until `_busy` is dropped, so no other reference to the value is alive.
        look(unsafe { &mut *self.value.get() })
    }

    /// The state, for its last owner.
    #[inline]
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// The state, for its only owner.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Shows the state to the garbage collector; a cell in use is skipped, which only delays collection.
    pub(crate) fn visit(
        &self,
        _visit: &PyVisit<'_>,
        look: impl FnOnce(&T) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        match self.usage.try_visit() {
            // SAFETY: the cell was idle, so it was written; and it is ours until `_busy` is dropped.
            Some(_busy) => look(unsafe { &*self.value.get() }),
            None => Ok(()),
        }
    }
}

/// A value that one caller at a time works on, Python code included.
///
/// Where `Guarded` is for short looks, this is for a state machine that calls out while it runs: a look at one that runs is
/// refused instead of a panic.
pub(crate) struct Exclusive<T> {
    usage: Usage,
    value: UnsafeCell<T>,
}

// SAFETY: as for `Guarded`; `usage` stays busy while the closure runs, whichever threads run meanwhile.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { usage: Usage::idle(), value: UnsafeCell::new(value) }
    }

    /// Runs `work` on the value, after a short look that another thread takes at it. Panics if this thread works on it
    /// already; who calls it has made sure of that, and that no other thread does.
    #[inline]
    pub(crate) fn work<R>(&self, py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        let _busy = self.usage.take(py);
        // SAFETY: the cell is ours until `_busy` is dropped, so no other reference to the value is alive.
        work(unsafe { &mut *self.value.get() })
    }

    /// The value, for its only owner.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Takes a short look at the value, or returns `None` if somebody works on it.
    #[inline]
    pub(crate) fn enter<R>(&self, _py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        let _busy = self.usage.try_take()?;
        // SAFETY: the cell is ours until `_busy` is dropped, so no other reference to the value is alive.
        Some(work(unsafe { &mut *self.value.get() }))
    }

    /// Shows the value to the garbage collector; one that is worked on is skipped, which only delays collection.
    pub(crate) fn visit(
        &self,
        _visit: &PyVisit<'_>,
        look: impl FnOnce(&T) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        match self.usage.try_visit() {
            // SAFETY: the cell was idle, so it was written; and it is ours until `_busy` is dropped.
            Some(_busy) => look(unsafe { &*self.value.get() }),
            None => Ok(()),
        }
    }
}
