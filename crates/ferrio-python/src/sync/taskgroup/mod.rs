//! `TaskGroup`: tasks that end with the block that made them (asyncio's page "Coroutines and Tasks").
//!
//! Each child has one native done callback, `child_done`. Leaving the block is an operation (`block.rs`) that the last
//! child wakes. Call graphs find the parent by that callback.
//!
//! Invariant: a task is among `children` from `create_task` until its done callback has run. The block isn't left before
//! `children` is empty.

mod block;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PySet, PyTuple};

use self::block::{Enter, Leave};
use crate::base::by_address::ByAddress;
use crate::base::class::{Class, Standard};
use crate::base::error;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::{Cast, Guarded};
use crate::base::functions::Functions;
use crate::base::gc::{Traverse, Visited, collected, gc};
use crate::core::event_loop::LoopRef;
use crate::core::future::callbacks::Watch;
use crate::core::future::watch::{self, Ended};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::core::task::cancel::cancel_waiter;
use crate::core::task::create::new_task;

/// The pending children by address, numbered in the order of their creation.
#[derive(Default)]
struct Children {
    by_address: ByAddress<(u64, Py<PyAny>)>,
    made: u64,
}

impl Traverse for Children {
    fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Visited {
        let Self { by_address, made: _ } = self;
        by_address.values().try_for_each(|(_, child)| child.traverse(visit))
    }
}

/// The state of a group; only attached threads touch it.
#[derive(Default)]
struct State {
    entered: bool,
    exiting: bool,
    aborting: bool,
    /// `cancel()` was called before the block was entered.
    cancel_on_enter: bool,
    /// Whether the group itself cancelled the parent, which it undoes at the end.
    parent_cancel_requested: bool,
    home: Option<LoopRef>,
    parent: Option<Py<PyAny>>,
    children: Children,
    errors: Vec<Py<PyAny>>,
    /// The first `KeyboardInterrupt` or `SystemExit`.
    base_error: Option<Py<PyAny>>,
    /// The operation that waits for the last child.
    leaving: Option<Py<Operation>>,
}

gc!(State { home, parent, base_error, leaving, errors, children } not { entered, exiting, aborting, cancel_on_enter, parent_cancel_requested });

/// An asynchronous context manager that runs tasks and awaits them all when its block ends.
///
/// The first exception of a child cancels the others and the block; all exceptions leave the block as one
/// `BaseExceptionGroup`. Meaning and methods are those of `asyncio.TaskGroup`.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio")]
pub(crate) struct TaskGroup {
    state: Guarded<State>,
}

collected!(TaskGroup { state }, written by state, clear { state });

impl Class for TaskGroup {
    const BELOW: Option<Standard> = Some(("asyncio.taskgroups", "TaskGroup"));
}

impl Functions for TaskGroup {
    const COROUTINES: &'static [&'static str] = &["__aenter__", "__aexit__"];
    const QUICK: &'static [Quick] = quick!(TaskGroup {
        "__aenter__" (0 to 0) |group, _| TaskGroup::__aenter__(group);
    });
}

