//! Connects futures of two worlds: asyncio's and `concurrent.futures`' (`wrap_future`, `run_coroutine_threadsafe`).
//!
//! When the source is done, the destination gets its outcome; when the destination is cancelled, so is the source.
//! Each is only touched in its own loop's thread, a `concurrent.futures.Future` in any thread.

use pyo3::exceptions::{PyAssertionError, PyTypeError};
use pyo3::prelude::*;

use super::callbacks::Watch;
use super::watch::{self, Ended};
use super::{default_loop, isfuture, loop_of, native};
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::functions::{Declared, declared};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::{Item, LoopRef};

/// What the callbacks of both futures share.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Chain {
    ends: Guarded<Option<Ends>>,
}

collected!(Chain { ends }, clear { ends });

impl Class for Chain {}

struct Ends {
    source: Py<PyAny>,
    /// `None` for a `concurrent.futures.Future`.
    source_loop: Option<LoopRef>,
    destination: Py<PyAny>,
    destination_loop: Option<LoopRef>,
}

gc!(Ends { source, destination, source_loop, destination_loop });

/// One end of a chain, outside the guard.
struct End<'py> {
    future: Bound<'py, PyAny>,
    home: Option<LoopRef>,
}

#[pymethods]
impl Chain {}

impl Chain {
    fn source<'py>(&self, py: Python<'py>) -> Option<End<'py>> {
        self.ends.with(py, |ends| {
            ends.as_ref().map(|ends| End {
                future: ends.source.bind(py).clone(),
                home: ends.source_loop.as_ref().map(|home| home.duplicate(py)),
            })
        })
    }

    fn destination<'py>(&self, py: Python<'py>) -> Option<End<'py>> {
        self.ends.with(py, |ends| {
            ends.as_ref().map(|ends| End {
                future: ends.destination.bind(py).clone(),
                home: ends.destination_loop.as_ref().map(|home| home.duplicate(py)),
            })
        })
    }
}

pub(crate) const CHAIN_FUTURE: Declared = declared!(chain).function("ferrio.futures");

/// Let `destination` end as `source` does, and cancel `source` when `destination` is cancelled.
///
/// Takes futures of asyncio's kind and of `concurrent.futures`. Raises `TypeError` for anything else.
#[pyfunction(name = "_chain_future")]
pub(crate) fn chain(source: &Bound<'_, PyAny>, destination: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = source.py();
    let source_loop = home_of(source, "source")?;
    let destination_loop = home_of(destination, "destination")?;
    // A call in another thread, usually.
    let waiting = match (&source_loop, &destination_loop) {
        (None, Some(LoopRef::Native(native))) => Some(native.clone_ref(py)),
        _ => None,
    };
    let ends = Ends {
        source: source.clone().unbind(),
        source_loop,
        destination: destination.clone().unbind(),
        destination_loop,
    };
    let chain = Bound::new(py, Chain { ends: Guarded::new(Some(ends)) })?.into_any();
    if let Some(native) = waiting {
        native.get().note_job(&chain);
    }
    watch::watch(destination, &chain, &DESTINATION_DONE)?;
    watch::watch(source, &chain, &SOURCE_DONE)
}

/// asyncio's name of the callback that cancels a call when the call's future is cancelled.
pub(crate) const CHECK_CANCEL: &str = "_chain_future.<locals>._call_check_cancel";

static DESTINATION_DONE: Watch = Watch::new(CHECK_CANCEL, destination_done);
static SOURCE_DONE: Watch = Watch::new("_chain_future.<locals>._call_set_state", source_done);

/// The loop of an asyncio future, `None` for a `concurrent.futures.Future`.
fn home_of(future: &Bound<'_, PyAny>, role: &str) -> PyResult<Option<LoopRef>> {
    if isfuture(future)? {
        return Ok(Some(LoopRef::new(&loop_of(future)?)));
    }
    if future.is_instance(imports::CONCURRENT_FUTURE.get(future.py())?)? {
        return Ok(None);
    }
    Err(PyTypeError::new_err(format!(
        "A future is required for {role} argument, got {}",
        future.get_type().name()?
    )))
}

