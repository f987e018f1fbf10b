//! What Rust code calls instead of a future's Python methods: the same steps without attribute look-ups.
//!
//! Callers that may have a Python subclass use `watch.rs` instead, which calls overriding methods.

use pyo3::exceptions::{PyBaseException, PyRuntimeError, PyStopIteration, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::callbacks::{self, Callback, Callbacks};
use super::state::Outcome;
use super::{Future, cancelled_error_of, default_loop, invalid_state};
use crate::base::ffi::Cast;
use crate::base::ffi::raise::raise;
use crate::base::{error, imports};
use crate::core::event_loop::{LoopRef, call};

/// `Future.__init__`: binds the loop. Raises `RuntimeError` when called twice.
pub(crate) fn initialize(future: &Bound<'_, Future>, home: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let py = future.py();
    let home = match home {
        Some(home) if !home.is_none() => LoopRef::new(&home),
        _ => default_loop(py)?,
    };
    let debug = home.debug(py)?;
    let refused = future.get().state.with(py, |state| {
        if state.home.is_none() {
            state.home = Some(home);
            None
        } else {
            Some(home)
        }
    });
    if refused.is_some() {
        let class = future.get_type().name()?;
        return Err(PyRuntimeError::new_err(format!("{class} object is already initialized")));
    }
    if debug {
        note_origin(future)?;
    }
    Ok(())
}

/// Remembers the stack that makes `future` (debug mode).
pub(crate) fn note_origin(future: &Bound<'_, Future>) -> PyResult<()> {
    let py = future.py();
    let stack = current_stack(py)?.unbind();
    let old = future.get().state.with(py, |state| state.extra().source_traceback.replace(stack));
    drop(old);
    Ok(())
}

/// The stack of the Python code that called us, as `traceback.StackSummary` (asyncio's debug mode).
pub(crate) fn current_stack(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let frame = match imports::GETFRAME.get(py)?.call1((0,)) {
        Ok(frame) => frame,
        // A thread without a Python frame.
        Err(_) => return Ok(pyo3::types::PyList::empty(py).into_any()),
    };
    imports::EXTRACT_STACK.get(py)?.call1((frame,))
}

/// The message given to `cancel`, if any.
pub(crate) fn cancel_message(future: &Future, py: Python<'_>) -> Option<Py<PyAny>> {
    future.state.with(py, |state| {
        state
            .extra
            .as_ref()
            .and_then(|extra| extra.cancel_message.as_ref().map(|message| message.clone_ref(py)))
    })
}

/// Keeps `message` for the `CancelledError` to come.
pub(crate) fn set_cancel_message(future: &Future, py: Python<'_>, message: Option<Bound<'_, PyAny>>) {
    let old = future.state.with(py, |state| match message {
        Some(message) if !message.is_none() => state.extra().cancel_message.replace(message.unbind()),
        _ => state.extra.as_mut().and_then(|extra| extra.cancel_message.take()),
    });
    drop(old);
}

/// The outcome as an `await` sees it: the value, or the exception raised.
pub(crate) fn result(future: &Bound<'_, Future>) -> PyResult<Py<PyAny>> {
    let py = future.py();
    enum Found {
        Value(Py<PyAny>),
        Raise(Py<PyBaseException>, Option<Py<PyAny>>),
        Cancelled,
        Pending,
    }
    let found = future.get().state.with(py, |state| match &state.outcome {
        Outcome::Result(value) => Found::Value(value.clone_ref(py)),
        Outcome::Exception(exception, traceback) => {
            state.log_traceback = false;
            Found::Raise(exception.clone_ref(py), traceback.as_ref().map(|traceback| traceback.clone_ref(py)))
        }
        Outcome::Cancelled => Found::Cancelled,
        Outcome::Pending => Found::Pending,
    });
    match found {
        Found::Value(value) => Ok(value),
        Found::Raise(exception, traceback) => {
            let exception = exception.into_bound(py).into_any();
            // Each retrieval starts from the traceback as it was set. Otherwise it would grow each time.
            exception.setattr(intern!(py, "__traceback__"), traceback)?;
            Err(raise(exception))
        }
        Found::Cancelled => Err(cancelled_error_of(future)),
        Found::Pending => Err(not_done(future, "Result is not ready")),
    }
}

/// The error for a pending future's missing outcome; it tells if a subclass's `__init__` was forgotten.
fn not_done(future: &Bound<'_, Future>, what: &str) -> PyErr {
    let py = future.py();
    if future.get().state.with(py, |state| state.home.is_none()) {
        return invalid_state(py, "Future object is not initialized: call super().__init__() first.");
    }
    match future.repr() {
        Ok(repr) => invalid_state(py, &format!("{what}: await it first, it is {repr}")),
        Err(error) => error,
    }
}

/// The exception, `None` for a value. Raises for a cancelled or pending future.
pub(crate) fn exception(future: &Bound<'_, Future>) -> PyResult<Option<Py<PyAny>>> {
    let py = future.py();
    let found = future.get().state.with(py, |state| match &state.outcome {
        Outcome::Result(_) => Ok(None),
        Outcome::Exception(exception, _) => {
            state.log_traceback = false;
            Ok(Some(exception.clone_ref(py).into_any()))
        }
        Outcome::Cancelled => Err(true),
        Outcome::Pending => Err(false),
    });
    match found {
        Ok(found) => Ok(found),
        Err(true) => Err(cancelled_error_of(future)),
        Err(false) => Err(not_done(future, "Exception is not set")),
    }
}

/// The `CancelledError` for a cancelled future; a saved one is handed out once, with its traceback.
pub(crate) fn make_cancelled_error<'py>(future: &Bound<'py, Future>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    let (saved, message) = future.get().state.with(py, |state| match state.extra.as_mut() {
        Some(extra) => (
            extra.cancelled_error.take(),
            extra.cancel_message.as_ref().map(|message| message.clone_ref(py).into_bound(py)),
        ),
        None => (None, None),
    });
    match saved {
        Some(saved) => Ok(saved.into_bound(py)),
        None => error::cancelled(py, message.as_ref()),
    }
}

