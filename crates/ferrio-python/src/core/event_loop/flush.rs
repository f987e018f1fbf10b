//! What is sent at the end of the turn: several writes of one turn leave in one system call.
//!
//! An object with something to send joins this queue once. The loop calls it before it polls the descriptors, before
//! it sleeps, and before it stops. The queue is empty while the loop doesn't run.

use std::collections::VecDeque;

use pyo3::PyVisit;
use pyo3::prelude::*;

use super::Loop;
use crate::base::gc::{Traverse, Visited};
use crate::core::task::current;

/// Sends what an object has collected.
pub(crate) type FlushCall = for<'py> fn(&Bound<'py, PyAny>) -> PyResult<()>;

/// From this many bytes on, data is sent before the next callback runs. By the end of the turn, more would have left
/// the processor's caches, and reading it back is expensive.
const ENOUGH: usize = 64 * 1024;

/// The objects to call at the end of the turn, in the order in which they asked.
#[derive(Default)]
pub(super) struct Flushes {
    waiting: VecDeque<(Py<PyAny>, FlushCall)>,
    /// How many bytes they have, by their own account.
    bytes: usize,
}

impl Traverse for Flushes {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.waiting.iter().try_for_each(|(owner, _)| owner.traverse(visit))
    }
}

impl Flushes {}

impl Loop {
    /// Makes the loop call `call(owner)` at the end of this turn. If it isn't this thread's running loop, returns
    /// `false` and does nothing; then the caller sends at once.
    #[inline]
    #[must_use]
    pub(crate) fn flush_later(&self, owner: &Bound<'_, PyAny>, call: FlushCall, bytes: usize) -> bool {
        if !self.runs_here() {
            return false;
        }
        let waiting = owner.clone().unbind();
        self.owned.flushes.with(owner.py(), |flushes| {
            // If there is no memory for it, the caller sends at once.
            let has_room = flushes.waiting.try_reserve(1).is_ok();
            if has_room {
                flushes.waiting.push_back((waiting, call));
                flushes.bytes += bytes;
            }
            has_room
        })
    }
}

/// Flushes early after enough has accumulated; called between two callbacks.
#[inline]
pub(super) fn flush_if_much(native: &Bound<'_, Loop>) -> PyResult<()> {
    if native.get().owned.flushes.with(native.py(), |flushes| flushes.bytes < ENOUGH) {
        Ok(())
    } else {
        flush(native)
    }
}

/// Calls everything in the queue, and what joins meanwhile. If one call raises, the error waits for the others.
#[inline]
pub(super) fn flush(native: &Bound<'_, Loop>) -> PyResult<()> {
    // Most turns write nothing.
    if native.get().owned.flushes.with(native.py(), |flushes| flushes.waiting.is_empty()) {
        Ok(())
    } else {
        flush_all(native)
    }
}

fn flush_all(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let flushes = &native.get().owned.flushes;
    current::retire(native)?;
    flushes.with(py, |flushes| flushes.bytes = 0);
    let mut outcome = Ok(());
    // One by one: if one panics, the others are still in the queue.
    while let Some((owner, call)) = flushes.with(py, |flushes| flushes.waiting.pop_front()) {
        let sent = call(owner.bind(py));
        owner.drop_ref(py);
        if sent.is_err() {
            outcome = outcome.and(sent);
        }
    }
    outcome
}
