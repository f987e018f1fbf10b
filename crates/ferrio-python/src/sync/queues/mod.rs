//! `Queue` and its relatives (asyncio's page "Queues"): the class.
//!
//! `store.rs` keeps the items. `nowait.rs` has what never waits, `wait.rs` the operations behind `get`, `put` and `join`.
//! `ordered.rs` has the classes with another order. `overrides.rs` knows which methods a Python subclass replaced, and
//! `gate.rs` keeps threads apart while Python code runs inside a queue.
//!
//! Invariants: an item goes in or out, together with the counters, in one look at the state or inside the gate. A waker
//! removes the waiter from its list. A waiter that can't use its wake-up wakes the next one.

mod gate;
mod nowait;
pub(crate) mod ordered;
mod overrides;
mod store;
pub(crate) mod wait;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple, PyType};

use self::gate::Gate;
use self::overrides::Overrides;
pub(crate) use self::store::Order;
use self::store::Store;
use crate::base::arguments::{Argument, truth};
use crate::base::class::{Class, Standard};
use crate::base::ffi::Guarded;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::trashcan::chained;
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::operation::unawaited::Unawaited;
use crate::sync::locks::bound::LoopBound;
use crate::sync::locks::event::{self, Event};
use crate::sync::locks::waiters::{self, WaitList};

/// A queue between tasks, first in, first out. With a `maxsize` above zero, `put()` waits while that many are in it.
///
/// Meaning and methods are those of `asyncio.Queue`. Beyond asyncio, `put_nowait`, `get_nowait`, `task_done` and
/// `shutdown` may be called from any thread: they wake the loop of the waiting tasks. A subclass may override `_init`,
/// `_put` and `_get`, which work on `_queue`.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Queue {
    state: Guarded<State>,
    overrides: Overrides,
    order: Order,
    gate: Gate,
}

collected!(Queue { state } not { overrides, order, gate }, written by state, clear { state { store, getters, putters, finished, maxsize } });

chained!(Queue);

impl Class for Queue {
    const BELOW: Option<Standard> = Some(("asyncio.queues", "Queue"));
    const SHORT_NAME: bool = true;
}

impl Functions for Queue {
    const COROUTINES: &'static [&'static str] = &["get", "join", "put"];
    const QUICK: &'static [Quick] = quick!(Queue {
        "get" (0 to 0) |queue, _| Queue::get(queue);
        "get_nowait" (0 to 0) |queue, _| Queue::get_nowait(queue);
        "put" (1 to 1) |queue, given| Queue::put(queue, given.get(0).to_owned().unbind());
        "put_nowait" (1 to 1) |queue, given| Queue::put_nowait(queue, given.get(0).to_owned());
        "task_done" (0 to 0) |queue, _| Queue::task_done(queue);
    });
}

struct State {
    store: Store,
    /// How many items fill the queue; zero or less means no limit.
    limit: i64,
    /// The value of `maxsize`, if it isn't an integer.
    maxsize: Option<Py<PyAny>>,
    getters: WaitList,
    putters: WaitList,
    /// How many items are waiting for `task_done()`.
    unfinished: i64,
    /// Set while `unfinished` is zero; made on request.
    finished: Option<Py<Event>>,
    shut_down: bool,
}

gc!(State { store, maxsize, getters, putters, finished } not { limit, unfinished, shut_down });

impl State {
    #[inline]
    fn is_full(&self, items: usize) -> bool {
        self.limit > 0 && i64::try_from(items).is_ok_and(|items| items >= self.limit)
    }

    /// Whether `get()` has to wait, for a plain queue.
    fn nothing_to_get(&self) -> bool {
        matches!(&self.store, Store::Native(items) if items.is_empty()) && !self.shut_down
    }

    /// Whether `put()` has to wait, for a plain queue.
    fn nowhere_to_put(&self) -> bool {
        matches!(&self.store, Store::Native(items) if self.is_full(items.len())) && !self.shut_down
    }

