//! Rust futures as Python awaitables, polled by the task that awaits them.

use std::any::TypeId;
use std::future::Future;

use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;

use crate::coroutine::Coroutine;
use crate::ffi::{self, Confined};

/// What `repr` and warnings call an awaitable.
pub trait Name: 'static {
    /// Its name.
    const NAME: &'static str;
}

struct Unnamed;

impl Name for Unnamed {
    const NAME: &'static str = "rust_future";
}

/// Makes a Python coroutine of a Rust future.
///
/// The task that awaits it polls the future in its own step: on the loop's thread, attached, in the task's context. The
/// future may be woken by any thread. It must not block. Its `Ok` becomes the value of the `await` (`None` if that is
/// `()`), and its `Err` is raised.
///
/// ```
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn double(py: Python<'_>, number: i64) -> PyResult<Bound<'_, PyAny>> {
///     ferrio_async::future_into_py(py, async move { Ok(2 * number) })
/// }
/// ```
///
/// # Errors
///
/// If the awaitable can't be made, for lack of memory.
pub fn future_into_py<F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    named_future_into_py::<Unnamed, F, T>(py, future)
}

/// As [`future_into_py`] for futures that aren't `Send`.
///
/// It must be awaited in the thread that called this; in any other the `await` raises `RuntimeError`. If another thread
/// drops the awaitable, the future is leaked, because what it holds may not be dropped there.
///
/// ```
/// use std::rc::Rc;
///
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn word(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
///     let word = Rc::new("shared");
///     ferrio_async::local_future_into_py(py, async move { Ok(*word) })
/// }
/// ```
///
/// # Errors
///
/// As [`future_into_py`].
pub fn local_future_into_py<F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    F: Future<Output = PyResult<T>> + 'static,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    match ffi::running(py)? {
        Some((event_loop, Some(api))) => api.local_awaitable::<Unnamed, _>(&event_loop, converted(future)),
        _ => coroutine::<Unnamed, _>(py, Confined::new(converted(future))),
    }
}

/// As [`future_into_py`], with a name.
///
/// # Errors
///
/// As [`future_into_py`].
#[doc(hidden)]
pub fn named_future_into_py<N, F, T>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    N: Name,
    F: Future<Output = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    awaitable::<N, _>(py, converted(future))
}

/// The same future with a Python object as its result. It is polled while attached, so it converts where it is polled.
async fn converted<F, T>(future: F) -> PyResult<Py<PyAny>>
where
    F: Future<Output = PyResult<T>>,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    let value = future.await?;
    Python::attach(|py| into_object(py, value))
}

/// The Python object; `()` becomes `None`, as it does where a `#[pyfunction]` returns it, and no empty tuple.
pub(crate) fn into_object<T>(py: Python<'_>, value: T) -> PyResult<Py<PyAny>>
where
    T: for<'py> IntoPyObject<'py> + 'static,
{
    if TypeId::of::<T>() == TypeId::of::<()>() { Ok(py.None()) } else { value.into_py_any(py) }
}

/// An awaitable of the running loop's, if that is ferrio's; otherwise one for any loop.
fn awaitable<N, F>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    N: Name,
    F: Future<Output = PyResult<Py<PyAny>>> + Send + 'static,
{
    match ffi::running(py)? {
        Some((event_loop, Some(api))) => api.awaitable::<N, F>(&event_loop, future),
        _ => coroutine::<N, F>(py, future),
    }
}

/// An awaitable for any loop.
fn coroutine<N, F>(py: Python<'_>, future: F) -> PyResult<Bound<'_, PyAny>>
where
    N: Name,
    F: Future<Output = PyResult<Py<PyAny>>> + Send + 'static,
{
    Ok(Bound::new(py, Coroutine::new(Box::pin(future), N::NAME))?.into_any())
}
