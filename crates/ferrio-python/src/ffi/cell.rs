//! Interior state of a Python object, reached only while attached to the interpreter.
//!
//! Invariant: at most one closure looks into a cell at a time. A nested look is a bug of ours and panics (which
//! becomes an exception), it is never undefined behaviour. So closures stay short: they run no Python code and drop
//! no Python reference, because both may come back here.

use std::cell::{Cell, UnsafeCell};

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

/// What goes on in a cell.
///
/// The first is what zeroed memory says: CPython 3.11 may run the collector when an object is allocated and tracked but
/// not yet written (it makes the instance's dictionary in between), and then there is nothing to look at.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Use {
    #[expect(dead_code, reason = "never written by name: it is what zeroed memory reads as")]
    Unwritten = 0,
    Idle,
    Busy,
}

/// A value guarded by the interpreter lock.
pub(crate) struct Guarded<T> {
    usage: Cell<Use>,
    value: UnsafeCell<T>,
}

// SAFETY: `with` needs a `Python` token and `visit` a `PyVisit`, so with a GIL only one thread at a time reaches
// `usage` and `value`; should the closure let the GIL go, `usage` turns the other thread's look into a panic. The module
// declares that it uses the GIL, so a free-threaded build keeps it on while ferrio is loaded.
unsafe impl<T: Send> Sync for Guarded<T> {}

struct Release<'a>(&'a Cell<Use>);

impl Drop for Release<'_> {
    #[inline]
    fn drop(&mut self) {
        self.0.set(Use::Idle);
    }
}

impl<T> Guarded<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { usage: Cell::new(Use::Idle), value: UnsafeCell::new(value) }
    }

    /// Runs `look` on the state and returns what it returns. Panics if a look is under way already.
    #[inline]
    pub(crate) fn with<R>(&self, _py: Python<'_>, look: impl FnOnce(&mut T) -> R) -> R {
        let before = self.usage.replace(Use::Busy);
        assert!(before == Use::Idle, "a ferrio object was entered again while its state was in use");
        let _release = Release(&self.usage);
        // SAFETY: the cell was idle, so no other reference to the value is alive (see the impl of Sync).
        look(unsafe { &mut *self.value.get() })
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
        if self.usage.get() != Use::Idle {
            return Ok(());
        }
        // SAFETY: the collector runs attached and alone; the cell is idle, so it was written and nothing holds a reference.
        look(unsafe { &*self.value.get() })
    }
}

/// A value that one caller at a time works on, Python code included.
///
/// Where `Guarded` is for short looks, this is for a state machine that calls out while it runs: a second entry is
/// refused instead of a panic.
pub(crate) struct Exclusive<T> {
    usage: Cell<Use>,
    value: UnsafeCell<T>,
}

// SAFETY: as for `Guarded`; `usage` stays busy while the closure runs, whichever thread gets the interpreter meanwhile.
unsafe impl<T: Send> Sync for Exclusive<T> {}

impl<T> Exclusive<T> {
    /// A cell that holds `value`.
    pub(crate) const fn new(value: T) -> Self {
        Self { usage: Cell::new(Use::Idle), value: UnsafeCell::new(value) }
    }

    /// Runs `work` on the value, or returns `None` if somebody works on it already.
    #[inline]
    pub(crate) fn enter<R>(&self, _py: Python<'_>, work: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.usage.replace(Use::Busy) != Use::Idle {
            return None;
        }
        let _release = Release(&self.usage);
        // SAFETY: the cell was idle, so no other reference to the value is alive.
        Some(work(unsafe { &mut *self.value.get() }))
    }

    /// Shows the value to the garbage collector; one that is worked on is skipped, which only delays collection.
    pub(crate) fn visit(
        &self,
        _visit: &PyVisit<'_>,
        look: impl FnOnce(&T) -> Result<(), PyTraverseError>,
    ) -> Result<(), PyTraverseError> {
        if self.usage.get() != Use::Idle {
            return Ok(());
        }
        // SAFETY: the collector runs attached and alone; the cell is idle, so it was written and nothing holds a reference.
        look(unsafe { &*self.value.get() })
    }
}
