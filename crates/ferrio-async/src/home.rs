//! The loop and the context from which Rust calls Python.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ffi::{self, Api, Handle};
use crate::messenger::{self, Message};

thread_local! {
    /// The home of the future that a runtime's thread polls.
    static CURRENT: RefCell<Option<Home>> = const { RefCell::new(None) };
}

/// A running loop and a context: where Python code runs that Rust awaits from other threads.
///
/// Futures that this crate hands to a runtime have one already, so that [`into_future`](crate::into_future) works in them.
/// Other threads can be given one, which is cheap to clone.
///
/// ```
/// use ferrio_async::Home;
/// use pyo3::prelude::*;
///
/// /// Call a function on the running loop, when a thread has done its work.
/// #[pyfunction]
/// fn work(py: Python<'_>, function: Py<PyAny>) -> PyResult<()> {
///     let home = Home::current(py)?;
///     std::thread::spawn(move || {
///         let sum: u64 = (0..1_000_000).sum();
///         home.call_soon(move |event_loop| function.call1(event_loop.py(), (sum,)).map(drop));
///     });
///     Ok(())
/// }
/// ```
#[derive(Clone)]
pub struct Home(Arc<Inner>);

struct Inner {
    event_loop: Py<PyAny>,
    /// For ferrio's loop.
    handle: Option<Handle>,
    context: Py<PyAny>,
}

impl Home {
    /// The loop that runs in this thread and a copy of the current context; else those of the future that is being polled.
    ///
    /// # Errors
    ///
    /// `RuntimeError` if there are neither.
    pub fn current(py: Python<'_>) -> PyResult<Self> {
        match ffi::running(py)? {
            Some((event_loop, api)) => Self::of(&event_loop, api),
            None => CURRENT
                .with_borrow(Clone::clone)
                .ok_or_else(|| PyRuntimeError::new_err("no running event loop")),
        }
    }

    fn of(event_loop: &Bound<'_, PyAny>, api: Option<Api>) -> PyResult<Self> {
        static COPY_CONTEXT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        let handle = api.map(|api| api.handle(event_loop)).transpose()?;
        if handle.is_none() {
            // For `call_soon`, which may come before any coroutine waits.
            messenger::start(py)?;
        }
        let context = COPY_CONTEXT.import(py, "contextvars", "copy_context")?.call0()?.unbind();
        Ok(Self(Arc::new(Inner { event_loop: event_loop.clone().unbind(), handle, context })))
    }

    /// The loop.
    #[must_use]
    pub fn event_loop<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.event_loop.bind(py).clone()
    }

    /// The context.
    #[must_use]
    pub fn context<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.0.context.bind(py).clone()
    }

    /// Whether this thread runs the loop.
    pub(crate) fn runs_here(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(ffi::running(py)?.is_some_and(|(event_loop, _)| event_loop.is(&self.0.event_loop)))
    }

    /// Calls `call` on the loop's thread, attached, from any thread. If the loop is closed, `call` is dropped.
    ///
    /// An error goes to the loop's exception handler.
    pub fn call_soon(&self, call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()> + Send + 'static) {
        match &self.0.handle {
            Some(handle) => handle.post(call),
            None => messenger::send(Message::Call(self.clone(), Box::new(call))),
        }
    }
}

/// The loop that runs in this thread.
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<Option<Bound<'_, PyAny>>> {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let running = RUNNING.import(py, "asyncio.events", "_get_running_loop")?.call0()?;
    Ok((!running.is_none()).then_some(running))
}

/// `loop.create_future()`, as what a task waits for.
pub(crate) fn blocking_future<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = event_loop.py();
    let future = event_loop.call_method0(intern!(py, "create_future"))?;
    future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
    Ok(future)
}

pin_project_lite::pin_project! {
    /// A future that a runtime's thread polls; meanwhile `Home::current` finds its home.
    pub(crate) struct AtHome<F> {
        home: Option<Home>,
        #[pin]
        future: F,
    }
}

impl<F> AtHome<F> {
    pub(crate) fn new(home: Home, future: F) -> Self {
        Self { home: Some(home), future }
    }

    /// Takes the home out, after the last poll.
    pub(crate) fn leave(self: Pin<&mut Self>) -> Option<Home> {
        self.project().home.take()
    }
}

impl<F: Future> Future for AtHome<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let _entered = Entered::new(this.home);
        this.future.poll(context)
    }
}

/// Puts a home into `CURRENT` and takes it back, also after a panic.
struct Entered<'a> {
    home: &'a mut Option<Home>,
    outer: Option<Home>,
}

impl<'a> Entered<'a> {
    fn new(home: &'a mut Option<Home>) -> Self {
        let outer = CURRENT.replace(home.take());
        Self { home, outer }
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        *self.home = CURRENT.replace(self.outer.take());
    }
}
