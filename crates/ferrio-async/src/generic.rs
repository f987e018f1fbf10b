//! Futures and streams in any runtime's threads.

use std::future::Future;

use futures_core::Stream;
use pyo3::prelude::*;

use crate::convert::{Name, named_future_into_py};
use crate::pumped::Pumped;
use crate::spawned::Spawned;

/// What runs futures in threads of its own.
///
/// ```
/// use std::pin::pin;
/// use std::sync::Arc;
/// use std::task::{Context, Wake, Waker};
/// use std::thread::{self, Thread};
///
/// use ferrio_async::generic::Runtime;
///
/// /// A thread for each future.
/// struct Threads;
///
/// struct Unpark(Thread);
///
/// impl Wake for Unpark {
///     fn wake(self: Arc<Self>) {
///         self.0.unpark();
///     }
/// }
///
/// /// The thread looks at each wake-up whether it is still wanted.
/// struct Task(#[allow(dead_code)] Arc<()>, Thread);
///
/// impl Drop for Task {
///     fn drop(&mut self) {
///         self.0 = Arc::default();
///         self.1.unpark();
///     }
/// }
///
/// impl Runtime for Threads {
///     type Task = Task;
///
///     fn spawn<F: Future<Output = ()> + Send + 'static>(future: F) -> Task {
///         let wanted = Arc::new(());
///         let until = Arc::downgrade(&wanted);
///         let running = thread::spawn(move || {
///             let waker = Waker::from(Arc::new(Unpark(thread::current())));
///             let mut future = pin!(future);
///             while until.strong_count() > 0
///                 && future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending()
///             {
///                 thread::park();
///             }
///         });
///         Task(wanted, running.thread().clone())
///     }
/// }
/// ```
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
/// ```
/// use ferrio_async::generic::{self, Runtime};
/// use pyo3::prelude::*;
///
/// /// The sum of the numbers, made in the threads of some runtime.
/// fn sum<R: Runtime>(py: Python<'_>, numbers: Vec<u64>) -> PyResult<Bound<'_, PyAny>> {
///     generic::future_into_py::<R, _, _>(py, async move { Ok(numbers.iter().sum::<u64>()) })
/// }
/// ```
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

/// How many items [`stream_into_py`] reads ahead.
const CAPACITY: usize = 64;

/// Makes a Python async iterator of a stream that runs in `R`'s threads.
///
/// It is handed to the runtime when Python asks for the first item. The runtime's threads read ahead up to 64 items, and
/// don't attach to the interpreter: the loop takes all that is there at once, and converts each item where it is awaited.
/// [`into_future`](crate::into_future) works in the stream. For its end, errors, panics and cancellation see
/// [`stream_into_py`](crate::stream_into_py). A stream that is closed or dropped stops soon, wherever it waits.
///
/// ```
/// use ferrio_async::generic::{self, Runtime};
/// use futures_util::stream;
/// use pyo3::prelude::*;
///
/// /// Numbers that are made in the threads of some runtime.
/// fn squares<R: Runtime>(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
///     generic::stream_into_py::<R, _, _>(py, stream::iter((0u64..1000).map(|number| Ok(number * number))))
/// }
/// ```
///
/// # Errors
///
/// If the iterator can't be made, for lack of memory.
pub fn stream_into_py<R, S, T>(py: Python<'_>, stream: S) -> PyResult<Bound<'_, PyAny>>
where
    R: Runtime,
    S: Stream<Item = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    stream_into_py_with_capacity::<R, S, T>(py, stream, CAPACITY)
}

/// As [`stream_into_py`]; the runtime reads ahead up to `capacity` items, at least one.
///
/// As many more may wait on the loop's side, where the program hasn't asked for them yet.
///
/// ```
/// use ferrio_async::generic::{self, Runtime};
/// use futures_core::Stream;
/// use pyo3::prelude::*;
///
/// /// Blocks of a file: large, so only a few are read ahead.
/// fn blocks<R: Runtime>(
///     py: Python<'_>,
///     stream: impl Stream<Item = PyResult<Vec<u8>>> + Send + 'static,
/// ) -> PyResult<Bound<'_, PyAny>> {
///     generic::stream_into_py_with_capacity::<R, _, _>(py, stream, 4)
/// }
/// ```
///
/// # Errors
///
/// As [`stream_into_py`].
pub fn stream_into_py_with_capacity<R, S, T>(
    py: Python<'_>,
    stream: S,
    capacity: usize,
) -> PyResult<Bound<'_, PyAny>>
where
    R: Runtime,
    S: Stream<Item = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + Send + 'static,
{
    crate::stream::stream_into_py(py, Pumped::<R, S, T>::new(stream, capacity))
}
