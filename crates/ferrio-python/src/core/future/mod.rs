//! `Future`: a result that isn't there yet (asyncio's page "Futures").
//!
//! The class is asyncio's, method for method; `native.rs` has what Rust code calls instead of the methods. A task is
//! a future, but its additional state is in `task`.

pub(crate) mod awaited_by;
pub(crate) mod callbacks;
pub(crate) mod chain;
pub(crate) mod finalize;
pub(crate) mod iter;
pub(crate) mod native;
pub(crate) mod plain;
pub(crate) mod state;
pub(crate) mod watch;

use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple, PyType};

pub(crate) use self::plain::is_plain;
use self::state::{Outcome, State};
use crate::base::class::{Class, Standard};
use crate::base::ffi::raise::raise;
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::room::FutureRoom;
use crate::base::ffi::{Cast, Guarded, context};
use crate::base::functions::{Declared, declared};
use crate::base::gc::collected;
use crate::base::{error, imports};
use crate::core::event_loop::{self, LoopRef};

/// A result that isn't there yet, on one event loop.
///
/// Takes `loop`, the event loop that runs the callbacks; by default the running or current one. Meaning and methods
/// are those of `asyncio.Future`. Not thread-safe, except that a wake-up of another thread's loop is never lost.
#[pyclass(extends = FutureRoom, subclass, frozen, weakref, dict, module = "ferrio")]
#[derive(Default)]
pub(crate) struct Future {
    pub(crate) state: Guarded<State>,
}

collected!(Future { state }, written by state);

impl Class for Future {
    const BELOW: Option<Standard> = Some(("asyncio.futures", "Future"));
}

recycled!(Future);
impl Default for Guarded<State> {
    fn default() -> Self {
        Self::new(State::default())
    }
}

#[pymethods]
impl Future {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(*, loop=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self::default()
    }

    #[pyo3(signature = (*, r#loop = None))]
    fn __init__(slf: &Bound<'_, Self>, r#loop: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        native::initialize(slf, r#loop)
    }

    /// The generic alias `Future[item]`, for annotations (PEP 585).
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::GENERIC_ALIAS.get(class.py())?.call1((class, item))
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::FUTURE_REPR.get(slf.py())?.call1((slf,))
    }

    /// Return the future's event loop. Raises `RuntimeError` if `__init__` was never called.
    fn get_loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.home(py)?.object(py))
    }

    /// Return whether the future has a result or an exception, or was cancelled.
    fn done(&self, py: Python<'_>) -> bool {
        self.is_done(py)
    }

    /// Return whether the future was cancelled.
    fn cancelled(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.outcome, Outcome::Cancelled))
    }

    /// Return the result, or raise the exception that was set.
    ///
    /// Raises `CancelledError` if the future was cancelled, `InvalidStateError` if it isn't done.
    fn result(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        native::result(slf)
    }

    /// Return the exception that was set, or `None` if there is a result.
    ///
    /// Raises `CancelledError` if the future was cancelled, `InvalidStateError` if it isn't done.
    fn exception(slf: &Bound<'_, Self>) -> PyResult<Option<Py<PyAny>>> {
        native::exception(slf)
    }

    /// Call `fn(future)` in the loop's next turn after the future is done, in `context` or a copy of the current one.
    #[pyo3(signature = (r#fn, /, *, context = None))]
    fn add_done_callback(
        slf: &Bound<'_, Self>,
        r#fn: Bound<'_, PyAny>,
        context: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.get().home(py)?;
        let context = context::given_or_copy(py, context)?;
        let callback = callbacks::Callback::Python { function: r#fn.unbind(), context: context.unbind() };
        native::add_callback(slf, callback)
    }

    /// Remove every registration of `fn`; return how many there were.
    #[pyo3(signature = (r#fn, /))]
    fn remove_done_callback(slf: &Bound<'_, Self>, r#fn: &Bound<'_, PyAny>) -> PyResult<usize> {
        native::remove_callback(slf, r#fn)
    }

    /// Mark the future done with `result`. Raises `InvalidStateError` if it is done already.
    #[pyo3(signature = (result, /))]
    fn set_result(slf: &Bound<'_, Self>, result: Bound<'_, PyAny>) -> PyResult<()> {
        native::set_result(slf, result)
    }

    /// Mark the future done with `exception`, an instance or a class.
    ///
    /// Raises `InvalidStateError` if it is done already, `TypeError` if `exception` isn't an exception.
    #[pyo3(signature = (exception, /))]
    fn set_exception(slf: &Bound<'_, Self>, exception: Bound<'_, PyAny>) -> PyResult<()> {
        native::set_exception(slf, exception)
    }

    /// Cancel the future and schedule its callbacks; return `False` if it was done already.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        native::cancel(slf, msg)
    }

    /// Make the exception to raise for a cancelled future; the saved one is handed out once.
    fn _make_cancelled_error<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        native::make_cancelled_error(slf)
    }

    #[getter]
    fn _asyncio_future_blocking(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.blocking)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_asyncio_future_blocking(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = value.is_truthy()?;
        self.state.with(py, |state| state.blocking = value);
        Ok(())
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.home.as_ref().map(|known| known.object(py)))
    }

    #[getter]
    fn _state(&self, py: Python<'_>) -> &'static str {
        self.state.with(py, |state| state.outcome.word())
    }

    #[getter]
    fn _result(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| match &state.outcome {
            Outcome::Result(result) => Some(result.clone_ref(py)),
            _ => None,
        })
    }

    #[getter]
    fn _exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| match &state.outcome {
            Outcome::Exception(exception, _) => Some(exception.clone_ref(py).into_any()),
            _ => None,
        })
    }

    #[getter]
    fn _callbacks<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        // Made from a copy: making wrappers allocates, and may run the collector, which needs the state.
        let callbacks = self.state.with(py, |state| state.callbacks.duplicate(py));
        callbacks::Callbacks::shown(py, &callbacks)
    }

    #[getter]
    fn _log_traceback(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.log_traceback)
    }

    #[setter(_log_traceback)]
    fn set_log_traceback(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if value.is_truthy()? {
            return Err(PyValueError::new_err("_log_traceback can only be set to False"));
        }
        self.state.with(py, |state| state.log_traceback = false);
        Ok(())
    }

    #[getter]
    fn _cancel_message(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        native::cancel_message(self, py)
    }

    #[setter(_cancel_message)]
    fn set_cancel_message_attribute(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        let old = self.state.with(py, |state| std::mem::replace(&mut state.extra().cancel_message, value));
        drop(old);
    }

    #[getter]
    fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| {
            state.extra.as_ref().and_then(|extra| extra.source_traceback.as_ref().map(|tb| tb.clone_ref(py)))
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        // The loop and the log flag stay, because a finalizer that runs later needs them for its report.
        let cleared = self.state.with(py, |state| {
            (std::mem::take(&mut state.callbacks), std::mem::take(&mut state.outcome), state.extra.take())
        });
        drop(cleared);
    }
}

