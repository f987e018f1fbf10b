//! Futures and streams in smol's threads.

use std::future::Future;
use std::sync::OnceLock;

use futures_core::Stream;
use pyo3::prelude::*;

use crate::generic;

/// smol's global executor as a [`generic::Runtime`].
#[derive(Debug)]
pub struct Smol;

impl generic::Runtime for Smol {
    /// smol stops a task that is dropped.
    type Task = ::smol::Task<()>;

    /// # Panics
    ///
    /// In a forked child of a process that has used smol: its threads are gone, and it can't be started again.
    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Self::Task {
        static PROCESS: OnceLock<u32> = OnceLock::new();
        let process = std::process::id();
        let first = *PROCESS.get_or_init(|| process);
        assert_eq!(
            first, process,
            "smol's threads are those of the parent process: a forked child can't use it"
        );
        ::smol::spawn(future)
    }
}

/// Makes a Python coroutine of a future that runs in smol's threads ([`generic::future_into_py`]).
///
/// ```
/// use std::time::Duration;
///
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn sleep(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
///     ferrio_async::smol::future_into_py(py, async move {
///         smol::Timer::after(Duration::from_secs_f64(seconds)).await;
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
    generic::future_into_py::<Smol, F, T>(py, future)
}

/// Makes a Python async iterator of a stream that runs in smol ([`generic::stream_into_py`]).
///
/// ```
/// use std::time::Duration;
///
/// use pyo3::prelude::*;
/// use smol::stream::StreamExt;
///
/// /// Count, by smol's clock.
/// #[pyfunction]
/// fn ticks(py: Python<'_>, seconds: f64) -> PyResult<Bound<'_, PyAny>> {
///     let timer = smol::Timer::interval(Duration::from_secs_f64(seconds));
///     ferrio_async::smol::stream_into_py(py, timer.enumerate().map(|(count, _)| Ok(count)))
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
    generic::stream_into_py::<Smol, S, T>(py, stream)
}