/// Whether this thread runs the loop.
fn runs_here(py: Python<'_>, home: &LoopRef) -> PyResult<bool> {
    match home {
        LoopRef::Native(native) => Ok(native.get().runs_here()),
        LoopRef::Foreign(foreign) => {
            Ok(imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?.is(foreign.bind(py)))
        }
    }
}

fn is_closed(py: Python<'_>, home: &LoopRef) -> PyResult<bool> {
    match home {
        LoopRef::Native(native) => Ok(native.get().closed()),
        LoopRef::Foreign(foreign) => foreign.bind(py).call_method0(intern!(py, "is_closed"))?.is_truthy(),
    }
}

/// The destination was cancelled, or ended otherwise. A cancellation is passed on to the source, in its own thread.
fn destination_done(chain: &Bound<'_, PyAny>, destination: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = chain.py();
    if !watch::is_cancelled(destination)? {
        return Ok(());
    }
    let Some(source) = chain.cast_exact::<Chain>()?.get().source(py) else { return Ok(()) };
    match &source.home {
        Some(home) if !runs_here(py, home)? => {
            home.post(py, Item::Watch(chain.clone().unbind(), py.None(), cancel_source))
        }
        _ => cancel(&source.future),
    }
}

fn cancel_source(chain: &Bound<'_, PyAny>, _none: &Bound<'_, PyAny>) -> PyResult<()> {
    match chain.cast_exact::<Chain>()?.get().source(chain.py()) {
        Some(source) => cancel(&source.future),
        None => Ok(()),
    }
}

fn cancel(future: &Bound<'_, PyAny>) -> PyResult<()> {
    future.call_method0(intern!(future.py(), "cancel")).map(drop)
}

/// The source is done: its outcome goes to the destination, in a turn of that one's own loop unless it can be told at
/// once.
fn source_done(chain: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = chain.py();
    let ends = chain.cast_exact::<Chain>()?.get();
    let Some(destination) = ends.destination(py) else { return Ok(()) };
    let Some(home) = &destination.home else { return set_concurrent(&destination.future, source) };
    if copies_at_once(py, ends, home)? {
        // A closed loop has dropped its callbacks, so nothing waits for a cancelled future there.
        if is_closed(py, home)? && watch::is_cancelled(&destination.future)? {
            return Ok(());
        }
        return copy(source, &destination.future);
    }
    if is_closed(py, home)? {
        return Ok(());
    }
    home.post(py, Item::Watch(chain.clone().unbind(), source.clone().unbind(), copy_in_loop))
}

/// Whether a future of `home` gets the outcome without a turn's delay. From Python 3.14 on, that is so if this thread
/// runs the loop; before that, if both futures have the same loop.
fn copies_at_once(py: Python<'_>, ends: &Chain, home: &LoopRef) -> PyResult<bool> {
    if cfg!(Py_3_14) {
        return runs_here(py, home);
    }
    let own = ends.source(py).and_then(|source| source.home);
    Ok(own.is_some_and(|own| own.object(py).is(home.object(py))))
}

