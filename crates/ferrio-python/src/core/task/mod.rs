//! `Task`: a coroutine that its loop drives to the end (asyncio's page "Coroutines and Tasks").
//!
//! `step.rs` drives it, `cancel.rs` cancels it, `current.rs` answers `current_task()`, `registry.rs` keeps the set of
//! pending tasks. What a task shares with every future lives in `future`.

pub(crate) mod cancel;
pub(crate) mod create;
pub(crate) mod current;
pub(crate) mod finalize;
pub(crate) mod hooks;
mod number;
mod recorded;
pub(crate) mod registry;
pub(crate) mod step;
pub(crate) mod threadsafe;
pub(crate) mod wakeup;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple};

use crate::base::class::{Class, Standard};
use crate::base::ffi::interpreter::is_exactly;
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::task_fields::{TaskRoom, look};
use crate::base::ffi::{Cast, Guarded};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::LoopRef;
use crate::core::future::{Future, not_initialized};
use crate::core::operation::{Operation, view};

/// What a task has in addition to a future's state and to the fields in its room; only the attached thread touches it.
pub(crate) struct State {
    /// The number in its default name, unless the name is known.
    pub(crate) number: u64,
    /// How many steps it has made, and how many of them because what it waited for was done.
    pub(crate) polls: u64,
    pub(crate) wakes: u64,
    /// What the task waits for: an operation, a future, or anything future-like.
    pub(crate) waiter: Option<Py<PyAny>>,
    /// The exception to throw at the next step.
    pub(crate) pending_error: Option<Py<PyAny>>,
    /// Its place in the loop's registry of pending tasks.
    pub(crate) place: Option<u32>,
    pub(crate) cancel_requests: u32,
    /// A cancellation that found nothing to cancel: thrown at the next step.
    pub(crate) must_cancel: bool,
    pub(crate) log_destroy_pending: bool,
}

gc!(State { waiter, pending_error } not { number, polls, wakes, place, cancel_requests, must_cancel, log_destroy_pending });

/// A future that runs the coroutine `coro` on the event loop `loop`.
///
/// `name` is any object, converted to a string. `context` is the `contextvars.Context` of the steps, by default a
/// copy of the current one. With `eager_start` the first step runs at once, which needs a running loop. Meaning and
/// methods are those of `asyncio.Task`. The loop keeps a pending task alive.
#[pyclass(extends = Future, subclass, frozen, module = "ferrio")]
pub(crate) struct Task {
    pub(crate) task: Guarded<State>,
}

collected!(Task { task }, written by task, clear { task { waiter, pending_error } });

impl TaskRoom for Task {
    type State = State;

    #[inline]
    fn cell(&self) -> &Guarded<State> {
        &self.task
    }
}

impl Class for Task {
    const BELOW: Option<Standard> = Some(("asyncio.tasks", "Task"));
}

recycled!(Task);
#[pymethods]
impl Task {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(coro, *, loop=None, name=None, context=None, eager_start=False)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyAny>>) -> PyClassInitializer<Self> {
        PyClassInitializer::from(Future::default()).add_subclass(Self::empty())
    }

    #[pyo3(signature = (coro, *, r#loop = None, name = None, context = None, eager_start = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        coro: Bound<'_, PyAny>,
        r#loop: Option<Bound<'_, PyAny>>,
        name: Option<Bound<'_, PyAny>>,
        context: Option<Bound<'_, PyAny>>,
        eager_start: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let eager_start = eager_start.map_or(Ok(false), |eager| eager.is_truthy())?;
        create::initialize(slf, coro, r#loop, name, context, eager_start)
    }

    fn __repr__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        imports::TASK_REPR.get(slf.py())?.call1((slf,))
    }

    /// Return the coroutine of the task, or `None` after an eager task has ended.
    fn get_coro(slf: &Bound<'_, Self>) -> Py<PyAny> {
        look(slf, |_, fields| fields.coroutine.clone_ref(slf.py()))
    }

    /// Return the `contextvars.Context` of the task.
    fn get_context(slf: &Bound<'_, Self>) -> Py<PyAny> {
        look(slf, |_, fields| fields.context.clone_ref(slf.py()))
    }

    /// Return the name of the task.
    fn get_name(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::name(slf)
    }

    /// Set the name of the task to `str(value)`.
    #[pyo3(signature = (value, /))]
    fn set_name(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = value.str()?.into_any().unbind();
        let old = look(slf, |_, fields| fields.name.replace(name));
        drop(old);
        // Before Python 3.12, `asyncio.create_task` names a task that it has made.
        if let Ok(LoopRef::Native(native)) = slf.as_super().get().home(slf.py()) {
            native.get().note_made(slf);
        }
        Ok(())
    }

    /// Always raises `RuntimeError`: a task's result comes from its coroutine.
    #[pyo3(signature = (result, /))]
    fn set_result(&self, result: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = result;
        Err(PyRuntimeError::new_err("Task does not support set_result operation"))
    }

    /// Always raises `RuntimeError`: a task's exception comes from its coroutine.
    #[pyo3(signature = (exception, /))]
    fn set_exception(&self, exception: &Bound<'_, PyAny>) -> PyResult<()> {
        let _ = exception;
        Err(PyRuntimeError::new_err("Task does not support set_exception operation"))
    }

    /// Return the list of frames where the task is suspended, or those of its exception's traceback.
    #[pyo3(signature = (*, limit = None))]
    fn get_stack<'py>(
        slf: &Bound<'py, Self>,
        limit: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::TASK_GET_STACK.get(slf.py())?.call1((slf, limit))
    }

    /// Print the frames of `get_stack` to `file`, by default `sys.stderr`.
    #[pyo3(signature = (*, limit = None, file = None))]
    fn print_stack(
        slf: &Bound<'_, Self>,
        limit: Option<Bound<'_, PyAny>>,
        file: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        imports::TASK_PRINT_STACK.get(slf.py())?.call1((slf, limit, file))?;
        Ok(())
    }

    /// Ask the task to cancel itself: `CancelledError` is thrown into its coroutine. Return `False` if it is done.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        cancel::cancel(slf, msg)
    }

    /// Return the number of cancellation requests that weren't withdrawn.
    fn cancelling(&self, py: Python<'_>) -> u32 {
        self.task.with(py, |task| task.cancel_requests)
    }

    /// Withdraw one cancellation request; return how many remain.
    fn uncancel(&self, py: Python<'_>) -> u32 {
        cancel::uncancel(self, py)
    }

    #[getter]
    fn _coro(slf: &Bound<'_, Self>) -> Py<PyAny> {
        Self::get_coro(slf)
    }

    #[getter]
    fn _context(slf: &Bound<'_, Self>) -> Py<PyAny> {
        Self::get_context(slf)
    }

    #[getter]
    fn _name(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::name(slf)
    }

    #[getter]
    fn _fut_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let waiter = self.task.with(py, |task| task.waiter.as_ref().map(|waiter| waiter.clone_ref(py)))?;
        match waiter.bind(py).as_exactly::<Operation>() {
            Some(operation) => Some(view::shown(operation).unbind()),
            None => Some(waiter),
        }
    }

    #[getter]
    fn _must_cancel(&self, py: Python<'_>) -> bool {
        self.task.with(py, |task| task.must_cancel)
    }

    #[getter]
    fn _num_cancels_requested(&self, py: Python<'_>) -> u32 {
        self.cancelling(py)
    }

    #[getter]
    fn _log_destroy_pending(&self, py: Python<'_>) -> bool {
        self.task.with(py, |task| task.log_destroy_pending)
    }

    #[setter(_log_destroy_pending)]
    fn set_log_destroy_pending(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let value = value.is_truthy()?;
        self.task.with(py, |task| task.log_destroy_pending = value);
        Ok(())
    }
}

