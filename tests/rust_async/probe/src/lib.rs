//! Futures of every kind for tests/rust_async, each with a `Token` that counts how many are alive.

mod reactor;
mod storm;
mod streams;

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ferrio_async::{Home, async_pyfunction, future_into_py, into_future, local_future_into_py};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

static ALIVE: AtomicUsize = AtomicUsize::new(0);
static MADE: AtomicUsize = AtomicUsize::new(0);

/// Held by every future of this module, and moved into its result.
struct Token;

impl Token {
    fn new() -> Self {
        ALIVE.fetch_add(1, Ordering::Relaxed);
        MADE.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A number that becomes a Python object where it is awaited.
struct Number(u64, #[allow(dead_code, reason = "it counts")] Token);

impl<'py> IntoPyObject<'py> for Number {
    type Target = pyo3::types::PyInt;
    type Output = Bound<'py, Self::Target>;
    type Error = std::convert::Infallible;

    fn into_pyobject(self, py: Python<'py>) -> Result<Self::Output, Self::Error> {
        self.0.into_pyobject(py)
    }
}

/// How many futures and results are alive, and how many were made.
#[pyfunction]
fn counts() -> (usize, usize) {
    (ALIVE.load(Ordering::Relaxed), MADE.load(Ordering::Relaxed))
}

/// A future that waits to be woken by another thread.
#[derive(Default)]
struct Shared {
    done: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    fn finish(&self) {
        self.done.store(true, Ordering::Release);
        if let Some(waker) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            waker.wake();
        }
    }
}

impl Future for &Shared {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let old = self.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(context.waker().clone());
        drop(old);
        if self.done.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// What Python completes at will, from any thread and detached.
#[pyclass(frozen)]
struct Switch(Arc<Shared>);

#[pymethods]
impl Switch {
    #[new]
    fn new() -> Self {
        Self(Arc::default())
    }

    /// Completes it here and now.
    fn finish(&self) {
        self.0.finish();
    }

    /// Completes it in this thread, while that is detached.
    fn finish_detached(&self, py: Python<'_>) {
        py.detach(|| self.0.finish());
    }

    /// Completes it in a new thread, which never attaches.
    fn finish_in_thread(&self) {
        let shared = self.0.clone();
        std::thread::spawn(move || shared.finish());
    }

    /// Waits for it; the task polls.
    fn wait<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        let (shared, token) = (self.0.clone(), Token::new());
        future_into_py(py, async move {
            (&*shared).await;
            Ok(Number(number, token))
        })
    }

    /// Waits for it in tokio.
    fn wait_in_tokio<'py>(&self, py: Python<'py>, number: u64) -> PyResult<Bound<'py, PyAny>> {
        let (shared, token) = (self.0.clone(), Token::new());
        ferrio_async::tokio::future_into_py(py, async move {
            (&*shared).await;
            Ok(Number(number, token))
        })
    }
}

async_pyfunction! {
    async fn ready(value: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let _token = Token::new();
        Ok(value)
    }

    async fn nothing() -> PyResult<()> {
        Ok(())
    }

    async fn pending() -> PyResult<()> {
        let _token = Token::new();
        std::future::pending().await
    }

    async fn raising(text: String) -> PyResult<()> {
        let _token = Token::new();
        Err(PyValueError::new_err(text))
    }

    async fn panicking(text: String) -> PyResult<()> {
        let _token = Token::new();
        panic!("{text}")
    }

    /// Wakes itself during its polls.
    async fn yielding(times: usize) -> PyResult<usize> {
        let _token = Token::new();
        for _ in 0..times {
            let mut yielded = false;
            poll_fn(|context| {
                if std::mem::replace(&mut yielded, true) {
                    return Poll::Ready(());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            })
            .await;
        }
        Ok(times)
    }

    /// Awaits what `function()` returns, in the task.
    async fn calling(function: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let _token = Token::new();
        Python::attach(|py| into_future(function.bind(py).call0()?))?.await
    }

    /// Waits for ever, and keeps its own waker alive.
    async fn keeping_its_waker(object: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let _token = Token::new();
        let mut kept = None;
        poll_fn(|context| {
            kept = Some(context.waker().clone());
            Poll::<()>::Pending
        })
        .await;
        Ok(object)
    }

    async fn look(function: Py<PyAny>) -> PyResult<Py<PyAny>> {
        Python::attach(|py| function.call0(py))
    }
}

/// The same in runtimes; each in a module of its own, as the names are the same.
macro_rules! in_runtime {
    ($module:ident, $runtime:ty, $sleep:path) => {
        mod $module {
            use std::time::Duration;

            use ferrio_async::{async_pyfunction, into_future};
            use pyo3::exceptions::{PyRuntimeError, PyValueError};
            use pyo3::prelude::*;

            use super::{Number, Token};

            async_pyfunction! {
                in $runtime;

                /// Sleeps, then returns the number.
                async fn sleeping(milliseconds: u64, number: u64) -> PyResult<Number> {
                    let token = Token::new();
                    $sleep(Duration::from_millis(milliseconds)).await;
                    Ok(Number(number, token))
                }

                async fn nothing() -> PyResult<()> {
                    Ok(())
                }

                async fn pending() -> PyResult<()> {
                    let _token = Token::new();
                    std::future::pending().await
                }

                async fn raising(text: String) -> PyResult<()> {
                    Err(PyValueError::new_err(text))
                }

                async fn panicking(text: String) -> PyResult<()> {
                    let _token = Token::new();
                    panic!("{text}")
                }

                /// Awaits what `function()` returns, from a thread of the runtime.
                async fn calling(function: Py<PyAny>) -> PyResult<Py<PyAny>> {
                    let _token = Token::new();
                    // The interpreter may be about to end; then `attach` panics.
                    let called = Python::try_attach(|py| into_future(function.bind(py).call0()?));
                    called.unwrap_or_else(|| Err(PyRuntimeError::new_err("the interpreter ends")))?.await
                }
            }

            pub(super) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
                let inner = PyModule::new(module.py(), stringify!($module))?;
                inner.add_function(wrap_pyfunction!(sleeping, &inner)?)?;
                inner.add_function(wrap_pyfunction!(nothing, &inner)?)?;
                inner.add_function(wrap_pyfunction!(pending, &inner)?)?;
                inner.add_function(wrap_pyfunction!(raising, &inner)?)?;
                inner.add_function(wrap_pyfunction!(panicking, &inner)?)?;
                inner.add_function(wrap_pyfunction!(calling, &inner)?)?;
                module.add_submodule(&inner)
            }
        }
    };
}

