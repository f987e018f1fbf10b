//! What awaits a future, for call graphs: `_asyncio_awaited_by` and the functions that record it.
//!
//! asyncio keeps these edges in a set of each future. Here they are derived when a call graph asks, from the tasks
//! that the future wakes and those behind native watchers. Kept is only what a program itself records; and from Python
//! 3.14 on, for tools in other processes, which can't ask, who awaits a task (`ffi::awaiters`).

use pyo3::prelude::*;
use pyo3::types::{PyFrozenSet, PySet};
use std::collections::HashSet;

use super::Future;
use super::callbacks::{Awaiter, Waiting, Watch};
use crate::base::ffi::{Cast, awaiters};
use crate::base::imports;
use crate::core::task::{Task, current};

#[pymethods]
impl Future {
    #[getter]
    fn _asyncio_awaited_by<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyFrozenSet>>> {
        let py = slf.py();
        let mut all = waiters(slf);
        all.extend(awaiters::noted(slf)?);
        if let Some(recorded) = recorded(slf) {
            for waiter in recorded.try_iter()? {
                all.push(waiter?);
            }
        }
        if all.is_empty() { Ok(None) } else { PyFrozenSet::new(py, all).map(Some) }
    }
}

/// The set of what a program recorded as awaiting `future`, if it did; before Python 3.14.
fn recorded<'py>(future: &Bound<'py, Future>) -> Option<Bound<'py, PyAny>> {
    let py = future.py();
    future.get().state.with(py, |state| {
        let set = state.extra.as_ref().and_then(|extra| extra.awaited_by.as_ref());
        set.map(|set| set.bind(py).clone())
    })
}

impl Future {
    /// The first task that awaits the future itself.
    pub(crate) fn waiting_task(&self, py: Python<'_>) -> Option<Py<Task>> {
        let waiting = self.state.with(py, |state| state.callbacks.waiting(py));
        waiting.into_iter().find_map(|one| match one {
            Waiting::Task(task) => Some(task),
            Waiting::Watcher(..) => None,
        })
    }
}

/// The tasks and futures that await `future`.
fn waiters<'py>(future: &Bound<'py, Future>) -> Vec<Bound<'py, PyAny>> {
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

/// Notes for tools who awaits a task that `watcher` begins to watch: the task behind the watcher, or else the current
/// one.
#[inline]
pub(crate) fn note(
    future: &Bound<'_, Future>,
    watcher: &Bound<'_, PyAny>,
    watch: &'static Watch,
) -> PyResult<()> {
    if !watch.is_awaited || Task::seen_by_tools(future).is_none() {
        return Ok(());
    }
    let py = future.py();
    let task = match (watch.awaiter)(watcher.clone()) {
        Awaiter::Task(task) => Some(task),
        Awaiter::Nobody | Awaiter::AwaitersOf(_) => current::current_on(py, &future.get().home(py)?)?,
    };
    task.map_or(Ok(()), |task| awaiters::add(future, &task))
}

/// Notes who awaits a task after a watcher has left it.
pub(crate) fn note_again(future: &Bound<'_, Future>) -> PyResult<()> {
    if Task::seen_by_tools(future).is_none() {
        return Ok(());
    }
    awaiters::clear(future)?;
    waiters(future).iter().try_for_each(|waiter| awaiters::add(future, waiter))
}

/// Records that the future `waiter` awaits the future `fut`, for call graphs (`asyncio.future_add_to_awaited_by`).
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(crate) fn future_add_to_awaited_by(fut: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = fut.py();
    let Some(future) = fut.as_instance::<Future>() else {
        return awaiters::by_standard(&imports::STANDARD_ADD_TO_AWAITED_BY, fut, waiter);
    };
    if !waiter.is_instance_of::<Future>() && !waiter.is_instance(imports::STANDARD_FUTURE.get(py)?)? {
        return Ok(());
    }
    if cfg!(Py_3_14) {
        return awaiters::add(future, waiter);
    }
    let set = match recorded(future) {
        Some(set) => set,
        None => {
            let set = PySet::empty(py)?.into_any();
            future.get().state.with(py, |state| state.extra().awaited_by = Some(set.clone().unbind()));
            set
        }
    };
    set.call_method1(intern!(py, "add"), (waiter,))?;
    Ok(())
}

/// Undo what `future_add_to_awaited_by` recorded of `fut` and `waiter` (`asyncio.future_discard_from_awaited_by`).
#[pyfunction]
#[pyo3(signature = (fut, waiter, /))]
pub(crate) fn future_discard_from_awaited_by(
    fut: &Bound<'_, PyAny>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = fut.py();
    let Some(future) = fut.as_instance::<Future>() else {
        return awaiters::by_standard(&imports::STANDARD_DISCARD_FROM_AWAITED_BY, fut, waiter);
    };
    if let Some(set) = recorded(future) {
        set.call_method1(intern!(py, "discard"), (waiter,))?;
    }
    awaiters::discard(future, waiter)
}
