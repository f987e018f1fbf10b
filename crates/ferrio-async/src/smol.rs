//! Futures in smol's threads.

use std::future::Future;
use std::sync::OnceLock;

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
