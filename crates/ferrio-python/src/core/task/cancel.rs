//! Cancellation: a request travels to what the task waits for, or waits for the next step.
//!
//! It travels without recursion, however long the chain of tasks and gatherings is, because Python wouldn't notice
//! the end of the native stack in time.
use pyo3::exceptions::PyRecursionError;
use pyo3::prelude::*;

use super::{Task, cancel_object};
use crate::base::ffi::{Cast, interpreter};
use crate::core::future::state::Outcome;
use crate::core::future::{Future, native, plain};
use crate::core::operation::{self, Operation};

/// `Task.cancel`; returns whether the task was still running.
pub(crate) fn cancel(task: &Bound<'_, Task>, message: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    Task::require_initialized(task)?;
    match request(task, message.as_ref())? {
        Met::Answer(answer) => Ok(answer),
        Met::Passed(asked, next) => travel(vec![asked], next, message.as_ref()),
    }
}

/// Cancels what a task waits for, or any other future; returns whether it was pending.
pub(crate) fn cancel_waiter(waiter: &Bound<'_, PyAny>, message: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    match meet(waiter, message)? {
        Met::Answer(answer) => Ok(answer),
        Met::Passed(asked, next) => travel(vec![asked], next, message),
    }
}

/// What was asked to cancel, and has asked another in turn.
enum Asked<'py> {
    /// A task, which asked what it waits for.
    Task(Bound<'py, Task>),
    /// A compound future, which asked the part with this number; and whether an earlier part was pending.
    Compound(Bound<'py, PyAny>, AskPart, usize, bool),
}

/// Finds part number `index` of the future `outer`, to be cancelled next. `reached` says whether an earlier part was pending.
pub(crate) type AskPart = for<'py> fn(outer: &Bound<'py, PyAny>, index: usize, reached: bool) -> Part<'py>;

/// The next step in cancelling a compound future.
pub(crate) enum Part<'py> {
    /// This part is asked next.
    Next(Bound<'py, PyAny>),
    /// There are no more; whether the future counts as cancelled.
    Over(bool),
}

/// The result of asking.
enum Met<'py> {
    /// Whether it was pending.
    Answer(bool),
    /// It depends on the answer of that other one.
    Passed(Asked<'py>, Bound<'py, PyAny>),
}

/// Passes the request down from `next`, and the answers back up to the first of `path`.
fn travel<'py>(
    mut path: Vec<Asked<'py>>,
    mut next: Bound<'py, PyAny>,
    message: Option<&Bound<'py, PyAny>>,
) -> PyResult<bool> {
    let mut circle = Circle::default();
    loop {
        circle.look(&next, path.len())?;
        let mut answer = match meet(&next, message)? {
            Met::Passed(asked, other) => {
                path.push(asked);
                next = other;
                continue;
            }
            Met::Answer(answer) => answer,
        };
        loop {
            answer = match path.pop() {
                None => return Ok(answer),
                Some(Asked::Task(task)) => {
                    if !answer {
                        keep(&task, message);
                    }
                    true
                }
                Some(Asked::Compound(outer, ask, index, reached)) => {
                    match ask_part(&outer, ask, index + 1, reached || answer) {
                        Met::Answer(answer) => answer,
                        Met::Passed(asked, other) => {
                            path.push(asked);
                            next = other;
                            break;
                        }
                    }
                }
            };
        }
    }
}

/// Finds out that a path leads in a circle, by Brent's algorithm: what stands at a power of two is compared with what follows.
#[derive(Default)]
struct Circle<'py> {
    /// One that is on the path, and how many were asked before it.
    passed: Option<(Bound<'py, PyAny>, usize)>,
}

impl<'py> Circle<'py> {
    /// Looks at who is asked after `depth` others. Raises `RecursionError` if it is on the path already.
    fn look(&mut self, next: &Bound<'py, PyAny>, depth: usize) -> PyResult<()> {
        let behind = self.passed.as_ref().filter(|(_, at)| *at < depth);
        if behind.is_some_and(|(passed, _)| passed.is(next)) {
            return Err(PyRecursionError::new_err(
                "can't cancel: these tasks wait for one another in a circle",
            ));
        }
        if behind.is_none() || depth.is_power_of_two() {
            self.passed = Some((next.clone(), depth));
        }
        Ok(())
    }
}