#[pymethods]
impl TaskGroup {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "()")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: Guarded::new(State::default()) }
    }

    fn __init__(&self, py: Python<'_>) {
        let old = self.state.with(py, std::mem::take);
        drop(old);
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (tasks, errors, word) = self.state.with(py, |state| {
            let word = match (state.aborting, state.entered) {
                (true, _) => " cancelling",
                (false, true) => " entered",
                (false, false) => "",
            };
            (state.children.by_address.len(), state.errors.len(), word)
        });
        let count = |name: &str, number: usize| match number {
            0 => String::new(),
            number => format!(" {name}={number}"),
        };
        format!("<TaskGroup{}{}{word}>", count("tasks", tasks), count("errors", errors))
    }

    /// Enter the group: the running task becomes the parent. Raises `RuntimeError` outside a task and the second time.
    fn __aenter__(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Enter::new(slf))
    }

    /// Await every task of the group, then raise their exceptions as a group.
    #[pyo3(signature = (et, exc, tb))]
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        et: Option<Bound<'py, PyAny>>,
        exc: Option<Bound<'py, PyAny>>,
        tb: &Bound<'py, PyAny>,
    ) -> Unawaited {
        let _ = tb;
        Unawaited::new(Leave::new(slf, exc.or(et)))
    }

    /// Run the coroutine `coro` as a task of the group and return the task.
    ///
    /// Takes the keywords of `loop.create_task`. Raises `RuntimeError` if the group isn't entered, is finished or is shutting
    /// down; from Python 3.13 on it closes `coro` then.
    #[pyo3(signature = (coro, **kwargs))]
    fn create_task<'py>(
        slf: &Bound<'py, Self>,
        coro: Bound<'py, PyAny>,
        kwargs: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        create_task(slf, coro, kwargs)
    }

    /// Cancel the tasks of the group and its block, which ends without `CancelledError`.
    ///
    /// Before the block is entered, it takes effect on entering. A second call does nothing, nor does one after the end.
    fn cancel(slf: &Bound<'_, Self>) -> PyResult<()> {
        cancel(slf)
    }

    /// Cancel every task of the group; new ones are refused.
    fn _abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        abort(slf)
    }

    #[getter]
    fn _tasks<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PySet>> {
        PySet::new(py, self.children(py))
    }

    #[getter]
    fn _errors(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.state.with(py, |state| state.errors.iter().map(|error| error.clone_ref(py)).collect())
    }

    #[getter]
    fn _parent_task<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.parent(py)
    }

    #[getter]
    fn _entered(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.entered)
    }

    #[getter]
    fn _exiting(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.exiting)
    }

    #[getter]
    fn _aborting(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.aborting)
    }

    /// The done callback of every task of the group.
    fn _on_task_done(slf: &Bound<'_, Self>, task: &Bound<'_, PyAny>) -> PyResult<()> {
        child_done(slf.as_any(), task)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.home.as_ref().map(|home| home.object(py)))
    }
}

impl TaskGroup {
    /// The task that entered the block, until it leaves.
    fn parent<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.parent.as_ref().map(|parent| parent.bind(py).clone()))
    }

    /// The pending children, oldest first.
    fn children<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        let mut numbered: Vec<_> = self.state.with(py, |state| {
            let children = state.children.by_address.values();
            children.map(|(number, child)| (*number, child.bind(py).clone())).collect()
        });
        numbered.sort_unstable_by_key(|(number, _)| *number);
        numbered.into_iter().map(|(_, child)| child).collect()
    }
}

const NOT_ENTERED: &str = "has not been entered: use `async with`, which waits for the tasks at its end";

fn create_task<'py>(
    group: &Bound<'py, TaskGroup>,
    coro: Bound<'py, PyAny>,
    kwargs: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = group.py();
    let home = group.get().state.with(py, |state| match &state.home {
        _ if !state.entered => Err(NOT_ENTERED),
        _ if state.exiting && state.children.by_address.is_empty() => Err("is finished"),
        _ if state.aborting => Err("is shutting down"),
        Some(home) => Ok(home.duplicate(py)),
        None => Err(NOT_ENTERED),
    });
    let home = match home {
        Ok(home) => home,
        Err(problem) => {
            // The refusal says it all, so don't also warn that the coroutine was never awaited. Before Python 3.13, asyncio
            // leaves the coroutine to the program.
            if let Some(operation) = coro.as_exactly::<Operation>() {
                operation.get().forgive(py);
            } else if cfg!(Py_3_13)
                && let Ok(close) = coro.getattr(intern!(py, "close"))
            {
                close.call0()?;
            }
            return Err(PyRuntimeError::new_err(format!("TaskGroup {} {problem}", group.repr()?)));
        }
    };
    let task = match &home {
        LoopRef::Native(native) if kwargs.is_none() && native.get().makes_plain_tasks(py) => {
            native.get().require_open()?;
            new_task(py, home.duplicate(py), coro, None, None, false)?.into_any()
        }
        _ => home.object(py).call_method(intern!(py, "create_task"), (coro,), kwargs)?,
    };
    adopt(group, &task)?;
    Ok(task)
}

/// Makes `task` a child. Its done callback is added even if it is done already: an eager task that failed must not
/// cancel the parent before the block goes on (gh-128550).
fn adopt<'py>(group: &Bound<'py, TaskGroup>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = group.py();
    let child = task.clone().unbind();
    let (old, aborting) = group.get().state.with(py, |state| {
        state.children.made += 1;
        let numbered = (state.children.made, child);
        (state.children.by_address.insert(task.as_ptr() as usize, numbered), state.aborting)
    });
    drop(old);
    watch::watch(task, group.as_any(), &CHILD_DONE)?;
    // An eager child can have cancelled the group before it was one of its children (gh-155418).
    if aborting && !watch::is_done(task)? {
        cancel_waiter(task, None)?;
    }
    Ok(())
}

