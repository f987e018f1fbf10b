//! `gather`: one future for the results of many awaitables.
//!
//! Invariant: the future counts each distinct child once, even one that was done before or ends after the future itself.
//! When the last one has ended, the children are dropped.

use pyo3::PyClassInitializer;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple};
use std::collections::hash_map::Entry;

use crate::base::arguments::truth;
use crate::base::by_address::ByAddress;
use crate::base::class::{Class, Standard};
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::ffi::{Cast, Guarded, awaiters, coroutine};
use crate::base::functions::{Declared, Functions, declared};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::{self, LoopRef};
use crate::core::future::callbacks::Watch;
use crate::core::future::watch::{self, Ended, Failure};
use crate::core::future::{self, Future, native, plain};
use crate::core::operation::Operation;
use crate::core::task::cancel::{self, Part};
use crate::core::task::{Task, create, current};

/// The future that `gather` returns: cancelling it cancels the children.
#[pyclass(extends = Future, frozen, name = "_GatheringFuture", module = "ferrio.tasks")]
pub(crate) struct Gathering {
    gathered: Guarded<State>,
}

collected!(Gathering { gathered }, written by gathered, clear { gathered { children, awaiter } });

impl Class for Gathering {
    const BELOW: Option<Standard> = Some(("asyncio.tasks", "_GatheringFuture"));
}

impl Functions for Gathering {}

/// What a gathering has in addition to a future; only attached threads touch it.
struct State {
    /// In the order of the arguments; one that is given twice is here twice.
    children: Vec<Py<PyAny>>,
    /// How many distinct children there are; 0 until all are known.
    distinct: usize,
    finished: usize,
    return_exceptions: bool,
    /// Whether `cancel()` reached a child: then the end is a `CancelledError`.
    cancel_requested: bool,
    /// Whether `gather` itself failed on a later argument. Then nobody needs the children's errors.
    abandoned: bool,
    /// The task that called `gather`, until the end (call graphs).
    awaiter: Option<Py<PyAny>>,
}

gc!(State { children, awaiter } not { distinct, finished, return_exceptions, cancel_requested, abandoned });

#[pymethods]
impl Gathering {
    /// Cancel every child that is not done. Return `False` if there was nothing to cancel.
    ///
    /// The future itself ends with `CancelledError` when the children have ended.
    #[pyo3(signature = (msg = None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        cancel::cancel_waiter(slf.as_any(), msg.as_ref())
    }

    #[getter]
    fn _children<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let children: Vec<_> = self
            .gathered
            .with(py, |state| state.children.iter().map(|child| child.bind(py).clone()).collect());
        PyList::new(py, children)
    }

    #[getter]
    fn _cancel_requested(&self, py: Python<'_>) -> bool {
        self.gathered.with(py, |state| state.cancel_requested)
    }
}

impl Finalize for Gathering {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        Future::wants_finalize(&dying.as_super())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        Future::finalize(slf.as_super())
    }

    general!();
}

pub(crate) const GATHER: Declared = declared!(gather).function("ferrio.tasks");

