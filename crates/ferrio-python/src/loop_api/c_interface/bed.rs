//! How an operation of an extension's sleeps in its loop.
//!
//! Invariant: the bed is counted among the loop's calls in progress exactly while it says so.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::base::gc::gc;
use crate::core::event_loop::Loop;
use crate::core::event_loop::sleepers::Ringer;
use crate::core::operation::Operation;
use ferrio_engine::SleeperKey;

/// The place of one operation in the loop that it belongs to.
pub(super) struct Bed {
    home: Py<Loop>,
    /// Its name among the loop's sleepers, from its first wait on.
    key: Option<SleeperKey>,
    /// Whether the loop counts it among the calls in progress.
    counted: bool,
}

gc!(Bed { home } not { key, counted });

impl Bed {
    pub(super) fn new(home: &Bound<'_, Loop>) -> Self {
        Self { home: home.clone().unbind(), key: None, counted: false }
    }

    /// Called each time before the operation looks for what it waits for: from now on `ringer` wakes it. Raises
    /// `RuntimeError` in any thread but the loop's.
    pub(super) fn prepare(&mut self, this: &Bound<'_, Operation>, ringer: &Ringer) -> PyResult<()> {
        let py = this.py();
        self.stop_counting();
        if !ringer.runs_here(py) {
            return Err(PyRuntimeError::new_err(
                "this awaitable belongs to a loop that doesn't run in this thread: await it there",
            ));
        }
        let key = match self.key {
            Some(key) => key,
            None => *self.key.insert(self.home.get().add_sleeper(this)?),
        };
        // It may be woken before it parks, by its own poll or by another thread.
        this.get().park(py);
        ringer.set(key);
        Ok(())
    }

    /// The operation parks. `counted`: things outside the loop will wake it.
    pub(super) fn lie_down(&mut self, counted: bool) {
        if counted {
            self.home.get().job_goes_out();
            self.counted = true;
        }
    }

    /// The operation has ended.
    pub(super) fn leave(&mut self, py: Python<'_>) {
        self.stop_counting();
        if let Some(key) = self.key.take() {
            self.home.get().forget_sleeper(py, key);
        }
    }

    fn stop_counting(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.home.get().count_down();
        }
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        // An operation that ended otherwise than by `leave` was dropped with its loop, or by the collector.
        self.stop_counting();
    }
}