/// Asks one future, task or operation to cancel.
fn meet<'py>(waiter: &Bound<'py, PyAny>, message: Option<&Bound<'py, PyAny>>) -> PyResult<Met<'py>> {
    if let Some(answer) = end(waiter, message)? {
        return Ok(Met::Answer(answer));
    }
    if let Some(task) = waiter.as_exactly::<Task>() {
        return request(task, message);
    }
    if let Some(ask) = plain::ask_part_of(waiter) {
        return Ok(ask_part(waiter, ask, 0, false));
    }
    cancel_object(waiter, message).map(Met::Answer)
}

/// Asks a part of a compound future.
fn ask_part<'py>(outer: &Bound<'py, PyAny>, ask: AskPart, index: usize, reached: bool) -> Met<'py> {
    match ask(outer, index, reached) {
        Part::Next(part) => Met::Passed(Asked::Compound(outer.clone(), ask, index, reached), part),
        Part::Over(answer) => Met::Answer(answer),
    }
}

/// Cancels what can be cancelled at once: an operation, a plain future. `None` for everything else.
#[inline]
fn end<'py>(waiter: &Bound<'py, PyAny>, message: Option<&Bound<'py, PyAny>>) -> PyResult<Option<bool>> {
    if let Some(operation) = waiter.as_exactly::<Operation>() {
        return operation::cancel(operation, message.cloned()).map(Some);
    }
    if interpreter::is_exactly::<Future>(waiter)
        && let Some(future) = waiter.as_instance::<Future>()
    {
        return native::cancel(future, message.cloned()).map(Some);
    }
    Ok(None)
}

/// One request to cancel for `task`.
#[inline]
fn request<'py>(task: &Bound<'py, Task>, message: Option<&Bound<'py, PyAny>>) -> PyResult<Met<'py>> {
    let py = task.py();
    let done = task.as_super().get().state.with(py, |state| {
        state.log_traceback = false;
        !matches!(state.outcome, Outcome::Pending)
    });
    if done {
        return Ok(Met::Answer(false));
    }
    let mut waiter = task.get().task.with(py, |state| {
        state.cancel_requests += 1;
        state.waiter.as_ref().map(|waiter| waiter.bind(py).clone())
    });
    loop {
        if let Some(waiter) = &waiter {
            // The waiter stays: it may be a task that catches the cancellation, and be cancelled again later.
            match end(waiter, message)? {
                Some(true) => return Ok(Met::Answer(true)),
                Some(false) => {}
                None => return Ok(Met::Passed(Asked::Task(task.clone()), waiter.clone())),
            }
        }
        // The task may run in another thread. If it waits for something else by now, that must be cancelled.
        native::set_cancel_message(task.as_super().get(), py, message.cloned());
        let other = task.get().task.with(py, |state| {
            let now = state.waiter.as_ref().map(|now| now.bind(py).clone());
            let other = now.filter(|now| !waiter.as_ref().is_some_and(|seen| seen.is(now)));
            state.must_cancel |= other.is_none();
            other
        });
        if other.is_none() {
            return Ok(Met::Answer(true));
        }
        waiter = other;
    }
}

/// Keeps the request for the task's next step.
fn keep(task: &Bound<'_, Task>, message: Option<&Bound<'_, PyAny>>) {
    let py = task.py();
    task.get().task.with(py, |state| state.must_cancel = true);
    native::set_cancel_message(task.as_super().get(), py, message.cloned());
}

/// `Task.uncancel`; returns how many requests remain.
pub(crate) fn uncancel(task: &Task, py: Python<'_>) -> u32 {
    task.task.with(py, |state| {
        state.cancel_requests = state.cancel_requests.saturating_sub(1);
        if state.cancel_requests == 0 {
            // A request that no step has seen yet is withdrawn together with the last one (gh-117407).
            state.must_cancel = false;
        }
        state.cancel_requests
    })
}

/// `task.cancelling()` of any task object.
pub(crate) fn cancelling_of(task: &Bound<'_, PyAny>) -> PyResult<i64> {
    match task.as_exactly::<Task>() {
        Some(task) => Ok(i64::from(task.get().cancelling(task.py()))),
        None => task.call_method0(intern!(task.py(), "cancelling"))?.extract(),
    }
}

/// `task.uncancel()` of any task object.
pub(crate) fn uncancel_any(task: &Bound<'_, PyAny>) -> PyResult<i64> {
    match task.as_exactly::<Task>() {
        Some(task) => Ok(i64::from(uncancel(task.get(), task.py()))),
        None => task.call_method0(intern!(task.py(), "uncancel"))?.extract(),
    }
}
