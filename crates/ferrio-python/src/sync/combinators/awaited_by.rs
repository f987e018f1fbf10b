//! Who awaits a future, read off its callbacks: the tasks that it wakes, and those behind a combinator's watchers.
//!
//! asyncio keeps these edges in a set of each future as long as they hold; here they are derived when a call graph
//! asks. What was recorded by `future_add_to_awaited_by` is the future's own affair and is not looked at here.

use std::collections::HashSet;

use pyo3::prelude::*;

use super::as_completed::AsCompleted;
use super::gather::{self, Gathering};
use super::wait::Countdown;
use crate::base::ffi::Cast;
use crate::core::future::Future;
use crate::core::future::callbacks::Waiting;
use crate::core::operation::Operation;
use crate::core::task::wakeup::Watcher;
use crate::sync::taskgroup::TaskGroup;

/// The tasks and futures that await `future`.
pub(crate) fn waiters<'py>(future: &Bound<'py, Future>) -> Vec<Bound<'py, PyAny>> {
    let py = future.py();
    let mut found = Vec::new();
    let mut looked_at = HashSet::new();
    let mut to_look_at = vec![future.clone()];
    while let Some(next) = to_look_at.pop() {
        if !looked_at.insert(next.as_ptr() as usize) {
            continue;
        }
        let waiting = next.get().state.with(py, |state| state.callbacks.waiting(py));
        for one in waiting {
            match one {
                Waiting::Task(task) => found.push(task.into_bound(py).into_any()),
                Waiting::Watcher(watcher) => behind(watcher.into_bound(py), &mut found, &mut to_look_at),
            }
        }
    }
    found
}

fn behind<'py>(
    watcher: Bound<'py, PyAny>,
    found: &mut Vec<Bound<'py, PyAny>>,
    to_look_at: &mut Vec<Bound<'py, Future>>,
) {
    let py = watcher.py();
    if let Some(gathering) = watcher.as_exactly::<Gathering>() {
        found.extend(gather::awaiter(gathering));
    } else if let Some(countdown) = watcher.as_exactly::<Countdown>() {
        found.extend(countdown.get().awaiter(py).map(|task| task.into_bound(py).into_any()));
    } else if let Some(iterator) = watcher.as_exactly::<AsCompleted>() {
        found.extend(iterator.get().awaiter(py).map(|task| task.into_bound(py)));
    } else if let Some(group) = watcher.as_instance::<TaskGroup>() {
        found.extend(group.get().parent(py));
    } else if let Some(waiting) = watcher.as_exactly::<Operation>() {
        // A `wait_for` that has cancelled what it waited for.
        let task = waiting.get().state.with(py, |state| state.task.as_ref().map(|task| task.clone_ref(py)));
        found.extend(task.map(|task| task.into_bound(py).into_any()));
    } else if let Some(callable) = watcher.as_exactly::<Watcher>() {
        if let Some(inner) = callable.get().watcher(py) {
            behind(inner.into_bound(py), found, to_look_at);
        }
    } else if let Ok(outer) = watcher.cast_into::<Future>() {
        // The outer future of a shield: whoever awaits that awaits this.
        to_look_at.push(outer);
    }
}
