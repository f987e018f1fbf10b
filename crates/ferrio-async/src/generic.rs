//! Futures in any runtime's threads.

use std::future::Future;

use pyo3::prelude::*;

use crate::convert::{Name, named_future_into_py};
use crate::spawned::Spawned;

/// What runs futures in threads of its own.
pub trait Runtime: 'static {
    /// A running future. Dropping it must stop the future soon, if that hasn't ended.
    type Task: Send + 'static;

    /// Runs the future. Called attached to the interpreter, so it must not wait.
    fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Self::Task;
}

/// Makes a Python coroutine of a future that runs in `R`'s threads.
///
/// It is handed to the runtime when Python awaits it. The result is converted on the loop's thread, so the runtime's
/// threads don't attach to the interpreter. A cancelled `await` stops the future. [`into_future`](crate::into_future) works
/// in it.
///
/// # Errors
///
/// If the awaitable can't be made, for lack of memory.
pub fn future_into_py<R, F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    R: Runtime,
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    struct Unnamed;
    impl Name for Unnamed {
        const NAME: &'static str = "rust_future";
    }
    named::<R, Unnamed, F, T>(py, future)
}

/// As [`future_into_py`], with a name.
///
/// # Errors
///
/// As [`future_into_py`].
#[doc(hidden)]
pub fn named<R, N, F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    R: Runtime,
    N: Name,
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    named_future_into_py::<N, _, T>(py, Spawned::<R, F, T>::new(future))
}
