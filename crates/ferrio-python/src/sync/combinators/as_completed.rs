//! `as_completed`: futures in the order in which they end, by `async for` or as awaitables by `for`.

use std::collections::VecDeque;

use pyo3::exceptions::{PyStopAsyncIteration, PyTimeoutError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::deadline;
use crate::base::by_address::ByAddress;
use crate::base::class::Class;
use crate::base::ffi::{Cast, Guarded};
use crate::base::functions::{Declared, Functions, declared};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::{self, Item};
use crate::core::future::callbacks::Watch;
use crate::core::future::{self, watch};
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::core::task::{create, current};
use crate::core::timer::Timer;

/// The iterator that `as_completed` returns.
#[pyclass(frozen, weakref, name = "_AsCompletedIterator", module = "ferrio.tasks")]
pub(crate) struct AsCompleted {
    state: Guarded<State>,
}

collected!(AsCompleted { state }, clear { state { todo, done, waiting, awaiter, given } });

impl Class for AsCompleted {}

impl Functions for AsCompleted {
    const COROUTINES: &'static [&'static str] = &["__anext__"];
}

/// The state of the iterator; only attached threads touch it.
struct State {
    /// The futures that are not done.
    todo: ByAddress<Py<PyAny>>,
    /// How many the iteration hasn't handed out yet.
    left: usize,
    /// Futures that have ended and weren't handed out yet; `None` is a timeout.
    done: VecDeque<Option<Py<PyAny>>>,
    /// The operations that wait for the next one to end, in order.
    waiting: VecDeque<Py<Operation>>,
    deadline: Option<Timer>,
    /// The task that called `as_completed` (call graphs).
    awaiter: Option<Py<PyAny>>,
    /// The arguments, while the iteration has not begun (before Python 3.13 it begins with the first step).
    given: Option<(Py<PyAny>, Option<Py<PyAny>>)>,
}

gc!(State { todo, done, waiting, deadline, awaiter, given } not { left });

pub(crate) const AS_COMPLETED: Declared = declared!(as_completed).function("ferrio.tasks");

/// Run the awaitables `fs` concurrently; return an iterator over them in the order in which they end.
///
/// `async for` yields the futures and tasks that were given, done, and a task for each other awaitable. `for` yields
/// awaitables: each returns the result, or raises the exception, of the next one to end. After `timeout` seconds both
/// raise `TimeoutError`. Raises `TypeError` if `fs` is an awaitable itself (`asyncio.as_completed`).
///
/// Before Python 3.13 the arguments are checked and the awaitables started with the first step of the iteration, as in that
/// Python's asyncio. Programs may make the iterator before a loop runs.
#[pyfunction]
#[pyo3(signature = (fs, *, timeout = None))]
pub(crate) fn as_completed<'py>(
    fs: &Bound<'py, PyAny>,
    timeout: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, AsCompleted>> {
    let py = fs.py();
    let state = State {
        todo: ByAddress::default(),
        left: 0,
        done: VecDeque::new(),
        waiting: VecDeque::new(),
        deadline: None,
        awaiter: None,
        given: Some((fs.clone().unbind(), timeout.map(|timeout| timeout.clone().unbind()))),
    };
    let iterator = Bound::new(py, AsCompleted { state: Guarded::new(state) })?;
    if py.version_info() >= (3, 13) {
        begin(&iterator)?;
    }
    Ok(iterator)
}

/// Starts the awaitables, if that was not done yet. Raises what `as_completed` raises.
fn begin(iterator: &Bound<'_, AsCompleted>) -> PyResult<()> {
    let py = iterator.py();
    let Some((fs, timeout)) = iterator.get().state.with(py, |state| state.given.take()) else {
        return Ok(());
    };
    let fs = fs.bind(py);
    if future::isfuture(fs)? || imports::IS_AWAITABLE.get(py)?.call1((fs,))?.is_truthy()? {
        return Err(PyTypeError::new_err(format!(
            "expects an iterable of awaitables, not {}",
            fs.get_type().name()?
        )));
    }
    let home = future::default_loop(py)?;
    let awaiter =
        if event_loop::get_running_loop(py).is_ok() { current::current_task(py, None)? } else { None };
    let awaiter = awaiter.map(Bound::unbind);
    iterator.get().state.with(py, |state| state.awaiter = awaiter);
    let object = home.object(py);
    // Those that are done already are handed out in the order in which they were given.
    let distinct = PyDict::new(py);
    for (awaitable, _) in &super::distinct(fs)? {
        distinct.set_item(create::ensure_future(&awaitable, Some(&object))?, py.None())?;
    }
    let futures: Vec<_> = distinct.iter().map(|(future, _)| future).collect();
    let todo: ByAddress<_> =
        futures.iter().map(|future| (future.as_ptr() as usize, future.clone().unbind())).collect();
    iterator.get().state.with(py, |state| {
        state.left = todo.len();
        state.todo = todo;
    });
    for future in &futures {
        watch::watch(future, iterator.as_any(), &FUTURE_DONE)?;
    }
    if let Some(timeout) = timeout
        && !futures.is_empty()
    {
        let item = Item::Watch(iterator.clone().into_any().unbind(), py.None(), timed_out);
        let deadline = deadline::start(&home, timeout.bind(py), item)?;
        iterator.get().state.with(py, |state| state.deadline = Some(deadline));
    }
    Ok(())
}

