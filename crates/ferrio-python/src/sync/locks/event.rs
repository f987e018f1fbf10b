//! `Event`: a flag that tasks can wait for.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyTuple};

use super::bound::{self, LoopBound};
use super::lock::with_waiters;
use super::waiters::{HasWaiters, Ticket, WaitList, show_waiters};
use crate::base::arguments::truth;
use crate::base::class::{Class, Standard};
use crate::base::ffi::Guarded;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

/// A flag for tasks, false at first. `set()` wakes all that wait for it.
///
/// Meaning and methods are those of `asyncio.Event`.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Event {
    /// Setters write this before they look at the waiters, and waiters read it in the look that adds them. So no waiter is
    /// missed.
    value: AtomicBool,
    waiters: Guarded<WaitList>,
}

collected!(Event { waiters } not { value }, written by waiters, clear { waiters });

impl Class for Event {
    const BELOW: Option<Standard> = Some(("asyncio.locks", "Event"));
    const SHORT_NAME: bool = true;
}

impl Functions for Event {
    const COROUTINES: &'static [&'static str] = &["wait"];
    const QUICK: &'static [Quick] = quick!(Event {
        "wait" (0 to 0) |event, _| Event::wait(event);
        "set" (0 to 0) |event, _| Event::set(event);
        "is_set" (0 to 0) |event, _| event.get().is_set();
        "clear" (0 to 0) |event, _| event.get().clear();
    });
}

#[pymethods]
impl Event {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> PyClassInitializer<Self> {
        Self::with_value(false)
    }

    #[pyo3(signature = ())]
    fn __init__(&self) {}

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let value = slf.get().is_set();
        let waiting = slf.get().waiters.with(slf.py(), |waiters| waiters.len());
        bound::repr_with(slf.as_any(), &with_waiters(if value { "set" } else { "unset" }, waiting))
    }

    /// Return whether the flag is true.
    pub(crate) fn is_set(&self) -> bool {
        self.value.load(Ordering::Acquire)
    }

    /// Make the flag true and wake all that wait for it.
    fn set(slf: &Bound<'_, Self>) -> PyResult<()> {
        set(slf)
    }

    /// Make the flag false again.
    pub(crate) fn clear(&self) {
        self.put(false);
    }

    /// Wait until the flag is true; return `True`. Does not suspend if it is true already.
    fn wait(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Wait::new(slf))
    }

    #[getter]
    fn _value(&self) -> bool {
        self.is_set()
    }

    #[setter(_value)]
    fn set_value(&self, #[pyo3(from_py_with = truth)] value: bool) {
        self.put(value);
    }
}

impl HasWaiters for Event {
    #[inline]
    fn with_waiters<R>(&self, py: Python<'_>, look: impl FnOnce(&mut WaitList) -> R) -> R {
        self.waiters.with(py, look)
    }
}

show_waiters!(Event);

impl Event {
    /// An event whose flag is `value`.
    pub(crate) fn with_value(value: bool) -> PyClassInitializer<Self> {
        PyClassInitializer::from(LoopBound::default())
            .add_subclass(Self { value: AtomicBool::new(value), waiters: Guarded::new(WaitList::default()) })
    }

    /// Sets the flag and wakes nobody; after `true` call `wake_all`. Allowed inside a look at another object.
    #[inline]
    pub(crate) fn put(&self, value: bool) {
        self.value.store(value, Ordering::Release);
    }
}

/// `event.set()`; from any thread if the waiters are on ferrio's loops.
#[inline]
pub(crate) fn set(event: &Bound<'_, Event>) -> PyResult<()> {
    if event.get().is_set() {
        return Ok(());
    }
    event.get().put(true);
    wake_all(event)
}

/// Wakes all waiters, after `Event::put`.
#[inline]
pub(crate) fn wake_all(event: &Bound<'_, Event>) -> PyResult<()> {
    let py = event.py();
    // They leave the list when they are resumed.
    while let Some(waiter) = event.get().waiters.with(py, |waiters| waiters.next_parked(py)) {
        operation::wake(&waiter)?;
    }
    Ok(())
}

/// The wait for an event. A queue's `join` uses it too.
pub(crate) struct Wait {
    event: Py<Event>,
    ticket: Ticket,
}

gc!(Wait { event } not { ticket });

impl Wait {
    #[inline]
    pub(crate) fn new(event: &Bound<'_, Event>) -> Self {
        Self { event: event.clone().unbind(), ticket: Ticket::NONE }
    }
}

impl Run for Wait {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let event = self.event.bind(py);
        if self.ticket != Ticket::NONE {
            let gone = event.get().waiters.with(py, |waiters| waiters.remove(self.ticket));
            drop(gone);
        } else if !event.get().is_set() {
            bound::require_loop(event.as_super())?;
            let waiter = this.clone().unbind();
            // Another thread may have set it since.
            let unneeded = event.get().waiters.with(py, |waiters| {
                if event.get().is_set() {
                    return Ok(Some(waiter));
                }
                self.ticket = waiters.push(py, waiter)?;
                PyResult::Ok(None)
            })?;
            if unneeded.is_none() {
                return Ok(Progress::Park);
            }
        }
        match resume {
            Resume::Send => Ok(Progress::Ready(PyBool::new(py, true).to_owned().into_any())),
            Resume::Throw(exception) => Err(PyErr::from_value(exception)),
        }
    }

    fn name(&self) -> &'static str {
        "Event.wait"
    }

    fn wakes_with_true(&self) -> bool {
        true
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.event.drop_ref(py);
    }
}
