//! The current task: ferrio records it in the loop, and where the standard library looks for it.
//!
//! `asyncio.current_task()` reads a dictionary of `_asyncio` up to 3.13 and the thread state from 3.14 on. Both are
//! updated when a step begins. At its end the entry stays until something other than a step runs (`retire`). So in a
//! chain of steps each makes one change instead of two.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Task;
use crate::base::ffi::scope::then_leave;
use crate::base::ffi::{interpreter, task_list};
use crate::base::functions::{Declared, declared};
use crate::base::imports;
use crate::core::event_loop::{self, Loop, LoopRef};

/// Tells the standard library. Up to 3.13 that is the dictionary `asyncio.tasks._current_tasks`, from 3.14 on a field
/// of the thread.
#[inline]
fn publish(py: Python<'_>, home: &Bound<'_, PyAny>, task: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    if cfg!(Py_3_14) {
        return task_list::set_running(home, task);
    }
    let tasks = imports::CURRENT_TASKS.get(py)?.cast::<PyDict>()?;
    match task {
        Some(task) => tasks.set_item(home, task),
        None => {
            // Code that drives tasks by hand may have removed the entry already.
            let _ = tasks.del_item(home);
            Ok(())
        }
    }
}

/// Runs `step` with `task` as the current one.
///
/// Raises `RuntimeError` if another task of the loop is in the middle of a step.
#[inline]
pub(crate) fn during<R>(
    py: Python<'_>,
    home: &LoopRef,
    task: &Bound<'_, Task>,
    step: impl FnOnce() -> R,
) -> PyResult<R> {
    enter(py, home, task)?;
    let (result, left) = then_leave(step, || leave(py, home, task));
    left.map(|()| result)
}

/// Makes `task` the current one until `leave`.
#[inline]
fn enter(py: Python<'_>, home: &LoopRef, task: &Bound<'_, Task>) -> PyResult<()> {
    match home {
        LoopRef::Native(native) => {
            let native = native.bind(py);
            let other = native.get().with_current(py, |current| {
                if current.task.is_some() {
                    return current.task.as_ref().map(|task| task.bind(py).clone());
                }
                current.task = Some(task.as_any().clone().unbind());
                current.published = true;
                None
            });
            if let Some(other) = other {
                return Err(PyRuntimeError::new_err(format!(
                    "Cannot enter into task {} while another task {} is being executed.",
                    task.repr()?,
                    other.repr()?
                )));
            }
            publish(py, native.as_any(), Some(task.as_any())).or_else(|failure| {
                leave(py, home, task)?;
                Err(failure)
            })
        }
        LoopRef::Foreign(foreign) => imports::ENTER_TASK.get(py)?.call1((foreign, task)).map(drop),
    }
}

#[inline]
fn leave(py: Python<'_>, home: &LoopRef, task: &Bound<'_, Task>) -> PyResult<()> {
    match home {
        LoopRef::Native(native) => {
            let left = native.get().with_current(py, |current| current.task.take());
            if let Some(left) = left {
                left.drop_ref(py);
            }
            Ok(())
        }
        LoopRef::Foreign(foreign) => imports::LEAVE_TASK.get(py)?.call1((foreign, task)).map(drop),
    }
}

/// Replaces the current task; returns the previous one.
pub(crate) fn swap<'py>(
    py: Python<'py>,
    home: &LoopRef,
    task: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match home {
        LoopRef::Native(native) => {
            let native = native.bind(py);
            publish(py, native.as_any(), task.as_ref())?;
            let old = native.get().with_current(py, |current| {
                current.published = task.is_some();
                std::mem::replace(&mut current.task, task.map(Bound::unbind))
            });
            Ok(old.map(|old| old.into_bound(py)))
        }
        LoopRef::Foreign(foreign) => {
            let foreign = foreign.bind(py);
            let old = imports::STANDARD_CURRENT_TASK.get(py)?.call1((foreign,))?;
            let old = (!old.is_none()).then_some(old);
            if let Some(old) = &old {
                imports::LEAVE_TASK.get(py)?.call1((foreign, old))?;
            }
            if let Some(task) = &task {
                imports::ENTER_TASK.get(py)?.call1((foreign, task))?;
            }
            Ok(old)
        }
    }
}

/// Removes the entry of a step that has ended from the standard library.
#[inline]
pub(crate) fn retire(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let stale = native
        .get()
        .with_current(py, |current| current.task.is_none() && std::mem::take(&mut current.published));
    if stale { publish(py, native.as_any(), None) } else { Ok(()) }
}

/// In C from 3.12 on.
pub(crate) const CURRENT_TASK: Declared =
    if cfg!(Py_3_12) { declared!(current_task) } else { declared!(current_task).function("ferrio.tasks") };

/// Return the task that runs now on `loop` (default: the running loop), or `None`.
///
/// Raises `RuntimeError` if no loop is given and none runs.
#[pyfunction]
#[pyo3(signature = (r#loop = None))]
pub(crate) fn current_task<'py>(
    py: Python<'py>,
    r#loop: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let given = r#loop.filter(|given| !given.is_none());
    let home = match given {
        Some(given) => LoopRef::new(&given),
        None => event_loop::running_loop(py)?,
    };
    current_on(py, &home)
}

/// The task that runs now on `home`.
#[inline]
pub(crate) fn current_on<'py>(py: Python<'py>, home: &LoopRef) -> PyResult<Option<Bound<'py, PyAny>>> {
    if let LoopRef::Native(native) = home {
        let (task, stale) = native.get().with_current(py, |current| {
            (current.task.as_ref().map(|task| task.bind(py).clone()), current.published)
        });
        if task.is_some() || stale {
            return Ok(task);
        }
    }
    // Code that drives tasks by hand tells the standard library (`_enter_task`).
    let task = imports::STANDARD_CURRENT_TASK.get(py)?.call1((home.object(py),))?;
    Ok((!task.is_none()).then_some(task))
}

/// Whether a task of ferrio's own is in the middle of a step in this thread.
#[inline]
pub(crate) fn is_stepping(py: Python<'_>) -> bool {
    event_loop::with_running(|native| {
        native.bind(py).get().with_current(py, |current| {
            current.task.as_ref().is_some_and(|task| interpreter::is_exactly::<Task>(task.bind(py)))
        })
    })
}

/// What the loop knows about its current task; only the attached thread touches it.
#[derive(Default)]
pub(crate) struct Current {
    pub(crate) task: Option<Py<PyAny>>,
    /// Whether the standard library has an entry for this loop, of the current or the previous task.
    pub(crate) published: bool,
}