impl Task {
    /// A task before its `__init__`.
    pub(crate) fn empty() -> Self {
        Self {
            task: Guarded::new(State {
                number: 0,
                polls: 0,
                wakes: 0,
                waiter: None,
                pending_error: None,
                place: None,
                cancel_requests: 0,
                must_cancel: false,
                log_destroy_pending: true,
            }),
        }
    }

    /// The name as Python sees it: a number becomes text when a program asks.
    pub(crate) fn name(task: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let py = task.py();
        let (known, number) =
            look(task, |state, fields| (fields.name.as_ref().map(|name| name.clone_ref(py)), state.number));
        let number: u64 = match known {
            None => number,
            Some(known) if known.bind(py).is_exact_instance_of::<PyInt>() => known.extract(py)?,
            Some(name) => return Ok(name),
        };
        let name = PyString::new(py, &format!("Task-{number}")).into_any().unbind();
        let kept = name.clone_ref(py);
        let old = look(task, |_, fields| fields.name.replace(kept));
        drop(old);
        Ok(name)
    }

    /// `awaited` as a future, if tools in other processes look who awaits it: from Python 3.14 on they see tasks.
    #[inline]
    pub(crate) fn seen_by_tools<'a, 'py>(awaited: &'a Bound<'py, PyAny>) -> Option<&'a Bound<'py, Future>> {
        if !cfg!(Py_3_14) || is_exactly::<Future>(awaited) {
            return None;
        }
        awaited.as_instance::<Self>().map(Bound::as_super)
    }

    /// The context of `task`'s steps. `None` before `__init__`.
    #[inline]
    pub(crate) fn context_of<'py>(task: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = task.py();
        let context = look(task, |_, fields| fields.context.bind(py).clone());
        (!context.is_none()).then_some(context)
    }

    /// Raises `RuntimeError` for a task whose `__init__` was never called.
    pub(crate) fn require_initialized(task: &Bound<'_, Self>) -> PyResult<()> {
        let ready = look(task, |_, fields| fields.are_set(task.py()));
        if ready { Ok(()) } else { Err(not_initialized("Task")) }
    }
}

/// The keyword arguments for a task factory or `create_task`: `others`, and those of `pairs` that were given.
pub(crate) fn given<'py>(
    py: Python<'py>,
    others: Option<&Bound<'py, PyDict>>,
    pairs: &[(&str, Option<&Bound<'py, PyAny>>)],
) -> PyResult<Bound<'py, PyDict>> {
    let keywords = others.map_or_else(|| Ok(PyDict::new(py)), |others| others.copy())?;
    for (name, value) in pairs {
        if let Some(value) = value {
            keywords.set_item(PyString::intern(py, name), value)?;
        }
    }
    Ok(keywords)
}

/// Calls the method `object.cancel(msg)`, for objects that aren't exactly ours.
pub(crate) fn cancel_object(object: &Bound<'_, PyAny>, message: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
    let py = object.py();
    let name = intern!(py, "cancel");
    let answer = match message {
        Some(message) if !message.is_none() => {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "msg"), message)?;
            object.call_method(name, (), Some(&keywords))?
        }
        _ => object.call_method0(name)?,
    };
    answer.is_truthy()
}