    /// Notes that nothing is unfinished. Returns the event whose waiters the caller must wake.
    fn all_done<'py>(&mut self, py: Python<'py>) -> Option<Bound<'py, Event>> {
        let finished = self.finished.as_ref()?;
        finished.get().put(true);
        Some(finished.bind(py).clone())
    }

    /// Counts an item that came in.
    #[inline]
    fn count_in(&mut self) {
        self.unfinished += 1;
        if let Some(finished) = &self.finished {
            finished.get().put(false);
        }
    }
}

#[pymethods]
impl Queue {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(maxsize=0)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        Self::without_items(class, Order::FirstIn)
    }

    #[pyo3(signature = (maxsize = Argument::MISSING))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Argument) -> PyResult<()> {
        let py = slf.py();
        let queue = slf.get();
        let maxsize = match maxsize.into_option() {
            Some(maxsize) => {
                let maxsize = maxsize.into_bound(py);
                queue.limit_to(&maxsize)?;
                maxsize
            }
            None => 0_i64.into_pyobject(py)?.into_any(),
        };
        if queue.overrides.init() {
            slf.call_method1(intern!(py, "_init"), (maxsize,))?;
            return Ok(());
        }
        store::clear(slf);
        Ok(())
    }

    /// The generic alias `Queue[item]`, for annotations (PEP 585).
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::GENERIC_ALIAS.get(class.py())?.call1((class, item))
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let (name, address) = (slf.get_type().name()?, slf.as_ptr() as usize);
        let inside = slf.call_method0(intern!(slf.py(), "_format"))?;
        Ok(format!("<{name} at {address:#x} {inside}>"))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let inside = slf.call_method0(intern!(slf.py(), "_format"))?;
        Ok(format!("<{} {inside}>", slf.get_type().name()?))
    }

    /// Return how many items are in the queue.
    fn qsize(slf: &Bound<'_, Self>) -> PyResult<usize> {
        store::len(slf)
    }

    /// How many items fit in; zero or less means any number.
    #[getter]
    fn maxsize<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shown_maxsize(py)
    }

    /// Return whether there is nothing in the queue.
    fn empty(slf: &Bound<'_, Self>) -> PyResult<bool> {
        store::is_empty(slf)
    }

    /// Return whether there are `maxsize` items in the queue.
    fn full(slf: &Bound<'_, Self>) -> PyResult<bool> {
        slf.get().is_full(slf)
    }

    /// Put `item` in, waiting for a free place. Does not suspend if there is one.
    ///
    /// Raises `QueueShutDown` if the queue was shut down.
    fn put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> Unawaited {
        Unawaited::new(wait::Put::new(slf, item))
    }

    /// Put `item` in at once; from any thread.
    ///
    /// Raises `QueueFull` if there is no free place, `QueueShutDown` if the queue was shut down.
    fn put_nowait(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<()> {
        nowait::put_nowait(slf, item)
    }

    /// Take an item out, waiting for one, and return it. Does not suspend if there is one.
    ///
    /// Raises `QueueShutDown` if the queue was shut down and is empty.
    fn get(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(wait::Get::new(slf))
    }

    /// Take an item out at once and return it; from any thread.
    ///
    /// Raises `QueueEmpty` if there is none, or `QueueShutDown` if the queue was shut down too.
    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        nowait::get_nowait(slf)
    }

    /// Tell the queue that the work on an item is done; from any thread.
    ///
    /// Raises `ValueError` if it is called more often than items were put in.
    fn task_done(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let finished = slf.get().state.with(py, |state| {
            if state.unfinished <= 0 {
                return Err(());
            }
            state.unfinished -= 1;
            Ok(if state.unfinished == 0 { state.all_done(py) } else { None })
        });
        match finished {
            Ok(None) => Ok(()),
            Ok(Some(finished)) => event::wake_all(&finished),
            Err(()) => Err(PyValueError::new_err("task_done() called too many times")),
        }
    }

    /// Wait until `task_done()` was called for every item that was put in.
    fn join(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(wait::Join::new(slf))
    }

    /// Shut the queue down; from any thread. `put()` raises `QueueShutDown` from now on, and `get()` does when the
    /// queue is empty. All waiting tasks are woken.
    ///
    /// With `immediate` the queue is emptied at once. For `join()` these items count as done.
    #[pyo3(signature = (immediate = None), text_signature = "($self, immediate=False)")]
    fn shutdown(slf: &Bound<'_, Self>, immediate: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let immediate = immediate.map_or(Ok(false), |immediate| immediate.is_truthy())?;
        nowait::shutdown(slf, immediate)
    }

    /// Makes the empty `_queue`; called once, by `__init__`, in a subclass that overrides it.
    fn _init(slf: &Bound<'_, Self>, maxsize: &Bound<'_, PyAny>) {
        let _ = maxsize;
        store::clear(slf);
    }

    /// Takes the next item out of `_queue`.
    fn _get<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        store::take(slf, Order::FirstIn)
    }

    /// Puts an item into `_queue`.
    fn _put(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<()> {
        store::add(slf, Order::FirstIn, item)
    }

    /// The details that `repr` and `str` show.
    fn _format(slf: &Bound<'_, Self>) -> PyResult<String> {
        format(slf)
    }

    /// The items: a `collections.deque`, or what a subclass's `_init` made of it.
    #[getter]
    fn _queue<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        store::shown(slf)
    }

    #[setter(_queue)]
    fn set_queue(&self, py: Python<'_>, value: Py<PyAny>) {
        let old = self.state.with(py, |state| std::mem::replace(&mut state.store, Store::Shown(value)));
        drop(old);
    }

    #[getter]
    fn _maxsize<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.shown_maxsize(py)
    }

    #[setter(_maxsize)]
    fn set_maxsize(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        self.limit_to(value)
    }

    /// The waiters of `get()` in order: a copy of the list.
    #[getter]
    fn _getters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        waiters::shown(py, self.state.with(py, |state| state.getters.duplicate(py)))
    }

    /// The waiters of `put()` in order: a copy of the list.
    #[getter]
    fn _putters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        waiters::shown(py, self.state.with(py, |state| state.putters.duplicate(py)))
    }

    /// Wake the first of `waiters`, which is `_getters` or `_putters`. Subclasses that use `_queue` call it.
    fn _wakeup_next(slf: &Bound<'_, Self>, waiters: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if waiters.len()? == 0 {
            return Ok(());
        }
        let first = waiters.get_item(0)?;
        let (getter, putter) =
            slf.get().state.with(py, |state| (state.getters.front(py), state.putters.front(py)));
        if getter.is_some_and(|getter| waiters::shown_one(&getter).is(&first)) {
            nowait::wake_getter(slf)
        } else if putter.is_some_and(|putter| waiters::shown_one(&putter).is(&first)) {
            nowait::wake_putter(slf)
        } else {
            Ok(())
        }
    }

    #[getter]
    fn _unfinished_tasks(&self, py: Python<'_>) -> i64 {
        self.state.with(py, |state| state.unfinished)
    }

    #[setter(_unfinished_tasks)]
    fn set_unfinished_tasks(&self, py: Python<'_>, value: i64) {
        self.state.with(py, |state| state.unfinished = value);
    }

    /// The event that `join()` waits for.
    #[getter]
    fn _finished<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Event>> {
        self.finished(py)
    }

    #[getter]
    fn _is_shutdown(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.shut_down)
    }

    #[setter(_is_shutdown)]
    fn set_is_shutdown(&self, py: Python<'_>, #[pyo3(from_py_with = truth)] value: bool) {
        self.state.with(py, |state| state.shut_down = value);
    }
}

