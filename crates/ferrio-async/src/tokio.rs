//! Futures and streams in tokio's threads.

use std::future::Future;

use ::tokio::runtime::{Builder, Runtime};
use ::tokio::task::JoinHandle;
use futures_core::Stream;
use pyo3::prelude::*;

use crate::generic;
use crate::process::PerProcess;

static RUNTIME: PerProcess<Runtime> = PerProcess::new();

/// tokio as a [`generic::Runtime`].
#[derive(Debug)]
pub struct Tokio;

/// A future in tokio, stopped when this is dropped.
#[derive(Debug)]
pub struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl generic::Runtime for Tokio {
    type Task = Task;

    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Task {
        Task(get_runtime().spawn(future))
    }
}

/// Sets the runtime of this process, before it is first used. Hands it back if there is one already.
///
/// ```
/// use pyo3::exceptions::PyRuntimeError;
/// use pyo3::prelude::*;
///
/// #[pymodule]
/// fn my_module(_module: &Bound<'_, PyModule>) -> PyResult<()> {
///     let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
///     ferrio_async::tokio::init(runtime).map_err(|_| PyRuntimeError::new_err("there is one already"))
/// }
/// ```
///
/// # Errors
///
/// The runtime that was given, if there is one already.
pub fn init(runtime: Runtime) -> Result<(), Runtime> {
    let mut given = Some(runtime);
    RUNTIME.get_or_init(|| given.take().expect("a value is made once"));
    given.map_or(Ok(()), Err)
}

/// The runtime: that of [`init`], else a multi-threaded one, made now. A forked child gets one of its own, because it
/// has none of its parent's threads.
///
/// ```
/// use std::time::Duration;
///
/// ferrio_async::tokio::get_runtime().spawn(async {
///     tokio::time::sleep(Duration::from_millis(1)).await;
/// });
/// ```
///
/// # Panics
///
/// If tokio can't start its threads.
pub fn get_runtime() -> &'static Runtime {
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread().enable_all().build().expect("tokio can start its threads")
    })
}

/// Makes a Python coroutine of a future that runs in tokio ([`generic::future_into_py`]).
///
/// ```
/// use std::time::Duration;
///
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn sleep(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
///     ferrio_async::tokio::future_into_py(py, async move {
///         tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
///
/// If the awaitable can't be made, for lack of memory.
pub fn future_into_py<F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    generic::future_into_py::<Tokio, F, T>(py, future)
}

/// Makes a Python async iterator of a stream that runs in tokio ([`generic::stream_into_py`]).
///
/// ```
/// use std::time::Duration;
///
/// use futures_util::stream;
/// use pyo3::prelude::*;
///
/// /// Count, by tokio's clock.
/// #[pyfunction]
/// fn ticks(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
///     ferrio_async::tokio::stream_into_py(py, stream::unfold(0, move |count| async move {
///         tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
///         Some((Ok(count), count + 1))
///     }))
/// }
/// ```
///
/// # Errors
///
/// If the iterator can't be made, for lack of memory.
pub fn stream_into_py<S, T>(py: Python<'_>, stream: S) -> PyResult<Bound<'_, PyAny>>
where
    S: Stream<Item = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    generic::stream_into_py::<Tokio, S, T>(py, stream)
}
