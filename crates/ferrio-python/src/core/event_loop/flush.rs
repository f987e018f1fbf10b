//! What waits for the end of the turn to be sent: several writes of one turn leave in one system call.
//!
//! An object with something to send joins the queue here once. The loop calls it before it polls the descriptors, before it
//! sleeps, and before it stops. Nothing stays here while the loop doesn't run.

use std::collections::VecDeque;

use pyo3::PyVisit;
use pyo3::prelude::*;

use super::Loop;
use crate::base::gc::{Traverse, Visited};
use crate::core::task::current;

/// Sends what an object has collected.
pub(crate) type FlushCall = for<'py> fn(&Bound<'py, PyAny>) -> PyResult<()>;

/// From this many bytes on they are sent before the next callback runs. More would have left the processor's caches by the
/// end of the turn, and reading them back is expensive.
const ENOUGH: usize = 64 * 1024;

/// What wants to be called at the end of the turn, in the order of asking.
#[derive(Default)]
pub(super) struct Flushes {
    waiting: VecDeque<(Py<PyAny>, FlushCall)>,
    /// How many bytes they have, as far as they said.
    bytes: usize,
}

impl Traverse for Flushes {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.waiting.iter().try_for_each(|(owner, _)| owner.traverse(visit))
    }
}

impl Flushes {}

impl Loop {
    /// Lets the loop call `call(owner)` at the end of this turn; returns `false`, and does nothing, unless it is this thread's
    /// running loop. Then the caller sends at once.
    #[inline]
    #[must_use]
    pub(crate) fn flush_later(&self, owner: &Bound<'_, PyAny>, call: FlushCall, bytes: usize) -> bool {
        if !self.runs_here() {
            return false;
        }
        let waiting = owner.clone().unbind();
        self.owned.flushes.with(owner.py(), |flushes| {
            // Without memory for it, the caller sends at once.
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

/// Calls everything in the queue, and what joins meanwhile. What one call raises waits for the others.
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
    // One by one: what panics leaves the others in the queue.
    while let Some((owner, call)) = flushes.with(py, |flushes| flushes.waiting.pop_front()) {
        let sent = call(owner.bind(py));
        owner.drop_ref(py);
        if sent.is_err() {
            outcome = outcome.and(sent);
        }
    }
    outcome
}
