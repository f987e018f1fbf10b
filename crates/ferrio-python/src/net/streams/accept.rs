//! The start of a server's connection: the program's `client_connected_cb` is called, as a task if it is a coroutine
//! function.
//!
//! An exception in it is reported, and closes only its own connection.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::protocol::StreamReaderProtocol;
use super::writer::StreamWriter;
use crate::base::ffi::coroutine;
use crate::base::imports;
use crate::core::event_loop::{Loop, LoopRef};
use crate::core::future::callbacks::Watch;
use crate::core::future::watch;

/// Calls the callback, if there is one, with the reader and a new writer.
pub(super) fn call_back(
    protocol: &Bound<'_, StreamReaderProtocol>,
    transport: &Bound<'_, PyAny>,
    reader: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = protocol.py();
    let Some(callback) = protocol.get()._client_connected_cb(py) else { return Ok(()) };
    let event_loop = protocol.as_super().get().event_loop(py)?;
    let writer = StreamWriter::create(transport, protocol.as_any(), reader, &event_loop)?;
    let result = match callback.bind(py).call1((reader, writer)) {
        Ok(result) => result,
        Err(failure) if failure.is_instance_of::<PyException>(py) => {
            report(py, &event_loop, failure.value(py).as_any(), transport)?;
            transport.call_method0(intern!(py, "close"))?;
            protocol.get().set_strong_reader(py, None);
            return Ok(());
        }
        Err(failure) => return Err(failure),
    };
    if is_coroutine(&result)? {
        let task = start(&event_loop, result)?;
        protocol.get().set_task(py, Some(task.clone().unbind()));
        let watcher = PyTuple::new(py, [&event_loop.object(py), transport])?;
        watch::watch(&task, watcher.as_any(), &TASK_IS_DONE)?;
    }
    protocol.get().set_strong_reader(py, None);
    Ok(())
}

/// `asyncio.iscoroutine(result)`, without a call in obvious cases.
#[inline]
fn is_coroutine(result: &Bound<'_, PyAny>) -> PyResult<bool> {
    if coroutine::is_coroutine(result) {
        return Ok(true);
    }
    if result.is_none() {
        return Ok(false);
    }
    imports::IS_COROUTINE.get(result.py())?.call1((result,))?.is_truthy()
}

/// `loop.create_task(coroutine)`.
fn start<'py>(event_loop: &LoopRef, coroutine: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = coroutine.py();
    if let LoopRef::Native(event_loop) = event_loop
        && event_loop.get().makes_plain_tasks(py)
    {
        return Loop::create_task(event_loop.bind(py), coroutine, None, None, None, None);
    }
    event_loop.object(py).call_method1(intern!(py, "create_task"), (coroutine,))
}

static TASK_IS_DONE: Watch =
    Watch::new("StreamReaderProtocol.connection_made.<locals>.callback", task_is_done);

/// Closes the transport if the callback's task failed or was cancelled. `watcher` is the pair of loop and transport.
fn task_is_done(watcher: &Bound<'_, PyAny>, task: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = watcher.py();
    let (event_loop, transport) = watcher.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
    if !task.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
        let exception = task.call_method0(intern!(py, "exception"))?;
        if exception.is_none() {
            return Ok(());
        }
        report(py, &LoopRef::new(&event_loop), &exception, &transport)?;
    }
    transport.call_method0(intern!(py, "close")).map(drop)
}

fn report(
    py: Python<'_>,
    event_loop: &LoopRef,
    exception: &Bound<'_, PyAny>,
    transport: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), "Unhandled exception in client_connected_cb")?;
    context.set_item(intern!(py, "exception"), exception)?;
    context.set_item(intern!(py, "transport"), transport)?;
    event_loop.call_exception_handler(py, &context)
}

/// Refuses a connection if its reader no longer exists.
pub(super) fn reject(
    protocol: &Bound<'_, StreamReaderProtocol>,
    transport: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = protocol.py();
    let context = PyDict::new(py);
    context.set_item(
        intern!(py, "message"),
        "An open stream was garbage collected prior to establishing network connection; \
         call \"stream.close()\" explicitly.",
    )?;
    let stack = protocol
        .get()
        .state
        .with(py, |state| state.source_traceback.as_ref().map(|stack| stack.clone_ref(py)));
    if let Some(stack) = stack {
        context.set_item(intern!(py, "source_traceback"), stack)?;
    }
    protocol.as_super().get().event_loop(py)?.call_exception_handler(py, &context)?;
    transport.call_method0(intern!(py, "abort")).map(drop)
}
