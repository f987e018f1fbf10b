//! Any future, seen from Rust: ferrio's own through their state, all others through their Python methods.
//!
//! Code that waits for several futures at once uses these functions: `gather`, `wait`, a chain to another thread. So
//! a subclass with its own methods, a standard future and a `concurrent.futures.Future` all work.
use pyo3::prelude::*;

use super::callbacks::{Callback, Watch};
pub(crate) use super::plain::plain;
use super::state::Outcome;
use super::{awaited_by, native};
use crate::core::task::wakeup::Watcher;

/// How a future ended.
pub(crate) enum Ended<'py> {
    /// It was cancelled.
    Cancelled,
    /// With this value.
    Result(Bound<'py, PyAny>),
    /// With this exception, which counts as retrieved now.
    Exception(Bound<'py, PyAny>),
}

/// What a future ended with in place of a result.
pub(crate) enum Failure<'py> {
    /// It was cancelled.
    Cancelled,
    /// This exception, which counts as retrieved now.
    Exception(Bound<'py, PyAny>),
}

/// Schedules `watch.call(watcher, future)` in the future's loop for when `future` is done.
#[inline]
pub(crate) fn watch(
    future: &Bound<'_, PyAny>,
    watcher: &Bound<'_, PyAny>,
    watch: &'static Watch,
) -> PyResult<()> {
    let entry = watcher.clone().unbind();
    match plain(future) {
        Some(ours) => {
            awaited_by::note(ours, watcher, watch)?;
            native::add_callback(ours, Callback::Native(entry, watch))
        }
        None => {
            let callable = Bound::new(future.py(), Watcher::new(entry, watch))?;
            future.call_method1(intern!(future.py(), "add_done_callback"), (callable,)).map(drop)
        }
    }
}

/// Undoes `watch`, unless the call has been scheduled already.
pub(crate) fn unwatch(
    future: &Bound<'_, PyAny>,
    watcher: &Bound<'_, PyAny>,
    watch: &'static Watch,
) -> PyResult<()> {
    let py = future.py();
    match plain(future) {
        Some(ours) => {
            let removed = ours.get().state.with(py, |state| match state.outcome {
                Outcome::Pending => state.callbacks.remove_watcher(watcher),
                _ => Vec::new(),
            });
            drop(removed);
            awaited_by::note_again(ours)
        }
        None => {
            let callable = Bound::new(py, Watcher::new(watcher.clone().unbind(), watch))?;
            future.call_method1(intern!(py, "remove_done_callback"), (callable,)).map(drop)
        }
    }
}

/// `future.done()`.
#[inline]
pub(crate) fn is_done(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    match plain(future) {
        Some(ours) => Ok(ours.get().is_done(future.py())),
        None => future.call_method0(intern!(future.py(), "done"))?.is_truthy(),
    }
}

/// `future.cancelled()`.
pub(crate) fn is_cancelled(future: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = future.py();
    match plain(future) {
        Some(ours) => Ok(ours.get().state.with(py, |state| matches!(state.outcome, Outcome::Cancelled))),
        None => future.call_method0(intern!(py, "cancelled"))?.is_truthy(),
    }
}

/// What `future` ended with instead of a result, without raising it. Raises `InvalidStateError` if it isn't done.
#[inline]
pub(crate) fn failure<'py>(future: &Bound<'py, PyAny>) -> PyResult<Option<Failure<'py>>> {
    let py = future.py();
    if let Some(ours) = plain(future) {
        let found = ours.get().state.with(py, |state| match &state.outcome {
            Outcome::Result(_) => Some(None),
            Outcome::Exception(exception, _) => {
                state.log_traceback = false;
                Some(Some(Failure::Exception(exception.bind(py).as_any().clone())))
            }
            Outcome::Cancelled => Some(Some(Failure::Cancelled)),
            Outcome::Pending => None,
        });
        if let Some(found) = found {
            return Ok(found);
        }
    }
    // Asked first: `exception()` of a cancelled future raises instead of returning.
    if future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        return Ok(Some(Failure::Cancelled));
    }
    let exception = future.call_method0(intern!(py, "exception"))?;
    Ok((!exception.is_none()).then_some(Failure::Exception(exception)))
}

/// How `future` ended, without raising it. Raises `InvalidStateError` if it isn't done.
#[inline]
pub(crate) fn ended<'py>(future: &Bound<'py, PyAny>) -> PyResult<Ended<'py>> {
    let py = future.py();
    if let Some(ours) = plain(future) {
        let value = ours.get().state.with(py, |state| match &state.outcome {
            Outcome::Result(value) => Some(value.bind(py).clone()),
            _ => None,
        });
        if let Some(value) = value {
            return Ok(Ended::Result(value));
        }
    }
    Ok(match failure(future)? {
        Some(Failure::Cancelled) => Ended::Cancelled,
        Some(Failure::Exception(exception)) => Ended::Exception(exception),
        None => Ended::Result(result(future).map(|value| value.into_bound(py))?),
    })
}

fn result(future: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
    match plain(future) {
        Some(ours) => native::result(ours),
        None => future.call_method0(intern!(future.py(), "result")).map(Bound::unbind),
    }
}

/// The `CancelledError` of a cancelled future, with its message and traceback if the future knows them.
pub(crate) fn cancelled_error<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    match plain(future) {
        Some(ours) => native::make_cancelled_error(ours),
        None => future.call_method0(intern!(future.py(), "_make_cancelled_error")),
    }
}

/// Gives `future`, of any kind, its result, unless it is done already: its waiter may have cancelled it.
pub(crate) fn set_result_unless_done<'py>(
    future: &Bound<'py, PyAny>,
    value: Bound<'py, PyAny>,
) -> PyResult<()> {
    if is_done(future)? {
        return Ok(());
    }
    match plain(future) {
        Some(ours) => native::set_result(ours, value),
        None => future.call_method1(intern!(future.py(), "set_result"), (value,)).map(drop),
    }
}

/// Gives `future`, of any kind, its exception, unless it is done already.
pub(crate) fn set_exception_unless_done(future: &Bound<'_, PyAny>, failure: &PyErr) -> PyResult<()> {
    if is_done(future)? {
        return Ok(());
    }
    let py = future.py();
    future.call_method1(intern!(py, "set_exception"), (failure.value(py),)).map(drop)
}
