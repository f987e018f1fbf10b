//! `add_signal_handler`, `remove_signal_handler`, and the pipe by which a signal ends the loop's wait.
//!
//! The interpreter notes a signal and runs its Python handler when the main thread gets to it. A waiting loop
//! wouldn't get to it. So while a loop runs in the main thread, the interpreter also writes the signal's number to
//! the loop's pipe (`signal.set_wakeup_fd`), which ends the wait. A wake-up descriptor that the program has set
//! stays, unless the loop has signal handlers of its own; then it is restored afterwards.

use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyCFunction, PyInt, PyTuple};

use crate::base::ffi::context;
use crate::base::imports;
use crate::core::event_loop::signals::{forget, install, remove, uncatchable};
use crate::core::event_loop::{Loop, LoopRef};
use crate::core::handle::{Args, Handle};

#[pymethods]
impl Loop {
    /// Call `callback(*args)` in the loop whenever the signal `sig` comes, instead of the signal's present handler.
    ///
    /// Only in the main thread. Raises `TypeError` if `callback` is a coroutine or `sig` isn't a number, `ValueError`
    /// if `sig` isn't a signal. Raises `RuntimeError` if the signal can't be caught, in another thread, or if the
    /// loop is closed.
    #[pyo3(signature = (sig, callback, *args))]
    fn add_signal_handler<'py>(
        slf: &Bound<'py, Self>,
        sig: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        add(slf, &sig, callback, args)
    }

    /// Restore the default handler of the signal `sig`; return whether the loop had a handler for it.
    ///
    /// Raises as `add_signal_handler`.
    #[pyo3(signature = (sig))]
    fn remove_signal_handler(slf: &Bound<'_, Self>, sig: Bound<'_, PyAny>) -> PyResult<bool> {
        remove(slf, number(&sig)?, &sig)
    }
}

fn add<'py>(
    native: &Bound<'py, Loop>,
    signal: &Bound<'py, PyAny>,
    callback: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
) -> PyResult<()> {
    let py = native.py();
    if imports::IS_COROUTINE.get(py)?.call1((&callback,))?.is_truthy()?
        || imports::IS_COROUTINE_FUNCTION.get(py)?.call1((&callback,))?.is_truthy()?
    {
        return Err(PyTypeError::new_err("coroutines cannot be used with add_signal_handler()"));
    }
    let number = number(signal)?;
    native.get().require_open()?;
    // Raises ValueError outside the main thread.
    install(native).map_err(|failure| refused(py, failure))?;
    let context = context::copy_current(py)?;
    let home = LoopRef::Native(native.clone().unbind());
    let handle = Py::new(
        py,
        Handle::build(py, home, callback, Args::from_tuple(args), context, native.get().debug())?,
    )?;
    let (replaced, first) = native.get().with_signals(py, |signals| {
        let replaced = signals.handlers.insert(number, handle);
        let first = replaced.is_none() && signals.handlers.len() == 1;
        (replaced, first)
    });
    drop(replaced);
    if first {
        // From now on the pipe brings work: a busy loop must poll it.
        native.get().count_signals(true);
    }
    let module = imports::SIGNAL_MODULE.get(py)?;
    let caught = module
        .call_method1(intern!(py, "signal"), (signal, noop(py)?))
        // System calls that the signal interrupts are restarted.
        .and_then(|_| module.call_method1(intern!(py, "siginterrupt"), (signal, false)));
    if let Err(failure) = caught {
        forget(native, number)?;
        return Err(uncatchable(py, failure, signal));
    }
    Ok(())
}

/// The number of a signal. Raises `TypeError` for anything but an integer, `ValueError` if there is no such signal.
fn number(signal: &Bound<'_, PyAny>) -> PyResult<i32> {
    let py = signal.py();
    if !signal.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!("sig must be an int, not {}", signal.repr()?)));
    }
    let valid = imports::SIGNAL_MODULE.get(py)?.call_method0(intern!(py, "valid_signals"))?;
    if !valid.contains(signal)? {
        return Err(PyValueError::new_err(format!("invalid signal number {signal}")));
    }
    signal.extract()
}

/// The system's handler of a signal that the loop handles. It does nothing, but while it is set the interpreter
/// writes to the pipe.
fn noop(py: Python<'_>) -> PyResult<&Bound<'_, PyCFunction>> {
    static NOOP: PyOnceLock<Py<PyCFunction>> = PyOnceLock::new();
    let noop = NOOP.get_or_try_init(py, || {
        PyCFunction::new_closure(py, Some(c"_noop"), None, |_, _| ()).map(Bound::unbind)
    })?;
    Ok(noop.bind(py))
}

/// asyncio's `RuntimeError` if `signal.set_wakeup_fd` fails.
fn refused(py: Python<'_>, failure: PyErr) -> PyErr {
    if failure.is_instance_of::<PyValueError>(py) || failure.is_instance_of::<PyOSError>(py) {
        return PyRuntimeError::new_err(failure.value(py).to_string());
    }
    failure
}
