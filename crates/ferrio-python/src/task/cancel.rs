//! Cancellation: a request travels to what the task waits for, or waits for the next step.

use pyo3::intern;
use pyo3::prelude::*;

use super::{Task, cancel_object};
use crate::ffi::interpreter;
use crate::future::{Future, native};
use crate::operation::{self, Operation};

/// `Task.cancel`: whether the task was still running.
pub(crate) fn cancel(task: &Bound<'_, Task>, message: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    let py = task.py();
    Task::require_initialized(task)?;
    let future = task.as_super();
    let done = future.get().state.with(py, |state| {
        state.log_traceback = false;
        !matches!(state.outcome, crate::future::state::Outcome::Pending)
    });
    if done {
        return Ok(false);
    }
    let waiter = task.get().task.with(py, |state| {
        state.cancel_requests += 1;
        state.waiter.as_ref().map(|waiter| waiter.bind(py).clone())
    });
    if let Some(waiter) = waiter
        && cancel_waiter(&waiter, message.as_ref())?
    {
        // The waiter stays: it may be a task that catches the cancellation, to be cancelled again later.
        return Ok(true);
    }
    task.get().task.with(py, |state| state.must_cancel = true);
    native::set_cancel_message(future.get(), py, message);
    Ok(true)
}

/// Cancels what a task waits for: whether it was pending.
pub(crate) fn cancel_waiter(waiter: &Bound<'_, PyAny>, message: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    if let Ok(operation) = waiter.cast_exact::<Operation>() {
        return operation::cancel(operation, message.cloned());
    }
    if interpreter::is_exactly::<Future>(waiter)
        && let Ok(future) = waiter.cast::<Future>()
    {
        return native::cancel(future, message.cloned());
    }
    if let Ok(task) = waiter.cast_exact::<Task>() {
        return cancel(task, message.cloned());
    }
    cancel_object(waiter, message)
}

/// `Task.uncancel`: how many requests remain.
pub(crate) fn uncancel(task: &Task, py: Python<'_>) -> u32 {
    task.task.with(py, |state| {
        state.cancel_requests = state.cancel_requests.saturating_sub(1);
        if state.cancel_requests == 0 {
            // A request that no step has seen yet goes with the last one (gh-117407).
            state.must_cancel = false;
        }
        state.cancel_requests
    })
}

/// `task.cancelling()` of any task object.
pub(crate) fn cancelling_of(task: &Bound<'_, PyAny>) -> PyResult<i64> {
    match task.cast_exact::<Task>() {
        Ok(task) => Ok(i64::from(task.get().cancelling(task.py()))),
        Err(_) => task.call_method0(intern!(task.py(), "cancelling"))?.extract(),
    }
}

/// `task.uncancel()` of any task object.
pub(crate) fn uncancel_any(task: &Bound<'_, PyAny>) -> PyResult<i64> {
    match task.cast_exact::<Task>() {
        Ok(task) => Ok(i64::from(uncancel(task.get(), task.py()))),
        Err(_) => task.call_method0(intern!(task.py(), "uncancel"))?.extract(),
    }
}