/// Run awaitables concurrently; return a future with the list of their results, in the order of the arguments.
///
/// Takes the `coros_or_futures` one by one (a list of them as `*list`); coroutines become tasks. With
/// `return_exceptions`, exceptions are put into the list of results. Without it the first one ends the future, and
/// the other awaitables continue. Cancelling the future cancels all of them. Raises `TypeError` if one can't be
/// awaited, `ValueError` for a future of another loop (`asyncio.gather`).
#[pyfunction]
#[pyo3(signature = (*coros_or_futures, return_exceptions = false))]
pub(crate) fn gather<'py>(
    coros_or_futures: &Bound<'py, PyTuple>,
    #[pyo3(from_py_with = truth)] return_exceptions: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = coros_or_futures.py();
    if coros_or_futures.is_empty() {
        let outer = future::default_loop(py)?.object(py).call_method0(intern!(py, "create_future"))?;
        outer.call_method1(intern!(py, "set_result"), (PyList::empty(py),))?;
        return Ok(outer);
    }
    let home = match event_loop::running(py) {
        Some(native) => Some(LoopRef::Native(native)),
        None => {
            let foreign = imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?;
            (!foreign.is_none()).then(|| LoopRef::new(&foreign))
        }
    };
    let awaiter = match &home {
        Some(home) => current::current_task(py, Some(home.object(py)))?,
        None => None,
    };
    let mut collection = Collection {
        home,
        outer: None,
        return_exceptions,
        awaiter: awaiter.map(Bound::unbind),
        children: Vec::with_capacity(coros_or_futures.len()),
        done: Vec::new(),
        distinct: 0,
        seen: Seen::new(coros_or_futures),
    };
    let collected = collection.take_all(coros_or_futures);
    let Collection { outer, children, done, distinct, .. } = collection;
    let Some(outer) = outer else { return Err(collected.err().unwrap_or_else(nothing_collected)) };
    outer.get().gathered.with(py, |state| {
        state.children = children;
        state.distinct = distinct;
        state.abandoned = collected.is_err();
    });
    collected?;
    for child in done {
        child_done(outer.as_any(), child.bind(py))?;
    }
    Ok(outer.into_any())
}

fn nothing_collected() -> PyErr {
    pyo3::exceptions::PyRuntimeError::new_err("gather() made no future")
}

/// The arguments on their way into a gathering.
struct Collection<'a, 'py> {
    /// The running loop; without one, the loop of the first child.
    home: Option<LoopRef>,
    /// Made with the first child.
    outer: Option<Bound<'py, Gathering>>,
    return_exceptions: bool,
    awaiter: Option<Py<PyAny>>,
    children: Vec<Py<PyAny>>,
    /// The children that were done already: they are counted when all are known.
    done: Vec<Py<PyAny>>,
    distinct: usize,
    seen: Seen<'a, 'py>,
}

impl<'py> Collection<'_, 'py> {
    fn take_all(&mut self, arguments: &Bound<'py, PyTuple>) -> PyResult<()> {
        for (index, argument) in arguments.iter().enumerate() {
            self.take(index, argument)?;
        }
        Ok(())
    }

    fn take(&mut self, index: usize, argument: Bound<'py, PyAny>) -> PyResult<()> {
        let py = argument.py();
        let earlier = match self.seen.place_of(index, &argument) {
            // A list can't be hashed, but that it can't be awaited is the better message.
            Err(_) if argument.is_instance_of::<PyList>() => return Err(create::not_awaitable(&argument)?),
            found => found?,
        };
        if let Some(earlier) = earlier {
            let child = self.children[earlier].clone_ref(py);
            self.children.push(child);
            return Ok(());
        }
        self.distinct += 1;
        if let Some(task) = self.new_task(&argument)? {
            let outer = self.outer(py, || Ok(task.as_any().clone()))?.clone();
            watch::watch(task.as_any(), outer.as_any(), &CHILD_DONE)?;
            self.children.push(task.into_any().unbind());
            return Ok(());
        }
        let given = self.home.as_ref().map(|home| home.object(py));
        let child = create::ensure_future(&argument, given.as_ref())?;
        if !child.is(&argument) {
            // The caller doesn't know this task, so a message that it was destroyed pending wouldn't help.
            match child.as_instance::<Task>() {
                Some(task) => task.get().task.with(py, |state| state.log_destroy_pending = false),
                None => child.setattr(intern!(py, "_log_destroy_pending"), false)?,
            }
        }
        let outer = self.outer(py, || Ok(child.clone()))?.clone();
        if watch::is_done(&child)? {
            self.done.push(child.clone().unbind());
        } else {
            watch::watch(&child, outer.as_any(), &CHILD_DONE)?;
        }
        self.children.push(child.unbind());
        Ok(())
    }

    /// The usual case: a coroutine, on a ferrio loop that makes plain tasks.
    #[inline]
    fn new_task(&self, argument: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, Task>>> {
        let py = argument.py();
        let Some(LoopRef::Native(home)) = &self.home else { return Ok(None) };
        let native = home.get();
        let usual = (coroutine::is_coroutine(argument) || argument.is_exact_instance_of::<Operation>())
            && native.makes_plain_tasks(py)
            && !native.closed();
        if !usual {
            return Ok(None);
        }
        let home = LoopRef::Native(home.clone_ref(py));
        let task = create::new_task(py, home, argument.clone(), None, None, false)?;
        task.get().task.with(py, |state| state.log_destroy_pending = false);
        Ok(Some(task))
    }

    fn outer(
        &mut self,
        py: Python<'py>,
        first: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<&Bound<'py, Gathering>> {
        let outer = match self.outer.take() {
            Some(outer) => outer,
            None => {
                let home = match &self.home {
                    Some(home) => home.duplicate(py),
                    None => LoopRef::new(&future::loop_of(&first()?)?),
                };
                let gathering = Gathering {
                    gathered: Guarded::new(State {
                        children: Vec::new(),
                        distinct: 0,
                        finished: 0,
                        return_exceptions: self.return_exceptions,
                        cancel_requested: false,
                        abandoned: false,
                        awaiter: self.awaiter.take(),
                    }),
                };
                let debug = home.debug(py)?;
                plain::register_compound::<Gathering>(py, ask_part);
                let base = Future::on(home.duplicate(py));
                self.home = Some(home);
                let outer = Bound::new(py, PyClassInitializer::from(base).add_subclass(gathering))?;
                if debug {
                    native::note_origin(outer.as_super())?;
                }
                outer
            }
        };
        Ok(self.outer.insert(outer))
    }
}

