//! Making tasks: `Task.__init__`, `create_task`, `ensure_future`.

use ferrio_engine::recorder::End;
use pyo3::PyClassInitializer;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::{Task, number, registry, step};
use crate::base::ffi::fastcall::{Arguments, QuickFunction};
use crate::base::ffi::task_fields::{self, TaskFields, look};
use crate::base::ffi::{Cast, context, coroutine};
use crate::base::functions::{Declared, declared};
use crate::base::imports;
use crate::core::event_loop::{self, Item, LoopRef, call};
use crate::core::future::{self, Future, native};
use crate::core::operation::Operation;

/// Whether `object` can be a task's coroutine.
#[inline]
pub(crate) fn is_coroutine(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    if coroutine::is_coroutine(object) || object.is_instance_of::<Operation>() {
        return Ok(true);
    }
    imports::IS_COROUTINE.get(object.py())?.call1((object,))?.is_truthy()
}

fn require_coroutine(object: &Bound<'_, PyAny>) -> PyResult<()> {
    if is_coroutine(object)? {
        return Ok(());
    }
    let hint = hint(object)?;
    Err(PyTypeError::new_err(format!("a coroutine was expected, got {}{hint}", object.repr()?)))
}

/// The error for `object`, which can't be awaited.
#[cold]
pub(crate) fn not_awaitable(object: &Bound<'_, PyAny>) -> PyResult<PyErr> {
    Ok(PyTypeError::new_err(format!(
        "An asyncio.Future, a coroutine or an awaitable is required, not {}{}",
        object.repr()?,
        hint(object)?
    )))
}

/// Suggests what may have been meant by passing `object`.
#[cold]
fn hint(object: &Bound<'_, PyAny>) -> PyResult<String> {
    imports::HINT.get(object.py())?.call1((object,))?.extract()
}

fn context_for<'py>(py: Python<'py>, given: Option<Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyAny>> {
    match given.filter(|given| !given.is_none()) {
        None => context::copy_current(py),
        Some(given) => {
            context::require(&given)?;
            Ok(given)
        }
    }
}

/// A plain ferrio task on `home`: scheduled, or already begun with `eager_start` on a running loop.
pub(crate) fn new_task<'py>(
    py: Python<'py>,
    home: LoopRef,
    coro: Bound<'py, PyAny>,
    name: Option<Bound<'py, PyAny>>,
    given_context: Option<Bound<'py, PyAny>>,
    eager_start: bool,
) -> PyResult<Bound<'py, Task>> {
    require_coroutine(&coro)?;
    let context = context_for(py, given_context)?.unbind();
    let (name, number) = name_for(py, name)?;
    let debug = home.debug(py)?;
    let initializer = PyClassInitializer::from(Future::on(home.duplicate(py))).add_subclass(Task::empty());
    let task = Bound::new(py, initializer)?;
    set_fields(&task, TaskFields { coroutine: coro.unbind(), name, context }, number);
    if debug {
        native::note_origin(task.as_super())?;
    }
    start(&task, &home, eager_start)?;
    Ok(task)
}

/// The name and the number of a new task. Tools in other processes read a default name as an `int` object, from Python
/// 3.14 on.
#[inline]
fn name_for(py: Python<'_>, name: Option<Bound<'_, PyAny>>) -> PyResult<(Option<Py<PyAny>>, u64)> {
    if let Some(name) = name.filter(|name| !name.is_none()) {
        return Ok((Some(name.str()?.into_any().unbind()), 0));
    }
    let number = number::next();
    let shown = if cfg!(Py_3_14) { Some(task_fields::numbered(py, number)?) } else { None };
    Ok((shown, number))
}

/// Fills in what makes it a task that can run.
#[inline]
fn set_fields(task: &Bound<'_, Task>, new: TaskFields, number: u64) {
    let old = look(task, |state, fields| {
        state.number = number;
        state.log_destroy_pending = true;
        std::mem::replace(fields, new)
    });
    let py = task.py();
    old.coroutine.drop_ref(py);
    old.context.drop_ref(py);
    drop(old.name);
}

/// `Task.__init__`, for subclasses and for direct construction.
pub(crate) fn initialize(
    task: &Bound<'_, Task>,
    coro: Bound<'_, PyAny>,
    home: Option<Bound<'_, PyAny>>,
    name: Option<Bound<'_, PyAny>>,
    given_context: Option<Bound<'_, PyAny>>,
    eager_start: bool,
) -> PyResult<()> {
    let py = task.py();
    native::initialize(task.as_super(), home)?;
    let checked = require_coroutine(&coro)
        .and_then(|()| Ok((name_for(py, name)?, context_for(py, given_context)?.unbind())));
    let ((name, number), context) = match checked {
        Ok(checked) => checked,
        Err(failure) => {
            // Nothing runs, so nothing needs a report when the object is dropped. The call may be tried again.
            task.get().task.with(py, |state| state.log_destroy_pending = false);
            let bound = task.as_super().get().state.with(py, |state| state.home.take());
            drop(bound);
            return Err(failure);
        }
    };
    set_fields(task, TaskFields { coroutine: coro.unbind(), name, context }, number);
    let home = task.as_super().get().home(py)?;
    let started = start(task, &home, eager_start);
    if started.is_err() && eager_start {
        task.get().task.with(py, |state| state.log_destroy_pending = false);
    }
    started
}

