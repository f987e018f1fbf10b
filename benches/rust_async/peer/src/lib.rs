//! The same by pyo3-async-runtimes with tokio, and by PyO3's experimental coroutines.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;

use futures_core::Stream;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3_async_runtimes::tokio::future_into_py;
use tokio::sync::oneshot;

/// A thread that completes what it gets.
static COMPLETER: LazyLock<Sender<oneshot::Sender<()>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<oneshot::Sender<()>>();
    std::thread::spawn(move || {
        for waiting in receiver {
            // An error means that nobody waits any more.
            let _ = waiting.send(());
        }
    });
    sender
});

#[pyfunction]
fn ready(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async { Ok(()) })
}

async fn completed() -> PyResult<()> {
    let (sender, receiver) = oneshot::channel();
    COMPLETER.send(sender).map_err(|_| PyRuntimeError::new_err("the thread has ended"))?;
    receiver.await.map_err(|_| PyRuntimeError::new_err("the thread has ended"))
}

#[pyfunction]
fn from_thread(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, completed())
}

/// Takes all items of a Python iterator, in tokio.
#[pyfunction]
fn consume<'py>(iterator: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = iterator.py();
    let stream = pyo3_async_runtimes::tokio::into_stream_v2(iterator)?;
    future_into_py(py, async move {
        let mut stream = pin!(stream);
        while poll_fn(|context| stream.as_mut().poll_next(context)).await.is_some() {}
        Ok(())
    })
}

#[pyfunction]
async fn experimental_ready() {}

/// Woken on the loop's thread, once.
#[pyfunction]
async fn experimental_local() {
    let mut woken = false;
    poll_fn(|context| {
        if std::mem::replace(&mut woken, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await
}

#[pyfunction]
async fn experimental_from_thread() -> PyResult<()> {
    completed().await
}

#[pymodule]
fn rust_peer(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ready, module)?)?;
    module.add_function(wrap_pyfunction!(from_thread, module)?)?;
    module.add_function(wrap_pyfunction!(consume, module)?)?;
    module.add_function(wrap_pyfunction!(experimental_ready, module)?)?;
    module.add_function(wrap_pyfunction!(experimental_local, module)?)?;
    module.add_function(wrap_pyfunction!(experimental_from_thread, module)?)
}
