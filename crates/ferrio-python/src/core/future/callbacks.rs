//! What is called when a future is done, and the list of these callbacks.
//!
//! Most futures have one waiter, so the list only allocates from the second on. Each callback gets its own place in a
//! turn, as with asyncio's `call_soon(callback, future)`, but only Python's callables need a handle.

use pyo3::PyVisit;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use super::Future;
use crate::base::ffi::Cast;
use crate::base::gc::{Traverse, Visited, gc};
use crate::core::event_loop::{Item, LoopRef};
use crate::core::operation::{Operation, view};
use crate::core::task::Task;
use crate::core::task::wakeup::{Wakeup, Watcher};

/// One thing to do when the future is done.
pub(crate) enum Callback {
    /// Step the task that awaits the future.
    Wake(Py<Task>),
    /// Call a Python callable with the future, in a context.
    Python { function: Py<PyAny>, context: Py<PyAny> },
    /// Tell one of ferrio's own objects (see `Watch`).
    Native(Py<PyAny>, &'static Watch),
    /// End the wait of the operation that the future stands for, at once.
    Operation(Py<Operation>),
}

gc!(match Callback {
    Self::Wake(task) => (task),
    Self::Operation(operation) => (operation),
    Self::Native(watcher, _) => (watcher),
    Self::Python { function, context } => (function, context),
});

/// What a native watcher does when the future `done` is done; `watcher` is the object given to `Callback::Native`.
pub(crate) type WatcherCall =
    for<'py> fn(watcher: &Bound<'py, PyAny>, done: &Bound<'py, PyAny>) -> PyResult<()>;

/// A native done callback: one static for each function that futures call when they are done.
pub(crate) struct Watch {
    pub(crate) call: WatcherCall,
    /// asyncio's name of the corresponding callback, for views of a future.
    pub(crate) name: &'static str,
    /// What waits for the future behind the watcher, for call graphs.
    pub(crate) awaiter: for<'py> fn(watcher: Bound<'py, PyAny>) -> Awaiter<'py>,
    /// Whether a task may wait there at all.
    pub(crate) is_awaited: bool,
}

impl Watch {
    /// A callback behind which no task waits.
    pub(crate) const fn new(name: &'static str, call: WatcherCall) -> Self {
        Self { call, name, awaiter: |_| Awaiter::Nobody, is_awaited: false }
    }

    /// The same, with what waits behind it.
    pub(crate) const fn awaited_by(self, awaiter: for<'py> fn(Bound<'py, PyAny>) -> Awaiter<'py>) -> Self {
        Self { awaiter, is_awaited: true, ..self }
    }
}

/// What waits behind a watcher.
pub(crate) enum Awaiter<'py> {
    /// Nothing that a call graph shows.
    Nobody,
    /// This task, or another object that drives the waiting coroutine.
    Task(Bound<'py, PyAny>),
    /// Whatever awaits this future in turn.
    AwaitersOf(Bound<'py, PyAny>),
}

impl<'py> From<Option<Bound<'py, PyAny>>> for Awaiter<'py> {
    fn from(task: Option<Bound<'py, PyAny>>) -> Self {
        task.map_or(Self::Nobody, Self::Task)
    }
}

/// What waits for a future through one of ferrio's own callbacks.
pub(crate) enum Waiting {
    /// A task that awaits it.
    Task(Py<Task>),
    /// An object that is told.
    Watcher(Py<PyAny>, &'static Watch),
}

impl Callback {
    /// Schedules the call for the loop's next turn.
    pub(crate) fn schedule(self, py: Python<'_>, home: &LoopRef, future: &Bound<'_, Future>) -> PyResult<()> {
        match self {
            Self::Operation(operation) => view::ended(operation.bind(py), future),
            Self::Wake(task) => {
                let home = task.bind(py).as_super().get().home(py)?;
                home.wake(py, task)
            }
            Self::Native(watcher, watch) => {
                home.schedule(py, Item::Done(watcher, future.as_any().clone().unbind(), watch))
            }
            Self::Python { function, context } => {
                home.call_soon(py, function.bind(py), Some(future.as_any()), Some(context.bind(py)))
            }
        }
    }

    fn duplicate(&self, py: Python<'_>) -> Self {
        match self {
            Self::Wake(task) => Self::Wake(task.clone_ref(py)),
            Self::Operation(operation) => Self::Operation(operation.clone_ref(py)),
            Self::Python { function, context } => {
                Self::Python { function: function.clone_ref(py), context: context.clone_ref(py) }
            }
            Self::Native(watcher, watch) => Self::Native(watcher.clone_ref(py), watch),
        }
    }

    /// The pair `(callable, context)` that `Future._callbacks` shows, unless nothing waits.
    fn shown<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        match self {
            Self::Wake(task) => shown_task(task.bind(py)).map(Some),
            Self::Operation(operation) => {
                let task = operation.get().waiting_task(py);
                task.map(|task| shown_task(task.bind(py))).transpose()
            }
            Self::Native(watcher, watch) => {
                let named = Bound::new(py, Watcher::new(watcher.clone_ref(py), watch))?;
                (named, py.None()).into_pyobject(py).map(Some)
            }
            Self::Python { function, context } => {
                (function.bind(py), context.bind(py)).into_pyobject(py).map(Some)
            }
        }
    }

