//! The future that represents the wait of a parked operation, for everything except ferrio's own tasks.
//!
//! asyncio's coroutines wait for futures, and programs find them: as a task's `_fut_waiter`, in a lock's `_waiters`,
//! and yielded to a coroutine's driver. Here such a future is made on request, one for each wait, and called its
//! view.
//!
//! Invariant: a view and its wait end together, whichever ends first.

use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::{Ending, Operation, Phase, end_parking};
use crate::base::ffi::coroutine::Sent;
use crate::core::event_loop::LoopRef;
use crate::core::future::callbacks::Callback;
use crate::core::future::state::Outcome;
use crate::core::future::{self, Future, native};

/// The view of the current wait, or of one that has ended but wasn't resumed yet. `None` if the operation isn't
/// waiting.
///
/// Raises `RuntimeError` if there is no loop for it.
pub(crate) fn of<'py>(operation: &Bound<'py, Operation>) -> PyResult<Option<Bound<'py, Future>>> {
    let py = operation.py();
    let (phase, known, task) = operation.get().state.with(py, |state| {
        let known = state.extra.as_ref().and_then(|extra| extra.view.as_ref());
        let task = state.task.as_ref().map(|task| task.clone_ref(py));
        (state.phase, known.map(|known| known.clone_ref(py)), task)
    });
    if !matches!(phase, Phase::Parked | Phase::Woken | Phase::Cancelled) {
        return Ok(None);
    }
    if let Some(known) = known {
        return Ok(Some(known.into_bound(py)));
    }
    let home = match &task {
        Some(task) => task.bind(py).as_super().get().home(py)?,
        None => future::default_loop(py)?,
    };
    make(operation, home, task.is_none()).map(Some)
}

/// As `of`, or the operation itself if it has no view.
pub(crate) fn shown<'py>(operation: &Bound<'py, Operation>) -> Bound<'py, PyAny> {
    match of(operation) {
        Ok(Some(view)) => view.into_any(),
        Ok(None) | Err(_) => operation.as_any().clone(),
    }
}

/// What a parked operation yields to a driver that isn't a ferrio task.
#[cold]
pub(super) fn yielded<'py>(operation: &Bound<'py, Operation>) -> Sent<'py> {
    Sent::Yielded(shown(operation))
}

/// Yields a parked operation again, to another waiter. `None` if nobody waits for what it yielded last.
pub(super) fn await_again<'py>(operation: &Bound<'py, Operation>) -> PyResult<Option<Bound<'py, Future>>> {
    let py = operation.py();
    let Some(view) = of(operation)? else { return Ok(None) };
    let untaken = view.get().state.with(py, |state| std::mem::replace(&mut state.blocking, true));
    Ok((!untaken).then_some(view))
}

fn make<'py>(
    operation: &Bound<'py, Operation>,
    home: LoopRef,
    untaken: bool,
) -> PyResult<Bound<'py, Future>> {
    let py = operation.py();
    let view = future::create(py, home)?;
    let entry = Callback::Operation(operation.clone().unbind());
    view.get().state.with(py, |state| {
        state.blocking = untaken;
        state.callbacks.add(entry);
    });
    let kept = view.clone().unbind();
    let (phase, old) = operation
        .get()
        .state
        .with(py, |state| (state.phase, state.extra.get_or_insert_default().view.replace(kept)));
    drop(old);
    if phase != Phase::Parked {
        follow(operation, &view)?;
    }
    Ok(view)
}

/// Ends the view of a wait that has ended, with the same outcome.
#[cold]
pub(super) fn follow(operation: &Bound<'_, Operation>, view: &Bound<'_, Future>) -> PyResult<()> {
    let py = operation.py();
    let (outcome, message) = operation.get().state.with(py, |state| {
        if state.phase != Phase::Cancelled {
            let value = if state.wakes_with_true {
                PyBool::new(py, true).to_owned().into_any().unbind()
            } else {
                py.None()
            };
            return (Ok(value), None);
        }
        let extra = state.extra.as_ref();
        let failure = extra.and_then(|extra| extra.failure.as_ref()).map(|failure| failure.bind(py).clone());
        let message = extra.and_then(|extra| extra.cancel_message.as_ref());
        (Err(failure), message.map(|message| message.bind(py).clone()))
    });
    match outcome {
        Ok(value) => end(view, Outcome::Result(value)),
        Err(Some(failure)) => {
            if !view.get().is_done(py) {
                native::set_exception(view, failure)?;
                // The operation raises it.
                view.get().take_notice(py);
            }
            Ok(())
        }
        Err(None) => {
            if !view.get().is_done(py) {
                native::set_cancel_message(view.get(), py, message);
            }
            end(view, Outcome::Cancelled)
        }
    }
}

/// Ends `view` unless it has ended already; callable from any thread.
pub(super) fn end(view: &Bound<'_, Future>, outcome: Outcome) -> PyResult<()> {
    let py = view.py();
    let finished = view.get().state.with(py, |state| state.finish(outcome));
    let Ok(callbacks) = finished else { return Ok(()) };
    let home = view.get().home(py)?;
    callbacks.into_vec().into_iter().try_for_each(|callback| callback.schedule(py, &home, view))
}

/// Ends the wait in the same way as its view was ended.
pub(crate) fn ended(operation: &Bound<'_, Operation>, view: &Bound<'_, Future>) -> PyResult<()> {
    let py = operation.py();
    let (ending, failed) = view.get().state.with(py, |state| match &state.outcome {
        Outcome::Cancelled => {
            let message = state.extra.as_ref().and_then(|extra| extra.cancel_message.as_ref());
            (Ending::Cancelled(message.map(|message| message.clone_ref(py))), false)
        }
        Outcome::Exception(exception, _) => (Ending::Failed(exception.clone_ref(py).into_any()), true),
        Outcome::Result(_) | Outcome::Pending => (Ending::Woken, false),
    });
    if failed {
        view.get().take_notice(py);
    }
    end_parking(operation, ending).map(drop)
}