/// Calls a Python function when it is dropped.
struct Farewell(Py<PyAny>);

impl Drop for Farewell {
    fn drop(&mut self) {
        Python::attach(|py| {
            if let Err(failure) = self.0.call0(py) {
                failure.write_unraisable(py, None);
            }
        });
    }
}

/// A future that calls `function` when it is dropped.
#[pyfunction]
fn saying_farewell(py: Python<'_>, function: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let farewell = Farewell(function);
    future_into_py(py, async move {
        let _farewell = farewell;
        Ok(())
    })
}

/// Calls `function` on the running loop, from a new thread.
#[pyfunction]
fn call_from_thread(py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
    let home = Home::current(py)?;
    std::thread::spawn(move || home.call_soon(move |event_loop| function.call0(event_loop.py()).map(drop)));
    Ok(())
}

async fn smol_sleep(time: Duration) {
    smol::Timer::after(time).await;
}

in_runtime!(in_tokio, ferrio_async::tokio::Tokio, tokio::time::sleep);
in_runtime!(in_smol, ferrio_async::smol::Smol, super::smol_sleep);

/// Two local futures that meet in a cell: `wait` ends when `open` is called, on the same thread.
#[pyclass(unsendable)]
struct Door(Rc<(Cell<bool>, Cell<Option<Waker>>)>);

#[pymethods]
impl Door {
    #[new]
    fn new() -> Self {
        Self(Rc::default())
    }

    fn open(&self) {
        self.0.0.set(true);
        if let Some(waker) = self.0.1.take() {
            waker.wake();
        }
    }

    fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (door, token) = (self.0.clone(), Token::new());
        local_future_into_py(py, async move {
            poll_fn(|context| {
                door.1.set(Some(context.waker().clone()));
                if door.0.get() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
            drop(token);
            Ok(())
        })
    }
}

/// Starts something in tokio that counts every millisecond; returns the counter.
#[pyclass(frozen)]
struct Ticks(Arc<AtomicUsize>);

#[pymethods]
impl Ticks {
    #[new]
    fn new() -> Self {
        let ticks = Arc::new(AtomicUsize::new(0));
        let counted = Arc::downgrade(&ticks);
        ferrio_async::tokio::get_runtime().spawn(async move {
            while let Some(ticks) = counted.upgrade() {
                ticks.fetch_add(1, Ordering::Relaxed);
                drop(ticks);
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        Self(ticks)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Holds the interpreter until tokio has counted so many ticks; raises after ten seconds.
    fn hold_until(&self, ticks: usize) -> PyResult<()> {
        let (began, wanted) = (std::time::Instant::now(), self.count() + ticks);
        while self.count() < wanted {
            if began.elapsed() > Duration::from_secs(10) {
                return Err(PyValueError::new_err("tokio stood still while the interpreter was held"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }
}

#[pymodule(gil_used = false)]
fn rust_probe(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Door>()?;
    module.add_class::<Switch>()?;
    module.add_class::<Ticks>()?;
    module.add("RustPanic", module.py().get_type::<ferrio_async::RustPanic>())?;
    module.add_function(wrap_pyfunction!(counts, module)?)?;
    module.add_function(wrap_pyfunction!(ready, module)?)?;
    module.add_function(wrap_pyfunction!(nothing, module)?)?;
    module.add_function(wrap_pyfunction!(pending, module)?)?;
    module.add_function(wrap_pyfunction!(raising, module)?)?;
    module.add_function(wrap_pyfunction!(panicking, module)?)?;
    module.add_function(wrap_pyfunction!(yielding, module)?)?;
    module.add_function(wrap_pyfunction!(calling, module)?)?;
    module.add_function(wrap_pyfunction!(keeping_its_waker, module)?)?;
    module.add_function(wrap_pyfunction!(saying_farewell, module)?)?;
    module.add_function(wrap_pyfunction!(look, module)?)?;
    module.add_function(wrap_pyfunction!(call_from_thread, module)?)?;
    storm::fill(module)?;
    streams::fill(module)?;
    reactor::fill(module)?;
    in_tokio::fill(module)?;
    in_smol::fill(module)
}
