//! What awaits a future, read off its callbacks: the tasks that it wakes, and those behind native watchers.
//!
//! asyncio keeps these edges in a set of each future as long as they hold; here they are derived when a call graph
//! asks. What `future_add_to_awaited_by` recorded is kept by the future and isn't looked at here.

use std::collections::HashSet;

use pyo3::prelude::*;

use super::Future;
use super::callbacks::{Awaiter, Waiting};
use crate::base::ffi::Cast;

/// The tasks and futures that await `future`.
pub(super) fn waiters<'py>(future: &Bound<'py, Future>) -> Vec<Bound<'py, PyAny>> {
    let py = future.py();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let mut to_visit = vec![future.clone()];
    while let Some(next) = to_visit.pop() {
        if !seen.insert(next.as_ptr() as usize) {
            continue;
        }
        let waiting = next.get().state.with(py, |state| state.callbacks.waiting(py));
        for one in waiting {
            let awaiter = match one {
                Waiting::Task(task) => Awaiter::Task(task.into_bound(py).into_any()),
                Waiting::Watcher(watcher, watch) => (watch.awaiter)(watcher.into_bound(py)),
            };
            match awaiter {
                Awaiter::Nobody => {}
                Awaiter::Task(task) => found.push(task),
                Awaiter::AwaitersOf(other) => to_visit.extend(other.as_instance::<Future>().cloned()),
            }
        }
    }
    found
}
