//! The inner state of a Python object, used only while attached to the interpreter.
//!
//! Two kinds of cell are for short looks, `Guarded` and `Leaf`. A look at a `Leaf` may happen inside a look at a
//! `Guarded`; every other nesting is a bug and panics in development builds. Without a GIL each cell has a lock, and
//! this order keeps two threads from waiting for each other.
//!
//! Invariant: at most one closure looks into a cell at a time. Looking twice panics (which becomes an exception); it
//! is never undefined behaviour. So closures stay short. They run no Python code and drop no Python reference,
//! because both may come back here.
//!
//! The third kind, `Exclusive`, is for work that does run Python code. The locks themselves are in `lock.rs`.

use std::cell::UnsafeCell;

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::lock::{Depth, GUARDED, LEAF, Lock};

/// A value for short looks, one at a time. Inside a look only `Leaf`s may be looked at.
pub(crate) type Guarded<T> = StateCell<T, GUARDED>;

/// A value for short looks that may happen inside a look at a `Guarded`. Inside a look no other cell may be looked at.
pub(crate) type Leaf<T> = StateCell<T, LEAF>;

/// What `Guarded` and `Leaf` have in common; `DEPTH` tells them apart.
pub(crate) struct StateCell<T, const DEPTH: u8> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: `value` is reached only by the holder of `lock`, and there is one at a time (see `Lock`).
unsafe impl<T: Send, const DEPTH: u8> Sync for StateCell<T, DEPTH> {}

impl<T, const DEPTH: u8> StateCell<T, DEPTH> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: Lock::new(), value: UnsafeCell::new(value) }
    }

    /// Runs `look` on the state and returns its result. Waits while another thread looks; panics if this thread does
    /// already.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn with<R>(&self, py: Python<'_>, look: impl FnOnce(&mut T) -> R) -> R {
        let _depth = Depth::enter(DEPTH);
        let _held = self.lock.take(py);
        // SAFETY: the cell is ours until `_held` is dropped, so no other reference to the value is alive.
        look(unsafe { &mut *self.value.get() })
    }

    /// The state, for its last owner.
    #[inline]
    pub(crate) fn into_inner(self) -> T {
        self.value.into_inner()
    }

    /// The state, for its only owner.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Whether the cell has been written and is not in use. (It is zeroed memory before it is written.)
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        self.lock.try_visit().is_some()
    }

    /// Shows the state to the garbage collector. Skips a cell in use, which only delays collection.
    pub(crate) fn visit(
        &self,
        _visit: &PyVisit<'_>,
        look: impl FnOnce(&T) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        match self.lock.try_visit() {
            // SAFETY: the cell was idle, so it has been written, and it is ours until `_held` is dropped.
            Some(_held) => look(unsafe { &*self.value.get() }),
            None => Ok(()),
        }
    }
}

/// A value on which one caller at a time works, for as long as it likes and with Python code.
///
/// It is for state machines that call out while they run. Others may peek meanwhile. They wait for another peek,
/// which is short. They are refused during work, which may take for ever or be further up this very stack.
pub(crate) struct Exclusive<T> {
    lock: Lock,
    value: UnsafeCell<T>,
}

// SAFETY: as for `StateCell`; the lock is held while the closure runs, whichever threads run meanwhile.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { lock: Lock::new(), value: UnsafeCell::new(value) }
    }

    /// Runs `work` on the value. Waits while another thread peeks. The caller ensures that nobody works on it already;
    /// otherwise this panics.
    #[inline]
    pub(crate) fn work<R>(&self, py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> R {
        let _held = self.lock.begin_work(py);
        // SAFETY: the cell is ours until `_held` is dropped, so no other reference to the value is alive.
        work(unsafe { &mut *self.value.get() })
    }

    /// Runs `peek`, a short look, on the value. Waits while another thread peeks; returns `None` if somebody works on it.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn peek<R>(&self, py: Python<'_>, peek: impl FnOnce(&mut T) -> R) -> Option<R> {
        let _depth = Depth::enter(GUARDED);
        let _held = self.lock.take_unless_worked_on(py)?;
        // SAFETY: the cell is ours until `_held` is dropped, so no other reference to the value is alive.
        Some(peek(unsafe { &mut *self.value.get() }))
    }

    /// The value, for its only owner.
    #[inline]
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Shows the value to the garbage collector. Skips one in use, which only delays collection.
    pub(crate) fn visit(
        &self,
        _visit: &PyVisit<'_>,
        look: impl FnOnce(&T) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        match self.lock.try_visit() {
            // SAFETY: the cell was idle, so it has been written, and it is ours until `_held` is dropped.
            Some(_held) => look(unsafe { &*self.value.get() }),
            None => Ok(()),
        }
    }
}
