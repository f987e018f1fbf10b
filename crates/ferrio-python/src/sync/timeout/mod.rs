//! `Timeout`: cancels what takes too long (asyncio's page "Coroutines and Tasks", section "Timeouts").
//!
//! The deadline and the fate of the cancellation live in `scope.rs`. Entering and leaving never wait, so `__aenter__` and
//! `__aexit__` return operations that end at once. `wait_for` awaits inside a `Timeout` too.

pub(crate) mod scope;
mod views;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use self::scope::{Phase, Scope, When, convert, entering_task, start_timer};
use crate::base::arguments::seconds_or_none;
use crate::base::class::{Class, Standard};
use crate::base::ffi::fastcall::{Arguments, Quick, QuickFunction, quick};
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::{Cast, Guarded, recycle};
use crate::base::functions::{Declared, Functions, declared};
use crate::base::gc::collected;
use crate::core::event_loop::{self, LoopRef};
use crate::core::operation::immediate;
use crate::core::operation::unawaited::Unawaited;
use crate::core::task::cancel::cancel_waiter;

/// An asynchronous context manager that cancels its block at the loop's time `when` and then raises `TimeoutError`.
///
/// `timeout()` and `timeout_at()` make it. Takes `when` in seconds of `loop.time()`, or `None` for no limit.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio")]
pub(crate) struct Timeout {
    scope: Guarded<Scope>,
}

collected!(Timeout { scope }, written by scope);

impl Class for Timeout {
    const BELOW: Option<Standard> = Some(("asyncio.timeouts", "Timeout"));
}

recycled!(Timeout);

impl Functions for Timeout {
    const COROUTINES: &'static [&'static str] = &["__aenter__", "__aexit__"];
    const QUICK: &'static [Quick] = quick!(Timeout {
        "__aenter__" (0 to 0) |timeout, _| Timeout::__aenter__(timeout);
        "__aexit__" (3 to 3) |timeout, given| {
            let ended_by = given.get(1);
            let ended_by = if ended_by.is_none() { None } else { Some(&*ended_by) };
            immediate::call(timeout.as_any(), ended_by, "Timeout.__aexit__", leave)
        };
    });
}

impl recycle::End for Timeout {
    #[inline]
    fn ends_simply(&mut self) -> bool {
        let scope = self.scope.get_mut();
        scope.timer.is_none() && scope.task.is_none() && !matches!(scope.when, When::Given(_))
    }

    #[inline]
    fn end(_value: recycle::Ending<'_, Self>, _py: Python<'_>) {
        // Nothing in it needs a drop.
    }
}

pub(crate) const TIMEOUT: Declared = declared!(timeout).function("ferrio.timeouts").by::<Quickly>();

/// The fast call of `timeout`.
pub(crate) struct Quickly;

impl QuickFunction for Quickly {
    const FROM: usize = 1;
    const TO: usize = 1;

    #[inline]
    fn call<'py>(py: Python<'py>, given: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        recycle::make(py, timeout(&given.get(0))?).map(Bound::into_any)
    }
}

/// Return a `Timeout` for `async with`: the block is cancelled `delay` seconds from now, and raises `TimeoutError`.
///
/// Takes seconds, or `None` for no limit. Raises `RuntimeError` if no loop runs, and `TypeError` if `delay` isn't a number
/// (asyncio's `timeout`).
#[pyfunction]
#[pyo3(signature = (delay))]
pub(crate) fn timeout(delay: &Bound<'_, PyAny>) -> PyResult<Timeout> {
    let py = delay.py();
    let home = event_loop::running_loop(py)?;
    let when = match seconds_or_none(delay, "delay")? {
        None => When::Never,
        Some(delay) => When::after(py, &home, delay)?,
    };
    home.release(py);
    Ok(Timeout::due(when))
}

pub(crate) const TIMEOUT_AT: Declared = declared!(timeout_at).function("ferrio.timeouts");

/// As `timeout`, but takes a time `when` of `loop.time()` instead of a delay.
#[pyfunction]
#[pyo3(signature = (when))]
pub(crate) fn timeout_at(when: &Bound<'_, PyAny>) -> Timeout {
    Timeout::due(given(when))
}