static CHILD_DONE: Watch = Watch::new("TaskGroup._on_task_done", child_done).awaited_by(|group| {
    let group = group.as_instance::<TaskGroup>();
    group.and_then(|group| group.get().parent(group.py())).into()
});

/// The done callback of every child.
fn child_done<'py>(group: &Bound<'py, PyAny>, task: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = group.py();
    let Some(group) = group.as_instance::<TaskGroup>() else { return Ok(()) };
    let (gone, leaving) = group.get().state.with(py, |state| {
        let gone = state.children.by_address.remove(&(task.as_ptr() as usize));
        let last = state.children.by_address.is_empty();
        let leaving = if last { state.leaving.as_ref().map(|leaving| leaving.clone_ref(py)) } else { None };
        (gone, leaving)
    });
    drop(gone);
    if let Some(leaving) = leaving {
        operation::wake(leaving.bind(py))?;
    }
    match watch::ended(task)? {
        Ended::Exception(exception) => child_failed(group, task, exception),
        Ended::Result(_) | Ended::Cancelled => Ok(()),
    }
}

fn child_failed<'py>(
    group: &Bound<'py, TaskGroup>,
    task: &Bound<'py, PyAny>,
    exception: Bound<'py, PyAny>,
) -> PyResult<()> {
    let py = group.py();
    let fatal = error::ends_program(py, &PyErr::from_value(exception.clone()));
    let error = exception.clone().unbind();
    let base_error = fatal.then(|| error.clone_ref(py));
    let (parent, home, refused) = group.get().state.with(py, |state| {
        state.errors.push(error);
        let refused = if state.base_error.is_none() {
            state.base_error = base_error;
            None
        } else {
            base_error
        };
        (
            state.parent.as_ref().map(|parent| parent.clone_ref(py)),
            state.home.as_ref().map(|home| home.duplicate(py)),
            refused,
        )
    });
    drop(refused);
    let (Some(parent), Some(home)) = (parent, home) else { return Ok(()) };
    let parent = parent.into_bound(py);
    if watch::is_done(&parent)? {
        let context = PyDict::new(py);
        let message = format!(
            "Task {} has errored out but its parent task {} is already completed",
            task.repr()?,
            parent.repr()?
        );
        context.set_item(intern!(py, "message"), message)?;
        context.set_item(intern!(py, "exception"), exception)?;
        context.set_item(intern!(py, "task"), task)?;
        return home.call_exception_handler(py, &context);
    }
    let idle = group.get().state.with(py, |state| !state.aborting && !state.parent_cancel_requested);
    if idle { abort_with_parent(group, &parent) } else { Ok(()) }
}

/// Cancels the children, and the parent in its block. Leaving the block takes the parent's cancellation back.
fn abort_with_parent<'py>(group: &Bound<'py, TaskGroup>, parent: &Bound<'py, PyAny>) -> PyResult<()> {
    abort(group)?;
    group.get().state.with(group.py(), |state| state.parent_cancel_requested = true);
    cancel_waiter(parent, None).map(drop)
}

fn abort(group: &Bound<'_, TaskGroup>) -> PyResult<()> {
    let py = group.py();
    group.get().state.with(py, |state| state.aborting = true);
    for child in group.get().children(py) {
        if !watch::is_done(&child)? {
            cancel_waiter(&child, None)?;
        }
    }
    Ok(())
}

fn cancel(group: &Bound<'_, TaskGroup>) -> PyResult<()> {
    let py = group.py();
    let (ignored, parent) = group.get().state.with(py, |state| {
        if !state.entered {
            state.cancel_on_enter = true;
            return (true, None);
        }
        let finished = state.exiting && state.children.by_address.is_empty();
        let parent = if state.parent_cancel_requested { None } else { state.parent.as_ref() };
        (finished || state.aborting, parent.map(|parent| parent.clone_ref(py)))
    });
    if ignored {
        return Ok(());
    }
    match parent {
        Some(parent) => abort_with_parent(group, parent.bind(py)),
        None => abort(group),
    }
}
