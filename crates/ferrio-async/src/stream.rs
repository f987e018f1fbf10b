//! Rust streams as Python async iterators.
//!
//! An `await` of the next item takes the stream out of the iterator, and puts it back when it ends or is dropped. So a
//! cancelled `await` loses no item, and a second one at the same time finds no stream.
//! Invariants: no lock is held while the stream is polled or dropped. A stream that ended or panicked is dropped at once.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_core::Stream;
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration};
use pyo3::prelude::*;

use crate::convert::{Name, into_object, named_future_into_py};
use crate::ffi::Confined;
use crate::panic::caught;

type Items = Pin<Box<dyn Stream<Item = PyResult<Py<PyAny>>> + Send>>;

enum State {
    Idle(Items),
    /// An `await` has it.
    Running,
    Ended,
}

/// Makes a Python async iterator of a Rust stream.
///
/// `async for` and `anext` poll the stream in the task that awaits them: on the loop's thread, attached, in the task's
/// context. The stream may be woken by any thread. It must not block.
///
/// - An `Err` is raised, and doesn't end the stream: Python may ask for the next item.
/// - A cancelled `await` loses nothing: the item is there for the next one.
/// - A second `await` at the same time raises `RuntimeError`, as with an async generator.
/// - The stream is dropped at its end, by `await iterator.aclose()`, and with the iterator. If it panics, it is dropped
///   and the `await` raises [`RustPanic`](crate::RustPanic).
///
/// ```
/// use futures_util::stream;
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn count_down(py: Python<'_>, from: u32) -> PyResult<Bound<'_, PyAny>> {
///     ferrio_async::stream_into_py(py, stream::iter((0..from).rev().map(Ok)))
/// }
/// ```
///
/// In Python: `async for number in my_module.count_down(10): ...`
///
/// # Errors
///
/// If the iterator can't be made, for lack of memory.
pub fn stream_into_py<S, T>(py: Python<'_>, stream: S) -> PyResult<Bound<'_, PyAny>>
where
    S: Stream<Item = PyResult<T>> + Send + 'static,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    let items: Items = Box::pin(Converted { stream });
    Ok(Bound::new(py, AsyncIterator(Arc::new(Shared(Mutex::new(State::Idle(items))))))?.into_any())
}

/// As [`stream_into_py`] for streams that aren't `Send`.
///
/// It must be used in the thread that called this; in any other an `await` raises `RuntimeError`. If another thread drops
/// the iterator, the stream is leaked, because what it holds may not be dropped there.
///
/// ```
/// use std::rc::Rc;
///
/// use futures_util::stream;
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn words(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
///     let word = Rc::new("again");
///     let stream = stream::iter((0..3).map(move |_| Ok(*word)));
///     ferrio_async::local_stream_into_py(py, stream)
/// }
/// ```
///
/// # Errors
///
/// As [`stream_into_py`].
pub fn local_stream_into_py<S, T>(py: Python<'_>, stream: S) -> PyResult<Bound<'_, PyAny>>
where
    S: Stream<Item = PyResult<T>> + 'static,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    stream_into_py(py, Confined::new(Converted { stream }))
}

pin_project_lite::pin_project! {
    /// The same stream with Python objects as its items. It is polled while attached, so it converts where it is polled.
    struct Converted<S> {
        #[pin]
        stream: S,
    }
}

impl<S, T> Stream for Converted<S>
where
    S: Stream<Item = PyResult<T>>,
    T: for<'py> IntoPyObject<'py> + 'static,
{
    type Item = PyResult<Py<PyAny>>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let item = ready!(self.project().stream.poll_next(context));
        Poll::Ready(item.map(|item| item.and_then(|value| Python::attach(|py| into_object(py, value)))))
    }
}

struct Shared(Mutex<State>);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the stream out, if there is one; the state is then `next`.
    fn enter(&self, method: &str, next: State) -> PyResult<Option<Items>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, next) {
            State::Idle(items) => Ok(Some(items)),
            State::Running => {
                *state = State::Running;
                let text = format!("{method}(): asynchronous generator is already running");
                Err(PyRuntimeError::new_err(text))
            }
            State::Ended => {
                *state = State::Ended;
                Ok(None)
            }
        }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = std::mem::replace(&mut *self.state(), State::Ended);
        let _ = caught(|| {
            drop(state);
            Ok(())
        });
    }
}

/// A Rust stream.
#[pyclass(frozen, weakref, name = "async_iterator", module = "ferrio_async")]
struct AsyncIterator(Arc<Shared>);

#[pymethods]
impl AsyncIterator {
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __anext__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        struct Anext;
        impl Name for Anext {
            const NAME: &'static str = "anext";
        }
        named_future_into_py::<Anext, _, _>(py, Next { shared: self.0.clone(), items: None })
    }

    /// Drop the stream.
    fn aclose<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        struct Aclose;
        impl Name for Aclose {
            const NAME: &'static str = "aclose";
        }
        let shared = self.0.clone();
        named_future_into_py::<Aclose, _, _>(py, async move {
            drop(shared.enter("aclose", State::Ended)?);
            Ok(())
        })
    }
}

/// The `await` of one item. It has the stream from its first poll to its end.
struct Next {
    shared: Arc<Shared>,
    items: Option<Items>,
}

impl Future for Next {
    type Output = PyResult<Py<PyAny>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.items.is_none() {
            self.items = self.shared.enter("anext", State::Running)?;
        }
        let Some(items) = &mut self.items else {
            return Poll::Ready(Err(PyStopAsyncIteration::new_err(())));
        };
        let failure = match caught(|| Ok(items.as_mut().poll_next(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(Some(item))) => {
                self.put_back();
                return Poll::Ready(item);
            }
            Ok(Poll::Ready(None)) => PyStopAsyncIteration::new_err(()),
            Err(panic) => panic,
        };
        let ended = self.items.take();
        *self.shared.state() = State::Ended;
        drop(ended);
        Poll::Ready(Err(failure))
    }
}

impl Next {
    fn put_back(&mut self) {
        if let Some(items) = self.items.take() {
            *self.shared.state() = State::Idle(items);
        }
    }
}

impl Drop for Next {
    fn drop(&mut self) {
        self.put_back();
    }
}
