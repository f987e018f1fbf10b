//! Which loop runs in a thread, and which loops exist.

use std::cell::{Cell, RefCell};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyList;

use super::{Loop, LoopRef, signals};
use crate::base::ffi::task_list;
use crate::base::imports;

thread_local! {
    /// The loop that runs in this thread.
    static RUNNING: RefCell<Option<Py<Loop>>> = const { RefCell::new(None) };
    /// Its address, for the quick check of `runs_here`.
    static RUNNING_ADDRESS: Cell<*const ()> = const { Cell::new(std::ptr::null()) };
}

/// The ferrio loop that runs in this thread.
#[inline]
pub(crate) fn running(py: Python<'_>) -> Option<Py<Loop>> {
    RUNNING.with_borrow(|running| running.as_ref().map(|running| running.clone_ref(py)))
}

/// The result of `test` for the ferrio loop that runs in this thread; `false` if none does.
#[inline]
pub(crate) fn with_running(test: impl FnOnce(&Py<Loop>) -> bool) -> bool {
    RUNNING.with_borrow(|running| running.as_ref().is_some_and(test))
}

/// Whether this thread runs the loop.
#[inline]
pub(super) fn is_running_here(native: &Loop) -> bool {
    RUNNING_ADDRESS.get() == std::ptr::from_ref(native).cast()
}

/// Whether this thread runs a ferrio loop. May be called by any thread, attached or not.
#[inline]
pub(super) fn any_runs_here() -> bool {
    !RUNNING_ADDRESS.get().is_null()
}

/// Records which ferrio loop runs in this thread, for ferrio and for the standard library.
pub(super) fn set_running(py: Python<'_>, native: Option<&Bound<'_, Loop>>) -> PyResult<()> {
    let address = native.map_or(std::ptr::null(), |native| std::ptr::from_ref(native.get()).cast());
    let old = RUNNING.replace(native.map(|native| native.clone().unbind()));
    RUNNING_ADDRESS.set(address);
    drop(old);
    imports::SET_RUNNING_LOOP.get(py)?.call1((native,))?;
    Ok(())
}

/// Called in the child after a fork. Its only thread runs no loop, and what it does to its parent's loops has no
/// effect there.
#[pyfunction]
pub(crate) fn _forget_running_loop(py: Python<'_>) -> PyResult<()> {
    ferrio_engine::fork::forked();
    let old = RUNNING.take();
    RUNNING_ADDRESS.set(std::ptr::null());
    drop(old);
    signals::forget_after_fork(py)
}

/// The running loop, ours or not, as native code uses it. Raises `RuntimeError` if there is none.
#[inline]
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<LoopRef> {
    match running(py) {
        Some(native) => Ok(LoopRef::Native(native)),
        None => Ok(LoopRef::new(&get_running_loop(py)?)),
    }
}

/// The running loop, ours or not. Raises `RuntimeError` if there is none.
pub(crate) fn get_running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    if let Some(running) = running(py) {
        return Ok(running.into_bound(py).into_any());
    }
    let running = imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?;
    if running.is_none() {
        return Err(PyRuntimeError::new_err(
            "no running event loop: call this inside a coroutine that asyncio.run() runs",
        ));
    }
    Ok(running)
}

/// A finished call has posted its result. Called in the loop's thread.
#[inline]
pub(crate) fn job_came_back(py: Python<'_>) {
    if let Some(native) = running(py) {
        native.get().count_down();
    }
}

static EVERY_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The `weakref.WeakSet` of all ferrio loops; when the first one is made, `asyncio.all_tasks()` gets to know their
/// tasks.
pub(super) fn every_loop_set(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let set = EVERY_LOOP.get_or_try_init(py, || {
        imports::SHARE_TASKS.get(py)?.call1((task_list::is_known(),))?;
        Ok::<_, PyErr>(imports::WEAK_SET.get(py)?.call0()?.unbind())
    })?;
    Ok(set.bind(py))
}

/// Return all ferrio loops that are alive.
#[pyfunction]
pub(crate) fn _every_loop(py: Python<'_>) -> PyResult<Vec<Bound<'_, Loop>>> {
    every_loop(py)
}

/// All ferrio loops that are alive.
pub(crate) fn every_loop(py: Python<'_>) -> PyResult<Vec<Bound<'_, Loop>>> {
    // Iterating over the `WeakSet` runs Python code, during which another thread may make a loop. `list(set)` is one
    // step.
    let references = every_loop_set(py)?.getattr(intern!(py, "data"))?;
    let references = py.get_type::<PyList>().call1((references,))?;
    let mut loops = Vec::new();
    for reference in references.cast_into::<PyList>()?.iter() {
        let native = reference.call0()?;
        if !native.is_none() {
            loops.push(native.cast_into::<Loop>()?);
        }
    }
    Ok(loops)
}