#[inline]
fn start(task: &Bound<'_, Task>, home: &LoopRef, eager_start: bool) -> PyResult<()> {
    let py = task.py();
    if eager_start && is_running(py, home)? {
        // Its own first step sees it among the tasks.
        registry::remember(py, home, task)?;
        let begun = step::step_eagerly(task, home);
        if task.as_super().get().is_done(py) {
            let ended = look(task, |_, fields| std::mem::replace(&mut fields.coroutine, py.None()));
            drop(ended);
        } else if begun.is_err() {
            // Its context is entered already: nothing has run, and nothing ever will.
            task.get().task.with(py, |state| state.log_destroy_pending = false);
            registry::forget(py, home, task, End::Failed)?;
        }
        return begun;
    }
    if let LoopRef::Native(native) = home
        && native.get().debug()
        && let Err(refusal) = call::check_thread(py, native.get())
    {
        task.get().task.with(py, |state| state.log_destroy_pending = false);
        return Err(refusal);
    }
    home.schedule(py, Item::Step(task.clone().unbind()))?;
    registry::remember(py, home, task)
}

fn is_running(py: Python<'_>, home: &LoopRef) -> PyResult<bool> {
    match home {
        LoopRef::Native(native) => Ok(native.get().is_running()),
        LoopRef::Foreign(foreign) => foreign.bind(py).call_method0(intern!(py, "is_running"))?.is_truthy(),
    }
}

pub(crate) const CREATE_TASK: Declared = declared!(create_task).function("ferrio.tasks").by::<Quickly>();

/// The fast path of `create_task`.
pub(crate) struct Quickly;

impl QuickFunction for Quickly {
    const FROM: usize = 1;
    const TO: usize = 1;

    #[inline]
    fn call<'py>(_py: Python<'py>, given: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>> {
        create_task(given.get(0).to_owned(), None)
    }
}

/// Run the coroutine `coro` as a task of the running loop and return the task.
///
/// Takes the keywords of `loop.create_task`: `name`, `context`, `eager_start`. Raises `RuntimeError` if no loop runs.
#[pyfunction]
#[pyo3(signature = (coro, **kwargs))]
pub(crate) fn create_task<'py>(
    coro: Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coro.py();
    if let (Some(native), None) = (event_loop::running(py), kwargs)
        && native.get().makes_plain_tasks(py)
    {
        native.get().require_open()?;
        return new_task(py, LoopRef::Native(native), coro, None, None, false).map(Bound::into_any);
    }
    let home = event_loop::get_running_loop(py)?;
    home.call_method(intern!(py, "create_task"), (coro,), kwargs)
}

/// A future for `awaitable`: itself if it is one, else a task on `given` (default: the running or current loop).
///
/// Raises `TypeError` if it can't be awaited, `ValueError` for a future of another loop.
pub(crate) fn ensure_future<'py>(
    awaitable: &Bound<'py, PyAny>,
    given: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = awaitable.py();
    let given = given.filter(|given| !given.is_none());
    if future::isfuture(awaitable)? {
        if let Some(given) = given
            && !future::loop_of(awaitable)?.is(given)
        {
            return Err(pyo3::exceptions::PyValueError::new_err(
                "The future belongs to a different loop than the one specified as the loop argument",
            ));
        }
        return Ok(awaitable.clone());
    }
    let coro = if is_coroutine(awaitable)? {
        awaitable.clone()
    } else if awaitable.hasattr(intern!(py, "__await__"))? || coroutine::is_generator_coroutine(awaitable)? {
        imports::AWAIT_IT.get(py)?.call1((awaitable,))?
    } else {
        return Err(not_awaitable(awaitable)?);
    };
    let home = match given {
        Some(given) => given.clone(),
        None => future::default_loop(py)?.object(py),
    };
    match home.as_instance::<event_loop::Loop>() {
        Some(native) if native.get().makes_plain_tasks(py) => {
            native.get().require_open()?;
            new_task(py, LoopRef::Native(native.clone().unbind()), coro, None, None, false)
                .map(Bound::into_any)
        }
        _ => {
            let task = home.call_method1(intern!(py, "create_task"), (&coro,));
            if task.is_err() && !coro.is(awaitable) {
                coro.call_method0(intern!(py, "close"))?;
            }
            task
        }
    }
}

pub(crate) const ENSURE_FUTURE: Declared = declared!(ensure_future_function).function("ferrio.tasks");

/// Return a future for `coro_or_future`: itself if it is a future, else a task that runs the coroutine or awaitable.
///
/// The task belongs to `loop`, by default the running loop.
///
/// Raises `TypeError` for anything else, `ValueError` for a future of another loop than `loop`.
#[pyfunction(name = "ensure_future")]
#[pyo3(signature = (coro_or_future, *, r#loop = None))]
pub(crate) fn ensure_future_function<'py>(
    coro_or_future: &Bound<'py, PyAny>,
    r#loop: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    ensure_future(coro_or_future, r#loop)
}