/// Ends the future with `outcome` and schedules its callbacks. Raises `InvalidStateError` if it is done already.
pub(crate) fn finish(future: &Bound<'_, Future>, outcome: Outcome) -> PyResult<()> {
    let py = future.py();
    // The loop first: an uninitialized future must not change.
    let home = future.get().home(py)?;
    if let LoopRef::Native(native) = &home
        && native.get().debug()
        && future.get().state.with(py, |state| !matches!(state.callbacks, Callbacks::None))
    {
        // What waits is told through the loop, which belongs to another thread.
        call::check_thread(py, native.get())?;
    }
    let finished = future.get().state.with(py, |state| state.finish(outcome));
    match finished {
        Ok(callbacks) => {
            let scheduled = match callbacks {
                Callbacks::None => Ok(()),
                Callbacks::One(callback) => callback.schedule(py, &home, future),
                Callbacks::Many(all) => {
                    all.into_iter().try_for_each(|callback| callback.schedule(py, &home, future))
                }
            };
            home.release(py);
            scheduled
        }
        Err(_refused) => {
            let word = future.get().state.with(py, |state| state.outcome.word());
            Err(invalid_state(
                py,
                &format!("{word}: {} has its outcome already, and only one", future.repr()?),
            ))
        }
    }
}

/// `Future.set_result`.
pub(crate) fn set_result(future: &Bound<'_, Future>, result: Bound<'_, PyAny>) -> PyResult<()> {
    finish(future, Outcome::Result(result.unbind()))
}

const STOP_ITERATION_REFUSED: &str =
    "StopIteration interacts badly with generators and cannot be raised into a Future";

/// `Future.set_exception`: an instance or a class; `StopIteration` can't pass through an `await` and is wrapped.
pub(crate) fn set_exception(future: &Bound<'_, Future>, exception: Bound<'_, PyAny>) -> PyResult<()> {
    let py = future.py();
    if future.get().is_done(py) {
        // Before the argument is checked, as in asyncio.
        return finish(future, Outcome::Cancelled);
    }
    let exception = match exception.as_instance::<PyType>() {
        Some(class) if class.is_subclass_of::<PyBaseException>()? => class.call0()?,
        _ => exception,
    };
    let Ok(exception) = exception.cast_into::<PyBaseException>() else {
        return Err(PyTypeError::new_err(
            "invalid exception object: set_exception() takes an exception instance or class",
        ));
    };
    if exception.is_instance_of::<PyStopIteration>() {
        if py.version_info() < (3, 12, 2) {
            // These Pythons refuse it outright (gh-112182).
            return Err(PyTypeError::new_err(STOP_ITERATION_REFUSED));
        }
        let wrapped = PyRuntimeError::new_err(STOP_ITERATION_REFUSED).into_value(py).into_bound(py);
        wrapped.setattr(intern!(py, "__cause__"), &exception)?;
        wrapped.setattr(intern!(py, "__context__"), &exception)?;
        return finish_with_exception(future, wrapped);
    }
    finish_with_exception(future, exception)
}

/// Ends the future with an exception object and its traceback.
pub(crate) fn finish_with_exception(
    future: &Bound<'_, Future>,
    exception: Bound<'_, PyBaseException>,
) -> PyResult<()> {
    let py = future.py();
    let traceback = exception.getattr(intern!(py, "__traceback__"))?;
    let traceback = (!traceback.is_none()).then(|| traceback.unbind());
    finish(future, Outcome::Exception(exception.unbind(), traceback))
}

/// `Future.cancel`; returns whether it was pending.
pub(crate) fn cancel(future: &Bound<'_, Future>, message: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
    let py = future.py();
    let pending = future.get().state.with(py, |state| {
        state.log_traceback = false;
        matches!(state.outcome, Outcome::Pending)
    });
    if !pending {
        return Ok(false);
    }
    future.get().home(py)?;
    set_cancel_message(future.get(), py, message);
    finish(future, Outcome::Cancelled)?;
    Ok(true)
}

/// Adds a callback, or schedules it at once when the future is done.
pub(crate) fn add_callback(future: &Bound<'_, Future>, callback: Callback) -> PyResult<()> {
    let py = future.py();
    let late = future.get().state.with(py, |state| {
        if matches!(state.outcome, Outcome::Pending) {
            state.callbacks.add(callback);
            None
        } else {
            Some(callback)
        }
    });
    match late {
        None => Ok(()),
        Some(callback) => callback.schedule(py, &future.get().home(py)?, future),
    }
}

/// Removes every registration of the callable `function`; returns how many there were.
pub(crate) fn remove_callback(future: &Bound<'_, Future>, function: &Bound<'_, PyAny>) -> PyResult<usize> {
    let py = future.py();
    future.get().home(py)?;
    let callables = future.get().state.with(py, |state| state.callbacks.callables(py));
    let equal = callbacks::equal_to(function, callables)?;
    let removed = future.get().state.with(py, |state| {
        state.callbacks.remove(|callback| {
            callback.callable().is_some_and(|callable| equal.iter().any(|one| one.is(callable)))
        })
    });
    Ok(removed.len())
}