/// The deadline that a caller gave: a number of seconds or `None`. It is checked when the block is entered.
fn given(when: &Bound<'_, PyAny>) -> When {
    if when.is_none() { When::Never } else { When::Given(when.clone().unbind()) }
}

#[pymethods]
impl Timeout {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(when)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::due(When::Never)
    }

    #[pyo3(signature = (when))]
    fn __init__(&self, py: Python<'_>, when: &Bound<'_, PyAny>) -> PyResult<()> {
        let fresh = Scope::new(given(when));
        let old = self.scope.with(py, |scope| std::mem::replace(scope, fresh));
        drop(old);
        Ok(())
    }

    /// Return the deadline in seconds of `loop.time()`, or `None`.
    fn when<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.scope.with(py, |scope| scope.when.duplicate(py)).object(py)
    }

    /// Move the deadline to the time `when`, or remove it with `None`. A time in the past expires in the next turn.
    ///
    /// Raises `RuntimeError` unless the block runs and the deadline is still ahead.
    #[pyo3(signature = (when))]
    fn reschedule(slf: &Bound<'_, Self>, when: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        match slf.get().phase(py) {
            Phase::Entered => {}
            Phase::Created => return Err(PyRuntimeError::new_err("Timeout has not been entered")),
            other => {
                let word = other.word();
                return Err(PyRuntimeError::new_err(format!("Cannot change state of {word} Timeout")));
            }
        }
        let when = given(when);
        let copy = when.duplicate(py);
        let (old, timer) =
            slf.get().scope.with(py, |scope| (std::mem::replace(&mut scope.when, copy), scope.timer.take()));
        drop(old);
        if let Some(timer) = timer {
            timer.stop(py)?;
        }
        arm(slf, &event_loop::running_loop(py)?, &when)
    }

    /// Return whether the deadline passed while the block ran.
    fn expired(&self, py: Python<'_>) -> bool {
        matches!(self.phase(py), Phase::Expiring | Phase::Expired)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (phase, when) = self.scope.with(py, |scope| (scope.phase, scope.when.duplicate(py)));
        let word = phase.word();
        if phase != Phase::Entered {
            return Ok(format!("<Timeout [{word}]>"));
        }
        let when = match when.object(py) {
            Some(when) => when.call_method1(intern!(py, "__round__"), (3,))?.str()?.to_string(),
            None => "None".to_owned(),
        };
        Ok(format!("<Timeout [{word}] when={when}>"))
    }

    /// Begin: from now on the deadline cancels the running task. Raises `RuntimeError` outside a task.
    fn __aenter__(slf: &Bound<'_, Self>) -> Unawaited {
        immediate::call(slf.as_any(), None, "Timeout.__aenter__", enter)
    }

    /// End: stop the timer. If the deadline has passed, take the cancellation back and raise `TimeoutError`.
    #[pyo3(signature = (exc_type, exc_val, exc_tb))]
    fn __aexit__(
        slf: &Bound<'_, Self>,
        exc_type: &Bound<'_, PyAny>,
        exc_val: Option<&Bound<'_, PyAny>>,
        exc_tb: &Bound<'_, PyAny>,
    ) -> Unawaited {
        let _ = (exc_type, exc_tb);
        immediate::call(slf.as_any(), exc_val, "Timeout.__aexit__", leave)
    }

    fn __clear__(&self, py: Python<'_>) {
        let cleared = self.scope.with(py, |scope| {
            (std::mem::replace(&mut scope.when, When::Never), scope.timer.take(), scope.task.take())
        });
        drop(cleared);
    }
}

impl Timeout {
    /// A timeout due at `when`, not entered yet.
    #[inline]
    fn due(when: When) -> Self {
        Self { scope: Guarded::new(Scope::new(when)) }
    }

    #[inline]
    fn phase(&self, py: Python<'_>) -> Phase {
        self.scope.with(py, |scope| scope.phase)
    }
}

/// What `await timeout.__aenter__()` does.
fn enter<'py>(timeout: &Bound<'py, PyAny>, _none: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    let py = timeout.py();
    let timeout = timeout.cast::<Timeout>()?;
    if timeout.get().phase(py) != Phase::Created {
        return Err(PyRuntimeError::new_err("Timeout has already been entered"));
    }
    let home = event_loop::running_loop(py)?;
    begin(timeout, &home)?;
    home.release(py);
    Ok(timeout.as_any().clone())
}

