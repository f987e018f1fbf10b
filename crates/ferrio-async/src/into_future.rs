//! Python awaitables as Rust futures.
//!
//! A task on the loop awaits the Python side, and its end is handed to the thread that polls the Rust side. The two share
//! a `Slot`.
//! Invariants: the task is only touched on its loop's thread. A slot whose future was dropped cancels its task, whenever
//! that is made.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::ffi;
use crate::home::Home;

enum State {
    /// The task isn't made yet.
    Ordered,
    Running(Py<PyAny>),
    Ended(PyResult<Py<PyAny>>),
    /// Its end was taken, or nobody waits for it.
    Gone,
}

struct Slot {
    state: State,
    waker: Option<Waker>,
}

type Shared = Arc<Mutex<Slot>>;

fn lock(shared: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // Nothing under the lock can panic, except for the clone of a waker, which changes nothing.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Awaits a Python awaitable (a coroutine, a task, a future) from Rust.
///
/// It begins at once, as a task of the running loop in a copy of the current context. In a future that this crate handed to
/// a runtime, the loop and the context are those of the `await` in Python. The future that this returns may be polled by any
/// thread. If it is dropped before its end, the Python task is cancelled.
///
/// ```
/// use pyo3::prelude::*;
///
/// #[pyfunction]
/// fn twice(py: Python<'_>, function: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
///     ferrio_async::future_into_py(py, async move {
///         for _ in 0..2 {
///             Python::attach(|py| ferrio_async::into_future(function.bind(py).call0()?))?.await?;
///         }
///         Ok(())
///     })
/// }
/// ```
///
/// # Errors
///
/// `RuntimeError` if there is no loop, `TypeError` if the object can't be awaited.
pub fn into_future(
    awaitable: Bound<'_, PyAny>,
) -> PyResult<impl Future<Output = PyResult<Py<PyAny>>> + Send + Sync + use<>> {
    let py = awaitable.py();
    let home = Home::current(py)?;
    let shared = Arc::new(Mutex::new(Slot { state: State::Ordered, waker: None }));
    if home.runs_here(py)? {
        start(&shared, awaitable, None)?;
    } else {
        let order = Order { shared: shared.clone(), awaitable: Some(awaitable.unbind()), home: home.clone() };
        home.call_soon(move |event_loop| {
            order.carry_out(event_loop.py());
            Ok(())
        });
    }
    Ok(Awaited { shared, home })
}

/// A task that is to be made on the loop's thread. If the loop is closed, it tells the slot.
struct Order {
    shared: Shared,
    awaitable: Option<Py<PyAny>>,
    home: Home,
}

impl Order {
    fn carry_out(mut self, py: Python<'_>) {
        if let Some(awaitable) = self.awaitable.take()
            && let Err(failure) = start(&self.shared, awaitable.into_bound(py), Some(&self.home))
        {
            end(&self.shared, Err(failure));
        }
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if self.awaitable.is_some() {
            end(&self.shared, Err(PyRuntimeError::new_err("Event loop is closed")));
        }
    }
}

/// Makes the task, in the loop's thread, in the home's context or in the current one.
fn start(shared: &Shared, awaitable: Bound<'_, PyAny>, home: Option<&Home>) -> PyResult<()> {
    static ENSURE_FUTURE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = awaitable.py();
    let ensure = ENSURE_FUTURE.import(py, "asyncio.tasks", "ensure_future")?;
    let task = match home {
        Some(home) => home.context(py).call_method1(intern!(py, "run"), (ensure, awaitable))?,
        None => ensure.call1((awaitable,))?,
    };
    let kept = task.clone().unbind();
    let gone = {
        let mut slot = lock(shared);
        let gone = matches!(slot.state, State::Gone);
        if !gone {
            slot.state = State::Running(kept);
        }
        gone
    };
    if gone {
        return task.call_method0(intern!(py, "cancel")).map(drop);
    }
    let told = Bound::new(py, Told { shared: shared.clone() })?;
    task.call_method1(intern!(py, "add_done_callback"), (told,)).map(drop)
}

/// Hands the end to the future, from any thread.
fn end(shared: &Shared, outcome: PyResult<Py<PyAny>>) {
    let (waker, old) = {
        let mut slot = lock(shared);
        match slot.state {
            State::Gone | State::Ended(_) => (None, State::Ended(outcome)),
            _ => (slot.waker.take(), std::mem::replace(&mut slot.state, State::Ended(outcome))),
        }
    };
    drop(old);
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// The callback that a task gets.
#[pyclass(frozen)]
struct Told {
    shared: Shared,
}

#[pymethods]
impl Told {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        // Raises what the task raised, a cancellation too.
        end(&self.shared, task.call_method0(intern!(task.py(), "result")).map(Bound::unbind));
    }
}

/// What `into_future` returns.
struct Awaited {
    shared: Shared,
    home: Home,
}

impl Future for Awaited {
    type Output = PyResult<Py<PyAny>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = lock(&self.shared);
        match std::mem::replace(&mut slot.state, State::Gone) {
            State::Ended(outcome) => Poll::Ready(outcome),
            other => {
                slot.state = other;
                let old = match &mut slot.waker {
                    Some(known) if ffi::wakes_same(known, context.waker()) => None,
                    // The task on the loop wakes it there.
                    place => place.replace(ffi::here(context.waker())),
                };
                drop(slot);
                drop(old);
                Poll::Pending
            }
        }
    }
}

impl Drop for Awaited {
    fn drop(&mut self) {
        let (old, waker) = {
            let mut slot = lock(&self.shared);
            (std::mem::replace(&mut slot.state, State::Gone), slot.waker.take())
        };
        drop(waker);
        let State::Running(task) = old else { return };
        let mut task = Some(task);
        ffi::if_attached(|py| {
            if self.home.runs_here(py).unwrap_or(false)
                && let Some(task) = task.take()
            {
                cancel(task.bind(py));
            }
        });
        if let Some(task) = task {
            self.home.call_soon(move |event_loop| {
                cancel(task.bind(event_loop.py()));
                Ok(())
            });
        }
    }
}

/// Cancels the task, in its loop's thread.
fn cancel(task: &Bound<'_, PyAny>) {
    // A program's own class may raise; nobody is there to hear it.
    let _ = task.call_method0(intern!(task.py(), "cancel"));
}