static CHILD_DONE: Watch = Watch::new("gather.<locals>._done_callback", child_done)
    .awaited_by(|outer| outer.as_exactly::<Gathering>().and_then(awaiter).into());

/// Counts a child that has ended, and ends the future when it is time.
fn child_done(outer: &Bound<'_, PyAny>, child: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = outer.py();
    let outer = outer.cast_exact::<Gathering>()?;
    let future = outer.as_super();
    let (all, return_exceptions, abandoned) = outer.get().gathered.with(py, |state| {
        state.finished += 1;
        (state.finished == state.distinct, state.return_exceptions, state.abandoned)
    });
    if abandoned || future.get().is_done(py) {
        // Too late to matter: the exception counts as retrieved.
        watch::failure(child).map(drop)?;
        if all {
            release(outer);
        }
        return Ok(());
    }
    if !return_exceptions && let Some(failure) = watch::failure(child)? {
        let exception = match failure {
            Failure::Exception(exception) => exception,
            Failure::Cancelled => watch::cancelled_error(child)?,
        };
        forget_awaiter(outer)?;
        native::set_exception(future, exception)?;
        if all {
            release(outer);
        }
        return Ok(());
    }
    if all { finish(outer) } else { Ok(()) }
}

/// Ends the future with the list of results, or as cancelled if that was requested.
fn finish(outer: &Bound<'_, Gathering>) -> PyResult<()> {
    let py = outer.py();
    let (children, awaiter, cancel_requested) = outer.get().gathered.with(py, |state| {
        (std::mem::take(&mut state.children), state.awaiter.take(), state.cancel_requested)
    });
    drop(awaiter);
    let mut results = Vec::with_capacity(children.len());
    for child in &children {
        let child = child.bind(py);
        results.push(match watch::ended(child)? {
            Ended::Result(value) | Ended::Exception(value) => value,
            Ended::Cancelled => {
                let message = cancel_message(child)?;
                imports::CANCELLED_ERROR.get(py)?.call1((message,))?
            }
        });
    }
    let ended = match children.last() {
        Some(last) if cancel_requested => {
            native::set_exception(outer.as_super(), watch::cancelled_error(last.bind(py))?)
        }
        _ => native::set_result(outer.as_super(), PyList::new(py, results)?.into_any()),
    };
    // Without a look at the thread's state for each.
    children.into_iter().for_each(|child| child.drop_ref(py));
    ended
}