/// Begins the block in the task that runs now. Raises `RuntimeError` outside a task.
#[inline]
fn begin(timeout: &Bound<'_, Timeout>, home: &LoopRef) -> PyResult<()> {
    let py = timeout.py();
    let (task, cancelling) = entering_task(py, home)?;
    let task = task.unbind();
    let when = timeout.get().scope.with(py, |scope| {
        scope.phase = Phase::Entered;
        scope.task = Some(task);
        scope.cancelling = cancelling;
        scope.when.duplicate(py)
    });
    arm(timeout, home, &when)
}

/// An entered timeout of `limit` seconds from now, for another operation. Raises `RuntimeError` outside a task.
pub(super) fn entered(py: Python<'_>, limit: Option<f64>) -> PyResult<Bound<'_, Timeout>> {
    let home = event_loop::running_loop(py)?;
    let when = match limit {
        None => When::Never,
        Some(limit) => When::after(py, &home, limit)?,
    };
    let timeout = recycle::make(py, Timeout::due(when))?;
    begin(&timeout, &home)?;
    home.release(py);
    Ok(timeout)
}

/// What `await timeout.__aexit__(...)` does.
fn leave<'py>(
    timeout: &Bound<'py, PyAny>,
    raised: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    end(timeout.cast::<Timeout>()?, raised)?;
    Ok(timeout.py().None().into_bound(timeout.py()))
}

/// Leaves the block, which raised `raised`. If the deadline has passed, takes the cancellation back; an error is what the
/// block raises instead.
pub(super) fn end<'py>(timeout: &Bound<'py, Timeout>, raised: Option<&Bound<'py, PyAny>>) -> PyResult<()> {
    let py = timeout.py();
    let (phase, timer, task, cancelling) = timeout.get().scope.with(py, |scope| {
        let phase = scope.phase;
        match phase {
            Phase::Entered => scope.phase = Phase::Exited,
            Phase::Expiring => scope.phase = Phase::Expired,
            Phase::Created | Phase::Expired | Phase::Exited => {}
        }
        (phase, scope.timer.take(), scope.task.take(), scope.cancelling)
    });
    if let Some(timer) = timer {
        timer.stop(py)?;
    }
    match (phase, task) {
        (Phase::Entered, Some(task)) => task.drop_ref(py),
        (Phase::Entered, None) => {}
        (Phase::Expiring, Some(task)) => {
            if let Some(failure) = convert(task.bind(py), cancelling, raised)? {
                return Err(failure);
            }
        }
        (Phase::Created, _) => return Err(PyRuntimeError::new_err("Timeout has not been entered")),
        _ => return Err(PyRuntimeError::new_err("Timeout has already been left")),
    }
    Ok(())
}

/// Stops the timer of a timeout whose block will never be left.
#[cold]
pub(super) fn abandon(timeout: &Bound<'_, Timeout>) {
    let py = timeout.py();
    let (timer, task) = timeout.get().scope.with(py, |scope| {
        scope.phase = Phase::Exited;
        (scope.timer.take(), scope.task.take())
    });
    if let Some(timer) = timer {
        // If another loop's timer can't be cancelled, there is nobody to tell.
        let _ = timer.stop(py);
    }
    drop(task);
}

/// Starts the timer of an entered timeout.
fn arm(timeout: &Bound<'_, Timeout>, home: &LoopRef, when: &When) -> PyResult<()> {
    let timer = start_timer(timeout.as_any(), home, when, expire)?;
    let old = timeout.get().scope.with(timeout.py(), |scope| std::mem::replace(&mut scope.timer, timer));
    drop(old);
    Ok(())
}

/// The deadline has come: cancels the task.
fn expire<'py>(timeout: &Bound<'py, PyAny>, _done: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = timeout.py();
    let Some(timeout) = timeout.as_instance::<Timeout>() else { return Ok(()) };
    let scope = &timeout.get().scope;
    let Some(task) = scope.with(py, |scope| scope.due(py)) else { return Ok(()) };
    cancel_waiter(task.bind(py), None)?;
    let timer = scope.with(py, |scope| {
        scope.phase = Phase::Expiring;
        scope.timer.take()
    });
    drop(timer);
    Ok(())
}
