//! Hooks for code that drives its own tasks: it tells asyncio which tasks exist and which one runs
//! (`asyncio.tasks._...`).
//!
//! Both ferrio's loop and the standard library are told, because their tasks and ours look in different places.

use ferrio_engine::recorder::End;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::{Task, current, registry};
use crate::base::ffi::Cast;
use crate::base::imports;
use crate::core::event_loop::LoopRef;

/// Show `task`, an object with a task's methods, in `all_tasks()` as long as it lives and isn't done.
#[pyfunction]
#[pyo3(signature = (task))]
pub(crate) fn _register_task(task: &Bound<'_, PyAny>) -> PyResult<()> {
    imports::REGISTER_TASK.get(task.py())?.call1((task,)).map(drop)
}

/// Undo `_register_task(task)`.
#[pyfunction]
#[pyo3(signature = (task))]
pub(crate) fn _unregister_task(task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = task.py();
    if let Some(ours) = task.as_instance::<Task>() {
        let home = ours.as_super().get().home(py)?;
        registry::forget(py, &home, ours, End::Finished)?;
    }
    imports::UNREGISTER_TASK.get(py)?.call1((task,)).map(drop)
}

/// Make `task` the current task of `loop`. Raises `RuntimeError` if there is one.
#[pyfunction]
#[pyo3(signature = (r#loop, task))]
pub(crate) fn _enter_task<'py>(r#loop: Bound<'py, PyAny>, task: Bound<'py, PyAny>) -> PyResult<()> {
    let py = task.py();
    let home = LoopRef::new(&r#loop);
    if let LoopRef::Foreign(foreign) = &home {
        return imports::ENTER_TASK.get(py)?.call1((foreign, task)).map(drop);
    }
    if let Some(other) = current::current_task(py, Some(r#loop))? {
        return Err(PyRuntimeError::new_err(format!(
            "Cannot enter into task {} while another task {} is being executed.",
            task.repr()?,
            other.repr()?
        )));
    }
    current::swap(py, &home, Some(task)).map(drop)
}

/// End what `_enter_task` began. Raises `RuntimeError` if `task` isn't the current task of `loop`.
#[pyfunction]
#[pyo3(signature = (r#loop, task))]
pub(crate) fn _leave_task<'py>(r#loop: Bound<'py, PyAny>, task: Bound<'py, PyAny>) -> PyResult<()> {
    let py = task.py();
    let home = LoopRef::new(&r#loop);
    if let LoopRef::Foreign(foreign) = &home {
        return imports::LEAVE_TASK.get(py)?.call1((foreign, task)).map(drop);
    }
    let now = current::current_task(py, Some(r#loop))?;
    if !now.as_ref().is_some_and(|now| now.is(&task)) {
        return Err(PyRuntimeError::new_err(format!(
            "Leaving task {} does not match the current task {}.",
            task.repr()?,
            now.into_pyobject(py)?.repr()?
        )));
    }
    current::swap(py, &home, None).map(drop)
}

/// Make `task` (or none, with `None`) the current task of `loop`; return the previous one, or `None`.
#[pyfunction]
#[pyo3(signature = (r#loop, task))]
pub(crate) fn _swap_current_task<'py>(
    py: Python<'py>,
    r#loop: Bound<'py, PyAny>,
    task: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let home = LoopRef::new(&r#loop);
    let before = current::current_task(py, Some(r#loop))?;
    current::swap(py, &home, task)?;
    Ok(before)
}
