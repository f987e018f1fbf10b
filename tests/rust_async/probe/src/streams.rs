//! Streams of every kind, each with a `Token`: Rust's for Python, and Python's read by Rust.

use std::cell::Cell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use ferrio_async::generic::{self, Runtime};
use ferrio_async::{
    future_into_py, into_stream, into_stream_with_capacity, local_stream_into_py, smol::Smol, stream_into_py,
    tokio::Tokio,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use smol::stream::{self, Stream, StreamExt};

use super::{Number, Token};

/// Who polls a stream.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Task,
    Tokio,
    Smol,
}

impl<'a, 'py> FromPyObject<'a, 'py> for Place {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<&str>()? {
            "task" => Ok(Self::Task),
            "tokio" => Ok(Self::Tokio),
            "smol" => Ok(Self::Smol),
            other => Err(PyValueError::new_err(other.to_owned())),
        }
    }
}

fn made<'py>(
    py: Python<'py>,
    place: Place,
    stream: impl Stream<Item = PyResult<Number>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>> {
    match place {
        Place::Task => stream_into_py(py, stream),
        Place::Tokio => ferrio_async::tokio::stream_into_py(py, stream),
        Place::Smol => ferrio_async::smol::stream_into_py(py, stream),
    }
}

/// Numbers up to `end`; then it raises `failure`, or panics if `panics`; then one more number.
#[pyfunction]
#[pyo3(signature = (place, end, failure = None, panics = false))]
fn counting(
    py: Python<'_>,
    place: Place,
    end: u64,
    failure: Option<String>,
    panics: bool,
) -> PyResult<Bound<'_, PyAny>> {
    let last = if failure.is_some() || panics { end + 2 } else { end };
    let token = Token::new();
    made(
        py,
        place,
        stream::iter(0..last).map(move |number| {
            let _held = &token;
            assert!(!(panics && number == end), "so it is");
            match &failure {
                Some(text) if number == end => Err(PyValueError::new_err(text.clone())),
                _ => Ok(Number(number, Token::new())),
            }
        }),
    )
}

#[derive(Default)]
struct Queue {
    items: VecDeque<u64>,
    ended: bool,
    waker: Option<Waker>,
}

/// What Python fills, from any thread.
#[pyclass(frozen)]
struct Feed(Arc<Mutex<Queue>>);

