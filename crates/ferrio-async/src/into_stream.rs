//! Python async iterators as Rust streams.
//!
//! One task on the loop iterates, the driver (`DRIVER`). It hands each item to the `Slot` that it shares with the stream, and
//! waits there until another is wanted. One task for all items, because a Python generator may hold a timeout or a group
//! across a `yield`, which belong to a task.
//! Invariants: the driver is only touched on its loop's thread. It is cancelled only while the generator itself waits;
//! otherwise it learns at its next item that nobody wants it, and closes the generator. No waker is woken or dropped, and
//! no Python object is dropped, under the lock.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

use crate::convert::{Name, named_future_into_py};
use crate::ffi;
use crate::home::Home;

/// `give` returns whether another item is wanted, or an awaitable of that.
const DRIVER: &std::ffi::CStr = c"
async def into_stream(iterator, give):
    try:
        async for item in iterator:
            wanted = give(item)
            if wanted is True:
                continue
            if wanted is False or not await wanted:
                break
    except GeneratorExit:  # dropped with its loop, so nothing can be awaited
        iterator = None
        raise
    finally:
        aclose = getattr(iterator, 'aclose', None)
        if aclose is not None:
            await aclose()
";

/// What the driver does.
enum Driver {
    /// Nothing yet, or it iterates: the generator runs.
    Iterating,
    /// It waits until another item is wanted.
    Parked(Waker),
    /// It closes the generator, or has ended.
    Closing,
}

struct Slot {
    items: VecDeque<Py<PyAny>>,
    /// So many items may be there before they are asked for.
    capacity: usize,
    /// The stream was asked for an item, and there was none.
    wanted: bool,
    /// The stream was dropped.
    gone: bool,
    driver: Driver,
    task: Option<Py<PyAny>>,
    /// How the driver ended.
    end: Option<PyResult<()>>,
    /// Of whatever polls the stream.
    waker: Option<Waker>,
}

impl Slot {
    /// Whether the driver, which waits, should go on.
    fn has_room(&self) -> bool {
        // At half, so that the driver brings several items for one wake-up.
        self.wanted || self.items.len() < self.capacity.div_ceil(2)
    }

    /// The driver's waker, if it waits.
    fn unpark(&mut self) -> Option<Waker> {
        match std::mem::replace(&mut self.driver, Driver::Iterating) {
            Driver::Parked(waker) => Some(waker),
            other => {
                self.driver = other;
                None
            }
        }
    }
}

type Shared = Arc<Mutex<Slot>>;

fn lock(shared: &Mutex<Slot>) -> MutexGuard<'_, Slot> {
    // Nothing under the lock can panic, except for the clone of a waker, which changes nothing.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Makes a Rust stream of a Python async iterator, such as an async generator.
///
/// A task of the running loop iterates, in a copy of the current context. In a future that this crate handed to a runtime,
/// the loop and the context are those of the `await` in Python. The task begins when the stream is first polled, by any
/// thread. Python makes an item only when the stream is asked for it, as in `async for`.
///
/// An exception is the last item of the stream. If the stream is dropped before its end, the generator is closed on its
/// loop: it gets `GeneratorExit` at its `yield`, or is cancelled where it awaits, and so its `finally` blocks run.
///
/// ```
/// use std::pin::pin;
///
/// use futures_util::StreamExt;
/// use pyo3::prelude::*;
///
/// /// Sum up the numbers of an async iterator.
/// #[pyfunction]
/// fn total<'py>(iterator: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
///     let py = iterator.py();
///     let stream = ferrio_async::into_stream(iterator)?;
///     ferrio_async::future_into_py(py, async move {
///         let (mut stream, mut sum) = (pin!(stream), 0);
///         while let Some(item) = stream.next().await {
///             sum += Python::attach(|py| item?.extract::<i64>(py))?;
///         }
///         Ok(sum)
///     })
/// }
/// ```
///
/// # Errors
///
/// `RuntimeError` if there is no loop, `TypeError` if the object isn't an async iterable.
pub fn into_stream(
    iterator: Bound<'_, PyAny>,
) -> PyResult<impl Stream<Item = PyResult<Py<PyAny>>> + Send + Sync + Unpin + use<>> {
    into_stream_with_capacity(iterator, 0)
}

