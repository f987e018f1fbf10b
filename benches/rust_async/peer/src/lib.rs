//! pyo3-async-runtimes with tokio: a ready future, and one that another thread completes.

use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};

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

#[pyfunction]
fn from_thread(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    future_into_py(py, async {
        let (sender, receiver) = oneshot::channel();
        COMPLETER.send(sender).map_err(|_| PyRuntimeError::new_err("the thread has ended"))?;
        receiver.await.map_err(|_| PyRuntimeError::new_err("the thread has ended"))
    })
}

#[pymodule]
fn rust_peer(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ready, module)?)?;
    module.add_function(wrap_pyfunction!(from_thread, module)?)
}