/// The children that are left continue, but nobody awaits them here.
#[cold]
fn forget_awaiter(outer: &Bound<'_, Gathering>) -> PyResult<()> {
    let py = outer.py();
    let (awaiter, children) = outer.get().gathered.with(py, |state| {
        let children: Vec<_> = state.children.iter().map(|child| child.bind(py).clone()).collect();
        (state.awaiter.take(), children)
    });
    let Some(awaiter) = awaiter else { return Ok(()) };
    let mut ours = children.iter().filter_map(|child| child.as_instance::<Future>());
    ours.try_for_each(|child| awaiters::discard(child, awaiter.bind(py)))
}

fn release(outer: &Bound<'_, Gathering>) {
    let released = outer
        .get()
        .gathered
        .with(outer.py(), |state| (std::mem::take(&mut state.children), state.awaiter.take()));
    drop(released);
}

/// The message that a cancelled child got, an empty string if none.
fn cancel_message<'py>(child: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = child.py();
    let message = child.getattr(intern!(py, "_cancel_message"))?;
    Ok(if message.is_none() { PyString::new(py, "").into_any() } else { message })
}

/// Child number `index`, to be cancelled next. One by one: a child's own `cancel()` may run any code.
fn ask_part<'py>(outer: &Bound<'py, PyAny>, index: usize, reached: bool) -> Part<'py> {
    let py = outer.py();
    let Some(outer) = outer.as_exactly::<Gathering>() else { return Part::Over(false) };
    if index == 0 && outer.as_super().get().is_done(py) {
        return Part::Over(false);
    }
    let child = outer.get().gathered.with(py, |state| {
        let child = state.children.get(index).map(|child| child.bind(py).clone());
        if child.is_none() && reached {
            state.cancel_requested = true;
        }
        child
    });
    child.map_or(Part::Over(reached), Part::Next)
}

/// The task that called `gather`, while its future is pending.
fn awaiter<'py>(outer: &Bound<'py, Gathering>) -> Option<Bound<'py, PyAny>> {
    let py = outer.py();
    outer.get().gathered.with(py, |state| state.awaiter.as_ref().map(|task| task.bind(py).clone()))
}

/// Up to this many arguments are compared one by one.
const FEW: usize = 16;

/// Finds arguments that were given before: by identity if their class has no equality of its own, otherwise by `==`.
struct Seen<'a, 'py> {
    arguments: &'a Bound<'py, PyTuple>,
    by_address: ByAddress<usize>,
    by_equality: Option<Bound<'py, PyDict>>,
}

impl<'a, 'py> Seen<'a, 'py> {
    fn new(arguments: &'a Bound<'py, PyTuple>) -> Self {
        let room = if arguments.len() > FEW { arguments.len() } else { 0 };
        Self {
            arguments,
            by_address: ByAddress::with_capacity_and_hasher(room, Default::default()),
            by_equality: None,
        }
    }

    /// The place of an equal argument before `index`, if there is one. Raises `TypeError` if it can't be hashed.
    #[inline]
    fn place_of(&mut self, index: usize, argument: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
        let unequal = coroutine::is_coroutine(argument)
            || future::is_plain(argument)
            || argument.is_exact_instance_of::<Operation>();
        if !unequal {
            return self.place_of_equal(index, argument);
        }
        if self.arguments.len() <= FEW {
            return Ok(self.arguments.iter_borrowed().take(index).position(|earlier| earlier.is(argument)));
        }
        match self.by_address.entry(argument.as_ptr() as usize) {
            Entry::Occupied(entry) => Ok(Some(*entry.get())),
            Entry::Vacant(entry) => {
                entry.insert(index);
                Ok(None)
            }
        }
    }

    #[cold]
    fn place_of_equal(&mut self, index: usize, argument: &Bound<'py, PyAny>) -> PyResult<Option<usize>> {
        let known = self.by_equality.get_or_insert_with(|| PyDict::new(argument.py()));
        if let Some(earlier) = known.get_item(argument)? {
            return earlier.extract().map(Some);
        }
        known.set_item(argument, index)?;
        Ok(None)
    }
}
