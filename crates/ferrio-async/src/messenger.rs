//! The one thread that attaches to the interpreter for all others, for loops other than ferrio's.
//!
//! A thread of a runtime that had to attach would wait whenever Python computes, and be ended in the middle of Rust code
//! when the interpreter ends. The messenger waits instead. It attaches once for all messages that are there, and stops
//! before the interpreter ends (`atexit`); what comes later is dropped.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::bell::{self, Wait};
use crate::home::Home;
use crate::process::PerProcess;

/// A call for a loop.
type Call = Box<dyn FnOnce(&Bound<'_, PyAny>) -> PyResult<()> + Send>;

/// What is to be done on a loop's thread.
pub(crate) enum Message {
    /// End the wait of a coroutine.
    End(Wait),
    /// Call with the loop.
    Call(Home, Call),
    /// End the thread.
    Stop,
}

struct Messenger {
    messages: Sender<Message>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Place {
    messenger: Option<Messenger>,
    /// The interpreter has begun to end. Threads that it doesn't wait for may still run loops.
    ends: bool,
}

static MESSENGER: PerProcess<Mutex<Place>> = PerProcess::new();

fn messenger() -> MutexGuard<'static, Place> {
    // Nothing under the lock can panic.
    MESSENGER.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes sure that the thread runs, before a coroutine waits or another thread has a home to send to.
///
/// While the interpreter ends, that is only for loops that its main thread runs, in functions of `atexit`: it waits for
/// these. Otherwise it raises `RuntimeError`.
pub(crate) fn start(py: Python<'_>) -> PyResult<()> {
    if messenger().messenger.is_some() {
        return Ok(());
    }
    let may_be_late = is_main_thread(py)?;
    let mut place = messenger();
    if place.messenger.is_some() {
        return Ok(());
    }
    if place.ends && !may_be_late {
        return Err(PyRuntimeError::new_err("can't wait for Rust while the interpreter ends"));
    }
    let (sender, receiver) = channel();
    let thread =
        std::thread::Builder::new().name("ferrio-async".to_owned()).spawn(move || serve(&receiver))?;
    place.messenger = Some(Messenger { messages: sender, thread });
    drop(place);
    let stop = pyo3::wrap_pyfunction!(_stop, py)?;
    py.import(intern!(py, "atexit"))?.call_method1(intern!(py, "register"), (stop,))?;
    Ok(())
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    let threading = py.import(intern!(py, "threading"))?;
    let current = threading.call_method0(intern!(py, "current_thread"))?;
    Ok(current.is(&threading.call_method0(intern!(py, "main_thread"))?))
}

/// Leaves a message; callable from any thread. Without a thread it is dropped.
pub(crate) fn send(message: Message) {
    let unsent = match &messenger().messenger {
        Some(known) => known.messages.send(message).err().map(|unsent| unsent.0),
        None => Some(message),
    };
    drop(unsent);
}

/// Ends the thread, at the interpreter's end.
#[pyfunction]
fn _stop(py: Python<'_>) {
    let taken = {
        let mut place = messenger();
        place.ends = true;
        place.messenger.take()
    };
    if let Some(Messenger { messages, thread }) = taken {
        // Both fail only if the thread has ended.
        let _ = messages.send(Message::Stop);
        let _ = py.detach(|| thread.join());
    }
}

fn serve(messages: &Receiver<Message>) {
    while let Ok(first) = messages.recv() {
        let goes_on = Python::try_attach(|py| {
            std::iter::once(first).chain(messages.try_iter()).all(|message| deliver(py, message))
        });
        if goes_on != Some(true) {
            return;
        }
    }
}

/// Hands a message to its loop. Returns `false` after the last one.
fn deliver(py: Python<'_>, message: Message) -> bool {
    let outcome = match message {
        Message::Stop => return false,
        Message::End(wait) => match wait.future(py) {
            Some(future) => bell::loop_of(&future)
                .and_then(|event_loop| call_soon(&event_loop, Task::End(future.unbind()))),
            None => Ok(()),
        },
        Message::Call(home, call) => {
            call_soon(&home.event_loop(py), Task::Call(home.event_loop(py).unbind(), call))
        }
    };
    // The loop is closed: nobody waits any more.
    drop(outcome);
    true
}

fn call_soon(event_loop: &Bound<'_, PyAny>, task: Task) -> PyResult<()> {
    let py = event_loop.py();
    let run = Bound::new(py, Run { task: Mutex::new(Some(task)) })?;
    let keywords = pyo3::types::PyDict::new(py);
    let context = empty_context(py)?;
    keywords.set_item(intern!(py, "context"), context)?;
    event_loop.call_method(intern!(py, "call_soon_threadsafe"), (run,), Some(&keywords)).map(drop)
}

/// A context for calls that don't look at it. The messenger's own would be shared by all of them.
fn empty_context(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    static CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    CONTEXT.import(py, "contextvars", "Context")?.call0()
}

enum Task {
    /// End the wait for this future.
    End(Py<PyAny>),
    Call(Py<PyAny>, Call),
}

/// The callable that a loop gets.
#[pyclass(frozen)]
struct Run {
    task: Mutex<Option<Task>>,
}

#[pymethods]
impl Run {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let taken = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        match taken {
            Some(Task::End(future)) => bell::end(future.bind(py)),
            Some(Task::Call(event_loop, call)) => crate::panic::caught(|| call(event_loop.bind(py))),
            None => Ok(()),
        }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.task.try_lock().as_deref() {
            Ok(Some(Task::End(object) | Task::Call(object, _))) => visit.call(object),
            Ok(None) | Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        let taken = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(taken);
    }
}
