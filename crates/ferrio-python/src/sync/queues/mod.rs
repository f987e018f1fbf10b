//! `Queue` and its relatives (asyncio's page "Queues"): the class.
//!
//! `store.rs` keeps the items, `nowait.rs` has what goes without waiting, `wait.rs` the operations behind `get`, `put`
//! and `join`, `ordered.rs` the classes with another order, `overrides.rs` knows which methods a Python subclass replaced, `gate.rs` keeps threads apart
//! while Python code runs inside a queue.
//!
//! Invariants: an item goes in or out, and the counters with it, in one look at the state, or inside the gate; a waker
//! takes the waiter out of its list; whoever was woken and can't use it wakes the next.

mod gate;
mod nowait;
pub(crate) mod ordered;
mod overrides;
mod store;
pub(crate) mod wait;

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyList, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use self::gate::Gate;
use self::overrides::Overrides;
pub(crate) use self::store::Order;
use self::store::Store;
use crate::base::class::{Class, Standard};
use crate::base::ffi::Guarded;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::functions::Functions;
use crate::base::given::Given;
use crate::base::imports;
use crate::base::whole::truth;
use crate::core::operation::Operation;
use crate::sync::locks::bound::LoopBound;
use crate::sync::locks::event::{self, Event};
use crate::sync::locks::waiters::{self, WaitList};

/// A queue between tasks, first in, first out. With a `maxsize` above zero, `put()` waits while that many are in it.
///
/// Meaning and methods are those of `asyncio.Queue`. Beyond asyncio, `put_nowait`, `get_nowait`, `task_done` and
/// `shutdown` may be called from any thread: the loop whose tasks wait is woken. A subclass may override `_init`,
/// `_put` and `_get`, which work on `_queue`.
#[pyclass(extends = LoopBound, subclass, frozen, module = "ferrio")]
pub(crate) struct Queue {
    state: Guarded<State>,
    overrides: Overrides,
    order: Order,
    gate: Gate,
}

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
    /// How many items are too many; zero or less: none are.
    limit: i64,
    /// What `maxsize` shows, if that is no integer.
    maxsize: Option<Py<PyAny>>,
    getters: WaitList,
    putters: WaitList,
    /// Items put in for which nobody said `task_done()`.
    unfinished: i64,
    /// Set while `unfinished` is zero; made when somebody asks for it.
    finished: Option<Py<Event>>,
    shut_down: bool,
}

impl State {
    #[inline]
    fn is_full(&self, items: usize) -> bool {
        self.limit > 0 && i64::try_from(items).is_ok_and(|items| items >= self.limit)
    }

    /// Whether a plain queue makes who wants an item wait.
    fn nothing_to_get(&self) -> bool {
        matches!(&self.store, Store::Native(items) if items.is_empty()) && !self.shut_down
    }

    /// Whether a plain queue makes who has an item wait.
    fn nowhere_to_put(&self) -> bool {
        matches!(&self.store, Store::Native(items) if self.is_full(items.len())) && !self.shut_down
    }

    /// Says that nothing is unfinished; returns the event whose waiters are to be woken.
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

    #[pyo3(signature = (maxsize = Given::NOTHING))]
    fn __init__(slf: &Bound<'_, Self>, maxsize: Given) -> PyResult<()> {
        let py = slf.py();
        let queue = slf.get();
        let maxsize = match maxsize.given() {
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

    /// How many items it takes; zero or less: any number.
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

    /// Put `item` in, after waiting for a free place. Does not suspend if there is one.
    ///
    /// Raises `QueueShutDown` if the queue was shut down.
    fn put(slf: &Bound<'_, Self>, item: Py<PyAny>) -> Operation {
        Operation::new(wait::Put::new(slf, item))
    }

    /// Put `item` in at once; from any thread.
    ///
    /// Raises `QueueFull` if there is no free place, `QueueShutDown` if the queue was shut down.
    fn put_nowait(slf: &Bound<'_, Self>, item: Bound<'_, PyAny>) -> PyResult<()> {
        nowait::put_nowait(slf, item)
    }

    /// Take an item out, after waiting for one, and return it. Does not suspend if there is one.
    ///
    /// Raises `QueueShutDown` if the queue was shut down and is empty.
    fn get(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(wait::Get::new(slf))
    }

    /// Take an item out at once and return it; from any thread.
    ///
    /// Raises `QueueEmpty` if there is none, `QueueShutDown` if the queue was shut down besides.
    fn get_nowait<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        nowait::get_nowait(slf)
    }

    /// Say that the work on an item that was taken out is done; from any thread.
    ///
    /// Raises `ValueError` when called more often than items were put in.
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
    fn join(slf: &Bound<'_, Self>) -> Operation {
        Operation::new(wait::Join::new(slf))
    }

    /// Shut the queue down: `put()` raises `QueueShutDown` from now on, and `get()` does once the queue is empty, which
    /// it is at once with `immediate`. Those who wait are woken; from any thread.
    ///
    /// What `immediate` throws away counts as done for `join()`.
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

    /// What `repr` and `str` show.
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

    /// Those who wait in `get()`, in order: a copy of the list.
    #[getter]
    fn _getters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        waiters::shown(py, self.state.with(py, |state| state.getters.duplicate(py)))
    }

    /// Those who wait in `put()`, in order: a copy of the list.
    #[getter]
    fn _putters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        waiters::shown(py, self.state.with(py, |state| state.putters.duplicate(py)))
    }

    /// Wake the first of `waiters`, `_getters` or `_putters`: what subclasses and helpers call that use `_queue`.
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

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            state.store.traverse(&visit)?;
            visit.call(&state.maxsize)?;
            state.getters.traverse(&visit)?;
            state.putters.traverse(&visit)?;
            visit.call(&state.finished)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let cleared = self.state.with(py, |state| {
            (
                std::mem::take(&mut state.store),
                std::mem::take(&mut state.getters),
                std::mem::take(&mut state.putters),
                state.finished.take(),
                state.maxsize.take(),
            )
        });
        drop(cleared);
    }
}

impl Queue {
    /// A queue without items, for `__init__` to fill in; `class` is the one that is being made.
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

    /// Sets the number of items that are too many. Raises `TypeError` for what is no number.
    fn limit_to(&self, maxsize: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = maxsize.py();
        let (limit, shown) = match maxsize.extract::<i64>() {
            Ok(limit) => (limit, None),
            // More items than any memory holds.
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
            // Unless another thread has changed meanwhile what the event was made to say.
            None if (state.unfinished <= 0) == nothing => {
                state.finished = Some(kept);
                None
            }
            _ => Some(kept),
        });
        if unused.is_some() { self.finished(py) } else { Ok(made) }
    }

    /// Whether it is first in, first out, by methods that are all ours.
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