    /// What `remove_done_callback` compares with its argument.
    pub(crate) fn callable(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Python { function: callable, .. } | Self::Native(callable, _) => Some(callable),
            Self::Wake(_) | Self::Operation(_) => None,
        }
    }

    /// What waits behind the callback, if that is one of ferrio's own.
    fn waiting(&self, py: Python<'_>) -> Option<Waiting> {
        match self {
            Self::Wake(task) => Some(Waiting::Task(task.clone_ref(py))),
            Self::Operation(operation) => operation.get().waiting_task(py).map(Waiting::Task),
            Self::Native(watcher, watch) => Some(Waiting::Watcher(watcher.clone_ref(py), watch)),
            Self::Python { function, .. } => {
                let function = function.bind(py);
                match function.as_exactly::<Wakeup>() {
                    Some(wakeup) => wakeup.get().task(py).map(Waiting::Task),
                    None => {
                        let callable = function.as_exactly::<Watcher>()?.get();
                        Some(Waiting::Watcher(callable.watcher(py)?, callable.watch()?))
                    }
                }
            }
        }
    }
}

fn shown_task<'py>(task: &Bound<'py, Task>) -> PyResult<Bound<'py, PyTuple>> {
    let py = task.py();
    (Bound::new(py, Wakeup::new(task.clone().unbind()))?, Task::context_of(task)).into_pyobject(py)
}

/// Those of `callables` that are equal to `wanted`. The comparison runs Python code, which may add and remove
/// callbacks. So the list is a copy, and matches are removed by identity.
pub(crate) fn equal_to(wanted: &Bound<'_, PyAny>, callables: Vec<Py<PyAny>>) -> PyResult<Vec<Py<PyAny>>> {
    let py = wanted.py();
    let mut equal = Vec::new();
    for callable in callables {
        if callable.bind(py).eq(wanted)? {
            equal.push(callable);
        }
    }
    Ok(equal)
}

/// The callbacks of one future, in the order of their registration.
#[derive(Default)]
pub(crate) enum Callbacks {
    /// No callback.
    #[default]
    None,
    /// The usual case, without an allocation.
    One(Callback),
    /// Two or more.
    Many(Vec<Callback>),
}

impl Traverse for Callbacks {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.as_slice().traverse(visit)
    }
}

impl Callbacks {
    /// Adds one at the end.
    pub(crate) fn add(&mut self, callback: Callback) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(callback),
            Self::One(first) => Self::Many(vec![first, callback]),
            Self::Many(mut all) => {
                all.push(callback);
                Self::Many(all)
            }
        };
    }

    /// A copy, to use without borrowing the future's state.
    pub(crate) fn duplicate(&self, py: Python<'_>) -> Vec<Callback> {
        self.as_slice().iter().map(|callback| callback.duplicate(py)).collect()
    }

    /// The list that `Future._callbacks` shows, or `None` when there are none.
    pub(crate) fn shown<'py>(py: Python<'py>, all: &[Callback]) -> PyResult<Option<Bound<'py, PyList>>> {
        if all.is_empty() {
            return Ok(None);
        }
        let pairs =
            all.iter().filter_map(|callback| callback.shown(py).transpose()).collect::<PyResult<Vec<_>>>()?;
        if pairs.is_empty() {
            return Ok(None);
        }
        PyList::new(py, pairs).map(Some)
    }

    /// What `remove_done_callback` compares, for use outside the guard.
    pub(crate) fn callables(&self, py: Python<'_>) -> Vec<Py<PyAny>> {
        self.as_slice().iter().filter_map(Callback::callable).map(|callable| callable.clone_ref(py)).collect()
    }

    /// Takes out the callbacks for which `unwanted` is true; the caller drops them.
    pub(crate) fn remove(&mut self, unwanted: impl Fn(&Callback) -> bool) -> Vec<Callback> {
        let mut removed = Vec::new();
        for callback in std::mem::take(self).into_vec() {
            if unwanted(&callback) {
                removed.push(callback);
            } else {
                self.add(callback);
            }
        }
        removed
    }

    /// Takes out the native watcher `object`; the caller drops it.
    pub(crate) fn remove_watcher(&mut self, object: &Bound<'_, PyAny>) -> Vec<Callback> {
        self.remove(|callback| matches!(callback, Callback::Native(watcher, _) if watcher.is(object)))
    }

    /// What waits through ferrio's own callbacks.
    pub(crate) fn waiting(&self, py: Python<'_>) -> Vec<Waiting> {
        self.as_slice().iter().filter_map(|callback| callback.waiting(py)).collect()
    }

    pub(crate) fn into_vec(self) -> Vec<Callback> {
        match self {
            Self::None => Vec::new(),
            Self::One(one) => vec![one],
            Self::Many(all) => all,
        }
    }

    fn as_slice(&self) -> &[Callback] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(all) => all,
        }
    }
}