impl Queue {
    /// A queue without items, for `__init__` to fill in; `class` is its class.
    fn without_items(class: &Bound<'_, PyType>, order: Order) -> PyResult<PyClassInitializer<Self>> {
        let state = State {
            store: Store::default(),
            limit: 0,
            maxsize: None,
            getters: WaitList::default(),
            putters: WaitList::default(),
            unfinished: 0,
            finished: None,
            shut_down: false,
        };
        let queue = Self {
            state: Guarded::new(state),
            overrides: Overrides::of_class(class, order)?,
            order,
            gate: Gate::default(),
        };
        Ok(PyClassInitializer::from(LoopBound::default()).add_subclass(queue))
    }

    /// Sets how many items fill the queue. Raises `TypeError` if `maxsize` isn't a number.
    fn limit_to(&self, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = maxsize.py();
        let (limit, shown) = match maxsize.extract::<i64>() {
            Ok(limit) => (limit, None),
            // More items than fit into memory.
            Err(_) if maxsize.is_instance_of::<PyInt>() => (0, Some(maxsize.clone().unbind())),
            Err(_) => {
                let number = maxsize.extract::<f64>().map_err(|_| {
                    PyTypeError::new_err(format!(
                        "maxsize must be an integer (zero for no limit), got {}",
                        maxsize.repr().map_or_else(|_| "something else".to_owned(), |repr| repr.to_string())
                    ))
                })?;
                #[allow(
                    clippy::cast_possible_truncation,
                    reason = "beyond the integers means without a limit that memory would allow"
                )]
                let limit = number.ceil() as i64;
                (limit, Some(maxsize.clone().unbind()))
            }
        };
        let old = self.state.with(py, |state| {
            state.limit = limit;
            std::mem::replace(&mut state.maxsize, shown)
        });
        drop(old);
        Ok(())
    }

    fn shown_maxsize<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (limit, shown) = self
            .state
            .with(py, |state| (state.limit, state.maxsize.as_ref().map(|shown| shown.bind(py).clone())));
        match shown {
            Some(shown) => Ok(shown),
            None => Ok(limit.into_pyobject(py)?.into_any()),
        }
    }

    /// `full()`, by a subclass's `qsize()` if it has one.
    fn is_full(&self, slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if self.state.with(py, |state| state.limit) <= 0 {
            return Ok(false);
        }
        let items = if self.overrides.qsize() {
            slf.call_method0(intern!(py, "qsize"))?.extract::<usize>()?
        } else {
            store::len(slf)?
        };
        Ok(self.state.with(py, |state| state.is_full(items)))
    }

    /// The event that is set while nothing is unfinished.
    fn finished<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, Event>> {
        let known =
            self.state.with(py, |state| state.finished.as_ref().map(|finished| finished.bind(py).clone()));
        if let Some(known) = known {
            return Ok(known);
        }
        let nothing = self.state.with(py, |state| state.unfinished <= 0);
        let made = Bound::new(py, Event::with_value(nothing))?;
        let kept = made.clone().unbind();
        let unused = self.state.with(py, |state| match state.finished {
            // Unless another thread has changed the count since the event was made.
            None if (state.unfinished <= 0) == nothing => {
                state.finished = Some(kept);
                None
            }
            _ => Some(kept),
        });
        if unused.is_some() { self.finished(py) } else { Ok(made) }
    }

    /// Whether it is first in, first out, and no method is overridden.
    #[inline]
    fn is_plain(&self) -> bool {
        self.order == Order::FirstIn && !self.overrides.any()
    }
}

fn format(slf: &Bound<'_, Queue>) -> PyResult<String> {
    let py = slf.py();
    let queue = slf.get();
    let mut words = format!("maxsize={}", queue.shown_maxsize(py)?.repr()?);
    if !store::is_empty(slf)? {
        let items = PyList::empty(py);
        items.call_method1(intern!(py, "extend"), (store::shown(slf)?,))?;
        words.push_str(&format!(" _queue={}", items.repr()?));
    }
    let (getters, putters, unfinished, shut_down) = queue
        .state
        .with(py, |state| (state.getters.len(), state.putters.len(), state.unfinished, state.shut_down));
    if getters > 0 {
        words.push_str(&format!(" _getters[{getters}]"));
    }
    if putters > 0 {
        words.push_str(&format!(" _putters[{putters}]"));
    }
    if unfinished != 0 {
        words.push_str(&format!(" tasks={unfinished}"));
    }
    if shut_down {
        words.push_str(" shutdown");
    }
    Ok(words)
}