impl Future {
    /// A pending future on `home`, without the checks of `__init__`.
    pub(crate) fn on(home: LoopRef) -> Self {
        Self { state: Guarded::new(State { home: Some(home), ..State::default() }) }
    }

    /// Whether the future has an outcome.
    #[inline]
    pub(crate) fn is_done(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| !matches!(state.outcome, Outcome::Pending))
    }

    /// The loop. Raises `RuntimeError` if `__init__` was never called.
    #[inline]
    pub(crate) fn home(&self, py: Python<'_>) -> PyResult<LoopRef> {
        self.state
            .with(py, |state| state.home.as_ref().map(|known| known.duplicate(py)))
            .ok_or_else(|| not_initialized("Future"))
    }
}

/// The error if a class forgot `super().__init__()`.
pub(crate) fn not_initialized(class: &str) -> PyErr {
    PyRuntimeError::new_err(format!("{class} object is not initialized: call super().__init__() first."))
}

/// Return a new pending future on the loop `home`, with its traceback in debug mode.
pub(crate) fn create<'py>(py: Python<'py>, home: LoopRef) -> PyResult<Bound<'py, Future>> {
    let debug = home.debug(py)?;
    let future = Bound::new(py, Future::on(home))?;
    if debug {
        native::note_origin(&future)?;
    }
    Ok(future)
}

pub(crate) const ISFUTURE: Declared = declared!(isfuture).function("ferrio.futures");

/// Return whether `obj` is a future: it has asyncio's `_asyncio_future_blocking` protocol.
#[pyfunction]
pub(crate) fn isfuture(obj: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = obj.py();
    if obj.is_instance_of::<Future>() {
        return Ok(true);
    }
    let name = intern!(py, "_asyncio_future_blocking");
    if !obj.getattr(intern!(py, "__class__"))?.hasattr(name)? {
        return Ok(false);
    }
    Ok(!obj.getattr(name)?.is_none())
}

/// The loop of a new object if none was given: the running one, else the current one.
pub(crate) fn default_loop(py: Python<'_>) -> PyResult<LoopRef> {
    if let Some(running) = event_loop::running(py) {
        return Ok(LoopRef::Native(running));
    }
    Ok(LoopRef::new(&imports::GET_EVENT_LOOP.get(py)?.call0()?))
}

/// The exception that a cancelled future raises.
pub(crate) fn cancelled_error_of(future: &Bound<'_, Future>) -> PyErr {
    match native::make_cancelled_error(future) {
        Ok(exception) => raise(exception),
        Err(error) => error,
    }
}

pub(crate) use error::invalid_state;

impl Future {
    /// The exception that the future ended with, if any; it counts as retrieved now.
    pub(crate) fn take_notice(&self, py: Python<'_>) -> Option<Py<pyo3::exceptions::PyBaseException>> {
        self.state.with(py, |state| match &state.outcome {
            Outcome::Exception(exception, _) => {
                state.log_traceback = false;
                Some(exception.clone_ref(py))
            }
            _ => None,
        })
    }
}

/// The loop of a future, ours or not, by `get_loop()` or the older `_loop`.
pub(crate) fn loop_of<'py>(future: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = future.py();
    if let Some(ours) = future.as_instance::<Future>() {
        return Ok(ours.get().home(py)?.object(py));
    }
    match future.getattr(intern!(py, "get_loop")) {
        Ok(get_loop) => get_loop.call0(),
        Err(_) => future.getattr(intern!(py, "_loop")),
    }
}