fn copy_in_loop(chain: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> PyResult<()> {
    match chain.cast_exact::<Chain>()?.get().destination(chain.py()) {
        Some(destination) => copy(source, &destination.future),
        None => Ok(()),
    }
}

pub(crate) const COPY_FUTURE_STATE: Declared = declared!(copy).function("ferrio.futures");

/// End the asyncio future `dest` in the same way as `source`, which is done; a cancelled `dest` stays as it is.
///
/// Raises `AssertionError` if `source` isn't done, or if `dest` is done but not cancelled.
#[pyfunction(name = "_copy_future_state")]
pub(crate) fn copy(source: &Bound<'_, PyAny>, dest: &Bound<'_, PyAny>) -> PyResult<()> {
    if watch::is_cancelled(dest)? {
        return Ok(());
    }
    if !watch::is_done(source)? {
        return Err(PyAssertionError::new_err("the source future isn't done"));
    }
    if watch::is_done(dest)? {
        return Err(PyAssertionError::new_err("the destination future is done already"));
    }
    let py = source.py();
    match (watch::ended(source)?, watch::plain(dest)) {
        (Ended::Cancelled, _) => cancel(dest),
        (Ended::Exception(exception), Some(ours)) => native::set_exception(ours, converted(exception)?),
        (Ended::Result(value), Some(ours)) if !ours.is_instance_of::<crate::core::task::Task>() => {
            native::set_result(ours, value)
        }
        (Ended::Exception(exception), None) => {
            dest.call_method1(intern!(py, "set_exception"), (converted(exception)?,)).map(drop)
        }
        (Ended::Result(value), _) => dest.call_method1(intern!(py, "set_result"), (value,)).map(drop),
    }
}

/// Ends a `concurrent.futures.Future` in the same way as the asyncio future `source`, which is done.
fn set_concurrent(concurrent: &Bound<'_, PyAny>, source: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = source.py();
    if watch::is_cancelled(source)? {
        cancel(concurrent)?;
    }
    if !concurrent.call_method0(intern!(py, "set_running_or_notify_cancel"))?.is_truthy()? {
        return Ok(());
    }
    match watch::ended(source)? {
        Ended::Exception(exception) => {
            concurrent.call_method1(intern!(py, "set_exception"), (converted(exception)?,))?;
        }
        Ended::Result(value) => {
            concurrent.call_method1(intern!(py, "set_result"), (value,))?;
        }
        Ended::Cancelled => {}
    }
    Ok(())
}

/// Converts `concurrent.futures`' own exceptions to asyncio's, with their tracebacks.
fn converted(exception: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let py = exception.py();
    let class = exception.get_type();
    let ours = if class.is(imports::CONCURRENT_CANCELLED_ERROR.get(py)?) {
        imports::CANCELLED_ERROR.get(py)?
    } else if class.is(imports::CONCURRENT_INVALID_STATE_ERROR.get(py)?) {
        imports::INVALID_STATE_ERROR.get(py)?
    } else {
        return Ok(exception);
    };
    let arguments = exception.getattr(intern!(py, "args"))?.cast_into::<pyo3::types::PyTuple>()?;
    let made = ours.call1(arguments)?;
    made.setattr(intern!(py, "__traceback__"), exception.getattr(intern!(py, "__traceback__"))?)?;
    Ok(made)
}

pub(crate) const WRAP_FUTURE: Declared = declared!(wrap).function("ferrio.futures");

/// Return a future of `loop` (default: the running or current loop) that ends as the given
/// `concurrent.futures.Future` does; an asyncio future is returned as it is.
///
/// Cancelling one of them cancels the other. Raises `AssertionError` if `future` isn't a future
/// (`asyncio.wrap_future`).
#[pyfunction(name = "wrap_future")]
#[pyo3(signature = (future, *, r#loop = None))]
pub(crate) fn wrap<'py>(
    future: &Bound<'py, PyAny>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if isfuture(future)? {
        return Ok(future.clone());
    }
    if !future.is_instance(imports::CONCURRENT_FUTURE.get(py)?)? {
        return Err(PyAssertionError::new_err(format!(
            "concurrent.futures.Future is expected, got {}",
            future.repr()?
        )));
    }
    let home = match r#loop.filter(|given| !given.is_none()) {
        Some(given) => given.clone(),
        None => default_loop(py)?.object(py),
    };
    let wrapped = home.call_method0(intern!(py, "create_future"))?;
    chain(future, &wrapped)?;
    Ok(wrapped)
}
