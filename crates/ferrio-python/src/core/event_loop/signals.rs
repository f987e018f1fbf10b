//! The signals that a loop handles, and the pipe by which a signal ends the loop's wait.
//!
//! The interpreter notes a signal and runs its Python handler when the main thread gets to it. A waiting loop
//! wouldn't get to it. So while a loop runs in the main thread, the interpreter also writes the signal's number to
//! the loop's pipe (`signal.set_wakeup_fd`), which ends the wait. A wake-up descriptor that the program has set
//! stays, unless the loop has signal handlers of its own; then it is restored afterwards.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI32, Ordering};

use ferrio_engine::net::SignalPipe;
use ferrio_engine::reactor::{Event, Interest};
use pyo3::exceptions::{PyOSError, PyResourceWarning, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt};

use crate::base::ffi::interpreter;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::{Item, Loop};
use crate::core::handle::Handle;

/// No wake-up descriptor, as in `signal.set_wakeup_fd`.
const NONE: i32 = -1;

/// Our descriptor that the interpreter writes to. A forked child needs to know it, because it must not wake its
/// parent's loop.
static INSTALLED: AtomicI32 = AtomicI32::new(NONE);

/// A loop's state of signals.
#[derive(Default)]
pub(crate) struct Signals {
    pipe: Option<SignalPipe>,
    pub(crate) handlers: BTreeMap<i32, Py<Handle>>,
    /// The descriptor that our pipe has replaced.
    displaced: Option<i32>,
}

gc!(Signals { handlers } not { pipe, displaced });

impl Signals {
    /// The handles by signal, for views.
    pub(crate) fn handlers(&self, py: Python<'_>) -> Vec<(i32, Py<Handle>)> {
        self.handlers.iter().map(|(signal, handle)| (*signal, handle.clone_ref(py))).collect()
    }
}

impl Drop for Signals {
    /// The loop is gone without `close()`: a file that gets the pipe's number next must not be written to.
    fn drop(&mut self) {
        if let (Some(pipe), Some(displaced)) = (&self.pipe, self.displaced) {
            let ours = pipe.writer();
            Python::try_attach(|py| put_back(py, ours, displaced).unwrap_or(()));
        }
    }
}

pub(crate) fn remove(native: &Bound<'_, Loop>, number: i32, signal: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = native.py();
    let known = native.get().owned.signals.with(py, |signals| signals.handlers.contains_key(&number));
    if !known {
        return Ok(false);
    }
    let module = imports::SIGNAL_MODULE.get(py)?;
    let interrupt: i32 = module.getattr(intern!(py, "SIGINT"))?.extract()?;
    let default = if number == interrupt {
        module.getattr(intern!(py, "default_int_handler"))?
    } else {
        module.getattr(intern!(py, "SIG_DFL"))?
    };
    let outcome = module.call_method1(intern!(py, "signal"), (signal, default));
    forget(native, number)?;
    outcome.map(|_| true).map_err(|failure| uncatchable(py, failure, signal))
}

/// Makes the loop forget the handler of a signal. With the last one it removes the pipe, if the loop doesn't run.
pub(crate) fn forget(native: &Bound<'_, Loop>, number: i32) -> PyResult<()> {
    let py = native.py();
    let (old, last) = native.get().owned.signals.with(py, |signals| {
        let old = signals.handlers.remove(&number);
        let last = old.is_some() && signals.handlers.is_empty();
        (old, last)
    });
    drop(old);
    if last {
        native.get().count_signals(false);
        if !native.get().runs_here() {
            uninstall(native)?;
        }
    }
    Ok(())
}

/// Called when the loop begins to run: in the main thread, signals must end its waits.
pub(crate) fn begin(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    if native
        .get()
        .owned
        .signals
        .with(py, |signals| signals.pipe.as_ref().is_some_and(SignalPipe::is_of_parent))
    {
        // In any thread, this loop must not take the parent's signals.
        pipe(native)?;
    }
    let main = imports::MAIN_THREAD.get(py)?.call0()?.getattr(intern!(py, "ident"))?;
    if main.extract::<u64>().ok() != Some(interpreter::thread_id(py)) {
        return Ok(());
    }
    match install(native) {
        // A subinterpreter's main thread gets no signals.
        Err(failure) if failure.is_instance_of::<PyValueError>(py) => Ok(()),
        outcome => outcome,
    }?;
    let program_has_its_own = native.get().owned.signals.with(py, |signals| {
        signals.handlers.is_empty() && signals.displaced.is_some_and(|displaced| displaced != NONE)
    });
    if program_has_its_own { uninstall(native) } else { Ok(()) }
}

/// Called when the loop stops running: the pipe stays in place only for signal handlers.
pub(crate) fn end(native: &Bound<'_, Loop>) -> PyResult<()> {
    let idle = native.get().owned.signals.with(native.py(), |signals| signals.handlers.is_empty());
    if idle { uninstall(native) } else { Ok(()) }
}

/// Called when the loop is closed: restores the default handler of every signal that it handled.
pub(crate) fn close(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let numbers: Vec<i32> =
        native.get().owned.signals.with(py, |signals| signals.handlers.keys().copied().collect::<Vec<_>>());
    if !numbers.is_empty() && imports::IS_FINALIZING.get(py)?.call0()?.is_truthy()? {
        let message = format!(
            "Closing the loop {} on interpreter shutdown stage, skipping signal handlers removal",
            native.repr()?
        );
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "source"), native)?;
        let category = py.get_type::<PyResourceWarning>();
        imports::WARN.get(py)?.call((message, category), Some(&keywords))?;
        let handlers = native.get().owned.signals.with(py, |signals| std::mem::take(&mut signals.handlers));
        drop(handlers);
    } else {
        for number in numbers {
            remove(native, number, &PyInt::new(py, number))?;
        }
    }
    uninstall(native)?;
    let pipe = native.get().owned.signals.with(py, |signals| signals.pipe.take());
    drop(pipe);
    Ok(())
}