impl Feed {
    fn change(queue: &Mutex<Queue>, change: impl FnOnce(&mut Queue)) {
        let waker = {
            let mut queue = lock(queue);
            change(&mut queue);
            queue.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

fn lock(queue: &Mutex<Queue>) -> MutexGuard<'_, Queue> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

#[pymethods]
impl Feed {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    fn push(&self, number: u64) {
        Self::change(&self.0, |queue| queue.items.push_back(number));
    }

    /// Pushes in a new thread, which never attaches.
    fn push_in_thread(&self, numbers: Vec<u64>) {
        let queue = self.0.clone();
        std::thread::spawn(move || {
            for number in numbers {
                Self::change(&queue, |queue| queue.items.push_back(number));
            }
        });
    }

    fn end(&self) {
        Self::change(&self.0, |queue| queue.ended = true);
    }

    /// Whether a stream waits for the next item.
    fn is_awaited(&self) -> bool {
        lock(&self.0).waker.is_some()
    }

    fn stream<'py>(&self, py: Python<'py>, place: Place) -> PyResult<Bound<'py, PyAny>> {
        let (queue, token) = (self.0.clone(), Token::new());
        let next = stream::poll_fn(move |context| {
            let _held = &token;
            let mut queue = lock(&queue);
            match queue.items.pop_front() {
                Some(number) => Poll::Ready(Some(Ok(Number(number, Token::new())))),
                None if queue.ended => Poll::Ready(None),
                None => {
                    queue.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        });
        made(py, place, next)
    }
}

/// An endless stream in a runtime, and how many items were taken from it.
#[pyclass(frozen)]
struct Endless(Arc<AtomicUsize>);

#[pymethods]
impl Endless {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    fn taken(&self) -> usize {
        self.0.load(Ordering::Acquire)
    }

    /// Holds the interpreter until so many were taken.
    fn hold_until(&self, wanted: usize) -> PyResult<()> {
        let began = std::time::Instant::now();
        while self.taken() < wanted {
            if began.elapsed() > std::time::Duration::from_secs(10) {
                return Err(PyValueError::new_err(format!("only {} were taken", self.taken())));
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    fn stream<'py>(&self, py: Python<'py>, place: Place, capacity: usize) -> PyResult<Bound<'py, PyAny>> {
        fn of<R: Runtime>(
            py: Python<'_>,
            taken: Arc<AtomicUsize>,
            capacity: usize,
        ) -> PyResult<Bound<'_, PyAny>> {
            let token = Token::new();
            let stream = stream::repeat(()).map(move |()| {
                let _held = &token;
                Ok(Number(taken.fetch_add(1, Ordering::AcqRel) as u64, Token::new()))
            });
            generic::stream_into_py_with_capacity::<R, _, _>(py, stream, capacity)
        }
        match place {
            Place::Smol => of::<Smol>(py, self.0.clone(), capacity),
            _ => of::<Tokio>(py, self.0.clone(), capacity),
        }
    }
}

/// A stream that isn't `Send`.
#[pyfunction]
fn local_counting(py: Python<'_>, end: u64) -> PyResult<Bound<'_, PyAny>> {
    let (counter, token) = (Rc::new(Cell::new(0)), Token::new());
    let stream = stream::repeat(()).map(move |()| {
        let _held = &token;
        counter.replace(counter.get() + 1)
    });
    local_stream_into_py(py, stream.take_while(move |number| *number < end).map(Ok))
}

/// Awaits `function()` for each of so many items.
#[pyfunction]
fn calling_stream<'py>(
    py: Python<'py>,
    place: Place,
    function: Py<PyAny>,
    items: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let token = Token::new();
    let stream = stream::unfold((function, token), |(function, token)| async move {
        let call = Python::attach(|py| ferrio_async::into_future(function.bind(py).call0()?));
        let item = match call {
            Ok(call) => call.await,
            Err(failure) => Err(failure),
        };
        Some((item, (function, token)))
    })
    .take(items);
    match place {
        Place::Task => stream_into_py(py, stream),
        Place::Tokio => ferrio_async::tokio::stream_into_py(py, stream),
        Place::Smol => ferrio_async::smol::stream_into_py(py, stream),
    }
}

type Reading = Pin<Box<dyn Stream<Item = PyResult<Py<PyAny>>> + Send>>;

fn reading(iterator: Bound<'_, PyAny>, capacity: usize) -> PyResult<Reading> {
    Ok(match capacity {
        0 => Box::pin(into_stream(iterator)?),
        _ => Box::pin(into_stream_with_capacity(iterator, capacity)?),
    })
}

fn run<'py, T>(
    py: Python<'py>,
    place: Place,
    future: impl Future<Output = PyResult<T>> + Send + 'static,
) -> PyResult<Bound<'py, PyAny>>
where
    T: for<'a> IntoPyObject<'a> + Send + 'static,
{
    match place {
        Place::Task => future_into_py(py, future),
        Place::Tokio => ferrio_async::tokio::future_into_py(py, future),
        Place::Smol => ferrio_async::smol::future_into_py(py, future),
    }
}

/// Reads an async iterator up to its end, or `limit` items of it; returns the list.
#[pyfunction]
#[pyo3(signature = (place, iterator, limit = usize::MAX, capacity = 0))]
fn read<'py>(
    place: Place,
    iterator: Bound<'py, PyAny>,
    limit: usize,
    capacity: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, token) = (iterator.py(), Token::new());
    let mut stream = reading(iterator, capacity)?;
    run(py, place, async move {
        let _held = token;
        let mut items = Vec::new();
        while items.len() < limit
            && let Some(item) = stream.next().await
        {
            items.push(item?);
        }
        Ok(items)
    })
}

/// A stream of an async iterator in Python's hands.
#[pyclass(frozen)]
struct Reader(Arc<Mutex<Option<Reading>>>);

impl Reader {
    fn slot(&self) -> MutexGuard<'_, Option<Reading>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl Reader {
    #[new]
    #[pyo3(signature = (iterator, capacity = 0))]
    fn new(iterator: Bound<'_, PyAny>, capacity: usize) -> PyResult<Self> {
        Ok(Self(Arc::new(Mutex::new(Some(reading(iterator, capacity)?)))))
    }

    /// The next item in a list, or an empty list.
    fn next<'py>(&self, py: Python<'py>, place: Place) -> PyResult<Bound<'py, PyAny>> {
        let (shared, token) = (self.0.clone(), Token::new());
        run(py, place, async move {
            let _held = token;
            let next = std::future::poll_fn(|context| {
                match &mut *shared.lock().unwrap_or_else(PoisonError::into_inner) {
                    Some(stream) => stream.as_mut().poll_next(context),
                    None => Poll::Ready(None),
                }
            });
            Ok(next.await.transpose()?.into_iter().collect::<Vec<_>>())
        })
    }

    fn drop(&self) {
        let stream = self.slot().take();
        drop(stream);
    }

    /// Drops it in another thread, which isn't attached.
    fn drop_in_thread(&self) {
        let stream = self.slot().take();
        std::thread::spawn(move || drop(stream));
    }
}

pub(super) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Feed>()?;
    module.add_class::<Endless>()?;
    module.add_class::<Reader>()?;
    module.add_function(wrap_pyfunction!(counting, module)?)?;
    module.add_function(wrap_pyfunction!(local_counting, module)?)?;
    module.add_function(wrap_pyfunction!(calling_stream, module)?)?;
    module.add_function(wrap_pyfunction!(read, module)?)
}