/// As [`into_stream`]; Python makes up to `capacity` items before the stream is asked for them.
///
/// So a runtime's thread and the loop wait for each other once for several items. If the stream is dropped, the items that
/// it wasn't asked for are lost.
///
/// ```
/// use futures_core::Stream;
/// use pyo3::prelude::*;
///
/// /// Rows that Python reads from a database, for a thread that writes them elsewhere.
/// fn rows(cursor: Bound<'_, PyAny>) -> PyResult<impl Stream<Item = PyResult<Py<PyAny>>> + use<>> {
///     ferrio_async::into_stream_with_capacity(cursor, 100)
/// }
/// ```
///
/// # Errors
///
/// As [`into_stream`].
pub fn into_stream_with_capacity(
    iterator: Bound<'_, PyAny>,
    capacity: usize,
) -> PyResult<impl Stream<Item = PyResult<Py<PyAny>>> + Send + Sync + Unpin + use<>> {
    static AITER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = iterator.py();
    let iterator = AITER.import(py, "builtins", "aiter")?.call1((iterator,))?;
    let slot = Slot {
        items: VecDeque::new(),
        capacity,
        wanted: false,
        gone: false,
        driver: Driver::Iterating,
        task: None,
        end: None,
        waker: None,
    };
    let shared = Arc::new(Mutex::new(slot));
    Ok(Iterated { shared, home: Home::current(py)?, iterator: Some(iterator.unbind()) })
}

/// What `into_stream` returns.
struct Iterated {
    shared: Shared,
    home: Home,
    /// Until the driver is made.
    iterator: Option<Py<PyAny>>,
}

impl Stream for Iterated {
    type Item = PyResult<Py<PyAny>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(iterator) = self.iterator.take() {
            self.start(iterator);
        }
        let mut slot = lock(&self.shared);
        if let Some(item) = slot.items.pop_front() {
            let driver = if slot.has_room() { slot.unpark() } else { None };
            drop(slot);
            wake(driver);
            return Poll::Ready(Some(Ok(item)));
        }
        if matches!(slot.driver, Driver::Closing) {
            // After the end there is none: the stream stays ended.
            let end = slot.end.take();
            if end.is_some() || slot.task.is_none() {
                drop(slot);
                return Poll::Ready(end.and_then(Result::err).map(Err));
            }
        }
        slot.wanted = true;
        let driver = slot.unpark();
        let old = match &mut slot.waker {
            Some(known) if ffi::wakes_same(known, context.waker()) => None,
            // The driver on the loop wakes it there.
            place => place.replace(ffi::here(context.waker())),
        };
        drop(slot);
        drop(old);
        wake(driver);
        Poll::Pending
    }
}

impl Iterated {
    /// Makes the driver on the loop's thread.
    fn start(&self, iterator: Py<PyAny>) {
        let mut order =
            Some(Order { shared: self.shared.clone(), iterator: Some(iterator), home: self.home.clone() });
        ffi::if_attached(|py| {
            if self.home.runs_here(py).unwrap_or(false)
                && let Some(order) = order.take()
            {
                order.carry_out(py);
            }
        });
        if let Some(order) = order {
            self.home.call_soon(move |event_loop| {
                order.carry_out(event_loop.py());
                Ok(())
            });
        }
    }
}

impl Drop for Iterated {
    fn drop(&mut self) {
        let (items, waker, driver, iterating) = {
            let mut slot = lock(&self.shared);
            slot.gone = true;
            let iterating = matches!(slot.driver, Driver::Iterating) && self.iterator.is_none();
            (std::mem::take(&mut slot.items), slot.waker.take(), slot.unpark(), iterating)
        };
        drop(items);
        drop(waker);
        wake(driver);
        let mut end = Some(End { shared: self.shared.clone() });
        if !iterating {
            return;
        }
        ffi::if_attached(|py| {
            if self.home.runs_here(py).unwrap_or(false)
                && let Some(end) = end.take()
            {
                end.carry_out(py);
            }
        });
        if let Some(end) = end {
            self.home.call_soon(move |event_loop| {
                end.carry_out(event_loop.py());
                Ok(())
            });
        }
    }
}

/// The end of a driver whose stream was dropped.
struct End {
    shared: Shared,
}

impl End {
    /// Cancels the driver if the generator runs, in its loop's thread.
    fn carry_out(self, py: Python<'_>) {
        let task = {
            let mut slot = lock(&self.shared);
            if matches!(slot.driver, Driver::Iterating) { slot.task.take() } else { None }
        };
        if let Some(task) = task {
            // A program's own class may raise; nobody is there to hear it.
            let _ = task.bind(py).call_method0(intern!(py, "cancel"));
        }
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // The task holds the slot, so the slot must not hold the task of a closed loop for ever.
        let task = lock(&self.shared).task.take();
        drop(task);
    }
}