const FUTURE_DONE_NAME: &str = if cfg!(Py_3_13) {
    "_AsCompletedIterator._handle_completion"
} else {
    "as_completed.<locals>._on_completion"
};

static FUTURE_DONE: Watch = Watch::new(FUTURE_DONE_NAME, future_done).awaited_by(|iterator| {
    let iterator = iterator.as_exactly::<AsCompleted>();
    iterator.and_then(|iterator| iterator.get().awaiter(iterator.py())).into()
});

/// Queues a future that has ended, to be handed out.
fn future_done(iterator: &Bound<'_, PyAny>, future: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = iterator.py();
    let iterator = iterator.cast_exact::<AsCompleted>()?.get();
    let (found, deadline) = iterator.state.with(py, |state| {
        let Some(future) = state.todo.remove(&(future.as_ptr() as usize)) else {
            // The timeout came first.
            return (None, None);
        };
        state.done.push_back(Some(future.clone_ref(py)));
        let deadline = if state.todo.is_empty() { state.deadline.take() } else { None };
        (Some(future), deadline)
    });
    if found.is_none() {
        return Ok(());
    }
    iterator.wake_next(py)?;
    deadline::stop(py, deadline)
}

/// Ends the iteration by its timeout: each pending future becomes a timeout.
fn timed_out(iterator: &Bound<'_, PyAny>, _none: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = iterator.py();
    let state = &iterator.cast_exact::<AsCompleted>()?.get();
    let late = state.state.with(py, |state| std::mem::take(&mut state.todo));
    for future in late.into_values() {
        watch::unwatch(future.bind(py), iterator, &FUTURE_DONE)?;
        state.state.with(py, |state| state.done.push_back(None));
        state.wake_next(py)?;
    }
    Ok(())
}

impl AsCompleted {
    /// Wakes the first waiter that wasn't woken yet.
    fn wake_next(&self, py: Python<'_>) -> PyResult<()> {
        let next = self.state.with(py, |state| {
            let place = state.waiting.iter().position(|operation| operation.get().is_parked(py))?;
            state.waiting.remove(place)
        });
        match next {
            Some(operation) => operation::wake(operation.bind(py)).map(drop),
            None => Ok(()),
        }
    }

    /// The task that called `as_completed`.
    fn awaiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.awaiter.as_ref().map(|task| task.bind(py).clone()))
    }
}

#[pymethods]
impl AsCompleted {
    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> PyResult<Unawaited> {
        begin(&slf)?;
        Ok(Unawaited::new(Next { iterator: Some(slf.unbind()), resolve: false, counted: false }))
    }

    fn __next__(slf: Bound<'_, Self>) -> PyResult<Option<Unawaited>> {
        begin(&slf)?;
        let more = slf.get().state.with(slf.py(), |state| {
            let more = state.left > 0;
            state.left = state.left.saturating_sub(1);
            more
        });
        Ok(more.then(|| Unawaited::new(Next { iterator: Some(slf.unbind()), resolve: true, counted: true })))
    }
}

/// The wait for the next future to end.
struct Next {
    /// `None` when it is over.
    iterator: Option<Py<AsCompleted>>,
    /// Whether to return the future's result (`for`) or the future itself (`async for`).
    resolve: bool,
    /// Whether it was counted as handed out.
    counted: bool,
}

gc!(Next { iterator } not { resolve, counted });

impl Run for Next {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let Some(iterator) = &self.iterator else {
            return Err(PyStopAsyncIteration::new_err(()));
        };
        let iterator = iterator.clone_ref(py);
        let state = &iterator.get().state;
        if let Resume::Throw(exception) = resume {
            self.iterator = None;
            let (left, pass_on) = state.with(py, |state| {
                state.left += 1;
                let place = state.waiting.iter().position(|waiting| waiting.is(this));
                let left = place.and_then(|place| state.waiting.remove(place));
                // It was woken and then thrown into: its wake-up goes to the next waiter.
                let pass_on = left.is_none() && !state.done.is_empty();
                (left, pass_on)
            });
            drop(left);
            if pass_on {
                iterator.get().wake_next(py)?;
            }
            return Err(PyErr::from_value(exception));
        }
        if !self.counted {
            self.counted = true;
            let more = state.with(py, |state| {
                let more = state.left > 0;
                state.left = state.left.saturating_sub(1);
                more
            });
            if !more {
                self.iterator = None;
                return Err(PyStopAsyncIteration::new_err(()));
            }
        }
        let entry = this.clone().unbind();
        let (next, unused) = state.with(py, |state| match state.done.pop_front() {
            Some(next) => (Some(next), Some(entry)),
            None => {
                state.waiting.push_back(entry);
                (None, None)
            }
        });
        drop(unused);
        let Some(next) = next else { return Ok(Progress::Park) };
        self.iterator = None;
        let Some(next) = next else { return Err(PyTimeoutError::new_err(())) };
        let next = next.into_bound(py);
        if !self.resolve {
            return Ok(Progress::Ready(next));
        }
        match watch::plain(&next) {
            Some(ours) => future::native::result(ours).map(|value| Progress::Ready(value.into_bound(py))),
            None => next.call_method0(intern!(py, "result")).map(Progress::Ready),
        }
    }

    fn name(&self) -> &'static str {
        "_AsCompletedIterator._wait_for_one"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["Queue.get"]
    }
}
