//! ferrio-async: a ready future, one woken on its own thread, and ones that another thread completes.

use std::future::poll_fn;
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::Poll;

use ferrio_async::{async_pyfunction, local_future_into_py};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
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

async fn completed() -> PyResult<()> {
    let (sender, receiver) = oneshot::channel();
    COMPLETER.send(sender).map_err(|_| PyRuntimeError::new_err("the thread has ended"))?;
    receiver.await.map_err(|_| PyRuntimeError::new_err("the thread has ended"))
}

async_pyfunction! {
    async fn ready() -> PyResult<()> {
        Ok(())
    }

    async fn from_thread() -> PyResult<()> {
        completed().await
    }
}

async_pyfunction! {
    in ferrio_async::tokio::Tokio;

    async fn ready_in_tokio() -> PyResult<()> {
        Ok(())
    }

    async fn from_thread_in_tokio() -> PyResult<()> {
        completed().await
    }
}

/// Woken on the loop's thread, once.
#[pyfunction]
fn local(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut woken = false;
    local_future_into_py(
        py,
        poll_fn(move |context| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(Ok(()));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }),
    )
}

#[pymodule(gil_used = false)]
fn rust_ours(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ready, module)?)?;
    module.add_function(wrap_pyfunction!(local, module)?)?;
    module.add_function(wrap_pyfunction!(from_thread, module)?)?;
    module.add_function(wrap_pyfunction!(ready_in_tokio, module)?)?;
    module.add_function(wrap_pyfunction!(from_thread_in_tokio, module)?)
}
