//! `Task`: a coroutine that its loop drives to the end (asyncio's page "Coroutines and Tasks").
//!
//! `step.rs` drives it, `cancel.rs` cancels it, `current.rs` answers `current_task()`, `registry.rs` keeps the set of
//! pending tasks. What a task shares with every future lives in `future`.

pub(crate) mod cancel;
pub(crate) mod create;
pub(crate) mod current;
pub(crate) mod eager;
pub(crate) mod finalize;
pub(crate) mod hooks;
mod number;
pub(crate) mod registry;
pub(crate) mod step;
pub(crate) mod threadsafe;
pub(crate) mod wakeup;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::base::class::{Class, Standard};
use crate::base::ffi::recycle::recycled;
use crate::base::ffi::{Cast, Guarded};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::future::{Future, not_initialized};
use crate::core::operation::{Operation, view};

/// A task's name: a number becomes text when a program asks.
pub(crate) enum Name {
    Number(u64),
    Given(Py<PyAny>),
}

gc!(match Name {
    Self::Given(name) => (name),
    Self::Number(_) => (),
});

/// What a task has in addition to a future's state; only the attached thread touches it.
pub(crate) struct State {
    /// The coroutine; `None` before `__init__` and after the end.
    pub(crate) coroutine: Option<Py<PyAny>>,
    /// The `contextvars.Context` of its steps.
    pub(crate) context: Option<Py<PyAny>>,
    pub(crate) name: Name,
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

gc!(State { coroutine, context, waiter, pending_error, name } not { place, cancel_requests, must_cancel, log_destroy_pending });

/// A future that runs the coroutine `coro` on the event loop `loop`.
///
/// `name` is any object, converted to a string. `context` is the `contextvars.Context` of the steps, by default a
/// copy of the current one. With `eager_start` the first step runs at once, which needs a running loop. Meaning and
/// methods are those of `asyncio.Task`. The loop keeps a pending task alive.
#[pyclass(extends = Future, subclass, frozen, module = "ferrio")]
pub(crate) struct Task {
    pub(crate) task: Guarded<State>,
}

collected!(Task { task }, written by task, clear { task { coroutine, context, waiter, pending_error } });

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
    fn get_coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task.with(py, |task| task.coroutine.as_ref().map(|coroutine| coroutine.clone_ref(py)))
    }

    /// Return the `contextvars.Context` of the task.
    fn get_context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.task.with(py, |task| task.context.as_ref().map(|context| context.clone_ref(py)))
    }

    /// Return the name of the task.
    fn get_name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.name(py)
    }

    /// Set the name of the task to `str(value)`.
    #[pyo3(signature = (value, /))]
    fn set_name(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let name = Name::Given(value.str()?.into_any().unbind());
        let old = self.task.with(value.py(), |task| std::mem::replace(&mut task.name, name));
        drop(old);
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
    fn _coro(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get_coro(py)
    }

    #[getter]
    fn _context(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.get_context(py)
    }

    #[getter]
    fn _name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.name(py)
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
                coroutine: None,
                context: None,
                name: Name::Number(0),
                waiter: None,
                pending_error: None,
                place: None,
                cancel_requests: 0,
                must_cancel: false,
                log_destroy_pending: true,
            }),
        }
    }

    /// The name as Python sees it.
    pub(crate) fn name(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let number = self.task.with(py, |task| match &task.name {
            Name::Given(name) => Err(name.clone_ref(py)),
            Name::Number(number) => Ok(*number),
        });
        match number {
            Err(name) => Ok(name),
            Ok(number) => {
                let name = PyString::new(py, &format!("Task-{number}")).into_any().unbind();
                let old = self
                    .task
                    .with(py, |task| std::mem::replace(&mut task.name, Name::Given(name.clone_ref(py))));
                drop(old);
                Ok(name)
            }
        }
    }

    /// The context of `task`'s steps. `None` before `__init__`.
    pub(crate) fn context_of<'py>(task: &Bound<'py, Self>) -> Option<Bound<'py, PyAny>> {
        let py = task.py();
        task.get().task.with(py, |state| state.context.as_ref().map(|context| context.bind(py).clone()))
    }

    /// Raises `RuntimeError` for a task whose `__init__` was never called.
    pub(crate) fn require_initialized(task: &Bound<'_, Self>) -> PyResult<()> {
        let ready = task.get().task.with(task.py(), |state| state.context.is_some());
        if ready { Ok(()) } else { Err(not_initialized("Task")) }
    }
}

/// The keyword arguments for a task factory or `create_task`, without those that weren't given.
pub(crate) fn given<'py>(
    py: Python<'py>,
    pairs: &[(&str, Option<&Bound<'py, PyAny>>)],
) -> PyResult<Bound<'py, PyDict>> {
    let keywords = PyDict::new(py);
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
