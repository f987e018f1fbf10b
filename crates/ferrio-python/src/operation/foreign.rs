//! An operation under another driver than a ferrio task: it passes for a future while it is parked.
//!
//! The standard library's task (or a library's own) that gets an operation yielded looks for
//! `_asyncio_future_blocking`, adds a done callback, and comes back by `send`. Before it is awaited an operation is no
//! future (`_asyncio_future_blocking` is `None`), so `gather` and `ensure_future` take it for the coroutine it is.

use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Operation, Phase};
use crate::event_loop::{self, LoopRef};
use crate::ffi::context;
use crate::future::callbacks;

/// Who else waits.
#[derive(Default)]
pub(crate) struct ForeignWaiters {
    /// Whether a driver has set `_asyncio_future_blocking` to false, as it does when it begins to wait.
    pub(crate) taken: bool,
    callbacks: Vec<ForeignWaiter>,
}

struct ForeignWaiter {
    function: Py<PyAny>,
    context: Py<PyAny>,
    event_loop: LoopRef,
}

impl ForeignWaiters {
    /// Schedules every callback with the operation as its argument.
    pub(crate) fn schedule(self, operation: &Bound<'_, Operation>) -> PyResult<()> {
        let py = operation.py();
        self.callbacks.into_iter().try_for_each(|waiter| {
            waiter.event_loop.call_soon(
                py,
                waiter.function.bind(py),
                Some(operation.as_any()),
                Some(waiter.context.bind(py)),
            )
        })
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.callbacks.iter().try_for_each(|waiter| {
            visit.call(&waiter.function)?;
            visit.call(&waiter.context)?;
            waiter.event_loop.traverse(visit)
        })
    }
}

/// `_asyncio_future_blocking`: `None` unless the operation is being awaited, then whether nobody took it yet.
pub(crate) fn blocking(operation: &Operation, py: Python<'_>) -> Option<bool> {
    operation.state.with(py, |state| match state.phase {
        Phase::Fresh | Phase::Running | Phase::Finished => None,
        Phase::Between => None,
        Phase::Parked | Phase::Woken | Phase::Cancelled => {
            Some(!state.extra.as_ref().is_some_and(|extra| extra.foreign.taken))
        }
    })
}

/// `add_done_callback`, on the running loop.
pub(crate) fn add_done_callback(
    operation: &Bound<'_, Operation>,
    function: Bound<'_, PyAny>,
    given: Option<Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = operation.py();
    let context = context::given_or_copy(py, given)?;
    let event_loop = LoopRef::new(&event_loop::get_running_loop(py)?);
    let waiter = ForeignWaiter { function: function.unbind(), context: context.unbind(), event_loop };
    let late = operation.get().state.with(py, |state| {
        if state.phase == Phase::Parked {
            state.extra.get_or_insert_default().foreign.callbacks.push(waiter);
            None
        } else {
            Some(waiter)
        }
    });
    match late {
        None => Ok(()),
        Some(waiter) => ForeignWaiters { taken: true, callbacks: vec![waiter] }.schedule(operation),
    }
}

/// `remove_done_callback`: how many were removed.
pub(crate) fn remove_done_callback(
    operation: &Bound<'_, Operation>,
    function: &Bound<'_, PyAny>,
) -> PyResult<usize> {
    let py = operation.py();
    let callables = operation.get().state.with(py, |state| {
        let waiters = state.extra.as_ref().map_or(&[][..], |extra| &extra.foreign.callbacks);
        waiters.iter().map(|waiter| waiter.function.clone_ref(py)).collect()
    });
    let equal = callbacks::equal_to(function, callables)?;
    let removed = operation.get().state.with(py, |state| {
        let Some(extra) = state.extra.as_mut() else { return Vec::new() };
        let is_unwanted = |waiter: &ForeignWaiter| equal.iter().any(|one| one.is(&waiter.function));
        let (removed, kept) = std::mem::take(&mut extra.foreign.callbacks).into_iter().partition(is_unwanted);
        extra.foreign.callbacks = kept;
        removed
    });
    Ok(removed.len())
}