/// A driver that is to be made on the loop's thread. If the loop is closed, it tells the slot.
struct Order {
    shared: Shared,
    iterator: Option<Py<PyAny>>,
    home: Home,
}

impl Order {
    fn carry_out(mut self, py: Python<'_>) {
        let Some(iterator) = self.iterator.take() else { return };
        let gone = lock(&self.shared).gone;
        if !gone && let Err(failure) = self.make_driver(py, iterator) {
            end(&self.shared, Err(failure));
        }
    }

    fn make_driver(&self, py: Python<'_>, iterator: Py<PyAny>) -> PyResult<()> {
        let give = Bound::new(py, Give { shared: self.shared.clone() })?;
        let coroutine = driver(py)?.call1((iterator, give))?;
        let create = self.home.event_loop(py).getattr(intern!(py, "create_task"))?;
        let task = self.home.context(py).call_method1(intern!(py, "run"), (create, coroutine))?;
        lock(&self.shared).task = Some(task.clone().unbind());
        let told = Bound::new(py, Told { shared: self.shared.clone() })?;
        task.call_method1(intern!(py, "add_done_callback"), (told,)).map(drop)
    }
}

impl Drop for Order {
    fn drop(&mut self) {
        if self.iterator.is_some() {
            end(&self.shared, Err(PyRuntimeError::new_err("Event loop is closed")));
        }
    }
}

/// The function of `DRIVER`.
fn driver(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FUNCTION: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let function = FUNCTION.get_or_try_init(py, || {
        let globals = PyDict::new(py);
        globals.set_item("__name__", "ferrio_async")?;
        py.run(DRIVER, Some(&globals), None)?;
        Ok::<_, PyErr>(globals.as_any().get_item("into_stream")?.unbind())
    })?;
    Ok(function.bind(py))
}

/// The driver has ended.
fn end(shared: &Mutex<Slot>, outcome: PyResult<()>) {
    let (waker, old) = {
        let mut slot = lock(shared);
        slot.driver = Driver::Closing;
        (slot.waker.take(), (slot.end.replace(outcome), slot.task.take()))
    };
    drop(old);
    wake(waker);
}

/// The callback that the driver's task gets.
#[pyclass(frozen)]
struct Told {
    shared: Shared,
}

#[pymethods]
impl Told {
    fn __call__(&self, task: &Bound<'_, PyAny>) {
        // asyncio reports an exception that nobody takes: that of a generator that failed as it was closed.
        let gone = lock(&self.shared).gone;
        if !gone {
            end(&self.shared, task.call_method0(intern!(task.py(), "result")).map(drop));
        }
    }
}

/// The driver's end of the slot.
#[pyclass(frozen)]
struct Give {
    shared: Shared,
}

#[pymethods]
impl Give {
    /// Hands over an item. Returns `True` if another is wanted already, else an awaitable.
    fn __call__<'py>(&self, item: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        struct Named;
        impl Name for Named {
            const NAME: &'static str = "give";
        }
        let py = item.py();
        let given = item.clone().unbind();
        let mut slot = lock(&self.shared);
        if slot.gone {
            slot.driver = Driver::Closing;
            drop(slot);
            return false.into_bound_py_any(py);
        }
        slot.items.push_back(given);
        slot.wanted = false;
        let has_room = slot.items.len() < slot.capacity;
        let waker = slot.waker.take();
        drop(slot);
        wake(waker);
        if has_room {
            return true.into_bound_py_any(py);
        }
        named_future_into_py::<Named, _, _>(py, Wanted { shared: self.shared.clone(), done: false })
    }
}

/// Ends with `true` when another item is wanted, and with `false` when none is any more.
struct Wanted {
    shared: Shared,
    done: bool,
}

impl Future for Wanted {
    type Output = PyResult<bool>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<PyResult<bool>> {
        let mut slot = lock(&self.shared);
        let (gone, goes_on) = (slot.gone, slot.has_room());
        let driver = match (gone, goes_on) {
            (true, _) => Driver::Closing,
            (false, true) => Driver::Iterating,
            (false, false) => Driver::Parked(context.waker().clone()),
        };
        let old = std::mem::replace(&mut slot.driver, driver);
        drop(slot);
        drop(old);
        self.done = gone || goes_on;
        if self.done { Poll::Ready(Ok(!gone)) } else { Poll::Pending }
    }
}

impl Drop for Wanted {
    fn drop(&mut self) {
        if !self.done {
            // The driver was cancelled at a `yield`, and closes the generator.
            let old = std::mem::replace(&mut lock(&self.shared).driver, Driver::Closing);
            drop(old);
        }
    }
}