/// Called in the child of a fork: its signals don't concern its parent's loop.
pub(crate) fn forget_after_fork(py: Python<'_>) -> PyResult<()> {
    match INSTALLED.swap(NONE, Ordering::Relaxed) {
        NONE => Ok(()),
        ours => put_back(py, ours, NONE),
    }
}

/// Makes the interpreter write to the loop's pipe. Raises `ValueError` outside the main thread.
pub(crate) fn install(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let ours = pipe(native)?;
    let displaced = take_place(py, ours)?;
    INSTALLED.store(ours, Ordering::Relaxed);
    if displaced != ours {
        native.get().owned.signals.with(py, |signals| signals.displaced = Some(displaced));
    }
    Ok(())
}

/// The end of the loop's pipe that the interpreter writes to. A forked child makes a pipe of its own; otherwise each
/// would take the other's signals.
fn pipe(native: &Bound<'_, Loop>) -> PyResult<i32> {
    let py = native.py();
    let (known, parents) = native.get().owned.signals.with(py, |signals| match &signals.pipe {
        Some(pipe) if pipe.is_of_parent() => (None, signals.pipe.take()),
        Some(pipe) => (Some(pipe.writer()), None),
        None => (None, None),
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let counted = parents.is_some();
    if let Some(parents) = parents {
        // First, because the kernel watches as long as the pipe is open in any process.
        native.get().unwatch_natively(py, parents.reader());
    }
    let pipe = SignalPipe::new().map_err(|failure| error::from_system(py, &failure))?;
    let (reader, writer) = (pipe.reader(), pipe.writer());
    native
        .get()
        .watch_natively(reader, &py.None().into_bound(py), take_signals, Some(Interest::READABLE))
        .map_err(|failure| error::from_system(py, &failure))?;
    if !counted {
        native.get().count_signals(false);
    }
    native.get().owned.signals.with(py, |signals| signals.pipe = Some(pipe));
    Ok(writer)
}

/// Restores what our pipe had replaced.
fn uninstall(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let found = native
        .get()
        .owned
        .signals
        .with(py, |signals| signals.displaced.take().zip(signals.pipe.as_ref().map(SignalPipe::writer)));
    match found {
        Some((displaced, ours)) => {
            INSTALLED.store(NONE, Ordering::Relaxed);
            put_back(py, ours, displaced)
        }
        None => Ok(()),
    }
}

/// Replaces `ours` by `displaced`; if the program has set another one since, that stays.
fn put_back(py: Python<'_>, ours: i32, displaced: i32) -> PyResult<()> {
    let set = imports::SET_WAKEUP_FD.get(py)?;
    let found = match set.call1((displaced,)) {
        // The old one has been closed meanwhile.
        Err(failure) if failure.is_instance_of::<PyOSError>(py) => set.call1((NONE,))?,
        // Not in the main thread, the only one in which it could have been set.
        Err(failure) if failure.is_instance_of::<PyValueError>(py) => return Ok(()),
        found => found?,
    };
    let found: i32 = found.extract()?;
    if found != ours && found != displaced {
        set.call1((found,))?;
    }
    Ok(())
}

/// Installs our own descriptor, and returns what was there.
fn take_place(py: Python<'_>, fd: i32) -> PyResult<i32> {
    let keywords = PyDict::new(py);
    // A full pipe has woken the loop already.
    keywords.set_item(intern!(py, "warn_on_full_buffer"), false)?;
    imports::SET_WAKEUP_FD.get(py)?.call((fd,), Some(&keywords))?.extract()
}

/// Handles an event of the pipe: queues the handlers of the signals whose numbers are in it.
fn take_signals(native: &Bound<'_, Loop>, _owner: &Bound<'_, PyAny>, _event: Event) -> PyResult<()> {
    let py = native.py();
    let (outcome, handles) = native.get().owned.signals.with(py, |signals| {
        let mut handles = Vec::new();
        let handlers = &signals.handlers;
        let outcome = signals.pipe.as_ref().map_or(Ok(()), |pipe| {
            pipe.drain(|number| {
                let number = i32::from(number);
                handles.extend(handlers.get(&number).map(|handle| (number, handle.clone_ref(py))));
            })
        });
        (outcome, handles)
    });
    for (number, handle) in handles {
        if handle.get().cancelled(py) {
            remove(native, number, &PyInt::new(py, number))?;
        } else {
            native.get().push_here(py, Item::Handle(handle))?;
        }
    }
    outcome.map_err(|failure| error::from_system(py, &failure))
}

/// asyncio's `RuntimeError` for a signal such as SIGKILL.
pub(crate) fn uncatchable(py: Python<'_>, failure: PyErr, signal: &Bound<'_, PyAny>) -> PyErr {
    let invalid = failure.is_instance_of::<PyOSError>(py)
        && failure
            .value(py)
            .getattr(intern!(py, "errno"))
            .and_then(|number| number.eq(imports::EINVAL.get(py)?))
            .unwrap_or(false);
    if invalid { PyRuntimeError::new_err(format!("sig {signal} cannot be caught")) } else { failure }
}
