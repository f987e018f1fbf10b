//! Scheduling callbacks: `call_soon`, `call_later`, `call_at`, `call_soon_threadsafe`, `time`.

use ferrio_engine::clock::{Nanos, nanos_from_seconds, seconds_from_nanos};
use ferrio_engine::timer::TimerKey;
use ferrio_engine::{OutOfMemory, Refused};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::{Item, Loop, LoopRef, no_room};
use crate::base::arguments::seconds;
use crate::base::ffi::fastcall::{Arguments, Quick, quick};
use crate::base::ffi::{context, interpreter, recycle};
use crate::base::imports;
use crate::core::handle::{Args, Handle, TimerHandle, timer};

#[pymethods]
impl Loop {
    /// Call `callback(*args)` in the next turn, in `context` or a copy of the current one; return a `Handle`.
    ///
    /// Raises `RuntimeError` on a closed loop; in debug mode also when called from another thread.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let handle = make_handle(slf, callback, Args::from_tuple(args), context, Caller::Soon)?;
        slf.get().push(py, Item::Handle(handle.clone().unbind()))?;
        Ok(handle)
    }

    /// As `call_soon`, from any thread; wakes the loop if it sleeps.
    ///
    /// Raises `RuntimeError` on a closed loop.
    #[pyo3(signature = (callback, *args, context = None))]
    fn call_soon_threadsafe<'py>(
        slf: &Bound<'py, Self>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Handle>> {
        let py = slf.py();
        let handle = make_handle(slf, callback, Args::from_tuple(args), context, Caller::SoonThreadsafe)?;
        slf.get().push(py, Item::Handle(handle.clone().unbind()))?;
        Ok(handle)
    }

    /// Call `callback(*args)` after `delay` seconds, never earlier; return a `TimerHandle`.
    ///
    /// A negative delay means as soon as possible. Raises `TypeError` if the delay isn't a number, `RuntimeError` on
    /// a closed loop.
    #[pyo3(signature = (delay, callback, *args, context = None))]
    fn call_later<'py>(
        slf: &Bound<'py, Self>,
        delay: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        call_after(slf, &delay, callback, Args::from_tuple(args), context)
    }

    /// Call `callback(*args)` at the time `when` of `loop.time()`, never earlier; return a `TimerHandle`.
    ///
    /// Raises `TypeError` if the time isn't a number, `RuntimeError` on a closed loop.
    #[pyo3(signature = (when, callback, *args, context = None))]
    fn call_at<'py>(
        slf: &Bound<'py, Self>,
        when: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, TimerHandle>> {
        call_at_time(slf, &when, callback, Args::from_tuple(args), context)
    }

    /// Return the time of the loop's clock in seconds: `time.monotonic()`, unless the clock is virtual.
    ///
    /// If a subclass replaces this method, its time decides when timers are due.
    fn time(&self, py: Python<'_>) -> f64 {
        seconds_from_nanos(self.now(py))
    }
}

/// Fast paths into these methods.
pub(crate) const QUICK: &[Quick] = quick!(Loop {
    "call_soon" (1 to usize::MAX) |native, given| soon(native, given);
    "call_soon_threadsafe" (1 to usize::MAX) |native, given| {
        let (callback, args) = callback_of(given, 0)?;
        let handle = make_handle(native, callback, args, None, Caller::SoonThreadsafe)?;
        native.get().push(native.py(), Item::Handle(handle.clone().unbind()))?;
        Ok(handle)
    };
    "call_later" (2 to usize::MAX) |native, given| {
        let (callback, args) = callback_of(given, 1)?;
        call_after(native, &given.get(0), callback, args, None)
    };
    "call_at" (2 to usize::MAX) |native, given| {
        let (callback, args) = callback_of(given, 1)?;
        call_at_time(native, &given.get(0), callback, args, None)
    };
    "time" (0 to 0) |native, _| native.get().time(native.py());
    "create_future" (0 to 0) |native, _| Loop::create_future(native);
    "create_task" (1 to 1) |native, given| {
        Loop::create_task(native, given.get(0).to_owned(), None, None, None, None)
    };
});

/// `call_soon` without keywords. It isn't thread-safe by contract, so it doesn't check the thread.
#[inline]
fn soon<'py>(native: &Bound<'py, Loop>, given: &Arguments<'_, 'py>) -> PyResult<Bound<'py, Handle>> {
    let (callback, args) = callback_of(given, 0)?;
    let handle = make_handle(native, callback, args, None, Caller::Soon)?;
    let item = Item::Handle(handle.clone().unbind());
    native.get().push_here(native.py(), item)?;
    Ok(handle)
}

/// Callback and arguments of a call `method([first, ]callback, *args)`; `place` is the callback's index.
#[inline]
fn callback_of<'py>(arguments: &Arguments<'_, 'py>, place: usize) -> PyResult<(Bound<'py, PyAny>, Args)> {
    let args = match arguments.count() - place {
        1 => Args::None,
        2 => Args::One(arguments.get(place + 1).to_owned().unbind()),
        _ => Args::Tuple(arguments.tuple_from(place + 1)?.unbind()),
    };
    Ok((arguments.get(place).to_owned(), args))
}

/// `call_later`: through `call_at` if a subclass has its own clock.
#[inline]
fn call_after<'py>(
    native: &Bound<'py, Loop>,
    delay: &Bound<'py, PyAny>,
    callback: Bound<'py, PyAny>,
    args: Args,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    let delay = seconds(delay, "delay")?;
    if !native.get().shared.overrides.timers() {
        native.get().require_open()?;
        let now = native.get().now(py);
        let deadline = moment_after(now, delay);
        let when = match deadline {
            Nanos::MAX => f64::INFINITY,
            _ if delay > 0.0 => seconds_from_nanos(deadline),
            // Due now, but the handle shows the time that was asked for; a NaN stays one.
            _ => seconds_from_nanos(now) + delay,
        };
        return schedule(native, (when, None), deadline, callback, args, context).map(Bound::into_any);
    }
    let now: f64 = native.call_method0(intern!(py, "time"))?.extract()?;
    let mut all = vec![(now + delay).into_pyobject(py)?.into_any(), callback];
    match args {
        Args::None => {}
        Args::One(argument) => all.push(argument.into_bound(py)),
        Args::Tuple(args) => all.extend(args.bind(py).iter()),
    }
    let keywords = crate::core::task::given(py, None, &[("context", context.as_ref())])?;
    native.call_method(intern!(py, "call_at"), PyTuple::new(py, all)?, Some(&keywords))
}

/// The time `delay` seconds after `now`. With a negative delay it lies in the past, before what is due now.
#[inline]
fn moment_after(now: Nanos, delay: f64) -> Nanos {
    if delay < 0.0 {
        return now.saturating_sub(nanos_from_seconds(-delay).unwrap_or(0));
    }
    now.saturating_add(nanos_from_seconds(delay).unwrap_or(0))
}

#[inline]
fn call_at_time<'py>(
    native: &Bound<'py, Loop>,
    when: &Bound<'py, PyAny>,
    callback: Bound<'py, PyAny>,
    args: Args,
    context: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, TimerHandle>> {
    let time = seconds(when, "when")?;
    native.get().require_open()?;
    let deadline = nanos_from_seconds(time).unwrap_or(0);
    schedule(native, (time, timer::given(when)), deadline, callback, args, context)
}

impl Loop {
    /// Queues an item for the next turn; from another thread through the inbox.
    ///
    /// Raises `RuntimeError` on a closed loop, `MemoryError` if there is no room.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        self.require_open()?;
        let outcome = self.owned.engine.with(py, |engine| {
            // In one borrow: if another thread starts the loop meanwhile, it must not sleep without seeing the item.
            if self.runs_here() || !self.is_running() {
                engine.push(item).map(|()| None)
            } else {
                Ok(Some(item))
            }
        });
        match outcome {
            Ok(None) => Ok(()),
            Ok(Some(item)) => self.post(item),
            Err(OutOfMemory(item)) => Err(no_room(py, item)),
        }
    }

    /// Queues an item for the next turn in the loop's own thread. Raises `MemoryError` if there is no room.
    #[inline]
    pub(crate) fn push_here(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        let outcome = self.owned.engine.with(py, |engine| engine.push(item));
        outcome.map_err(|OutOfMemory(item)| no_room(py, item))
    }

    /// Queues an item from any thread and wakes the loop.
    ///
    /// Raises `RuntimeError` on a closed loop, `MemoryError` if there is no room.
    pub(crate) fn post(&self, item: Item) -> PyResult<()> {
        match self.shared.inbox.post(item) {
            Ok(()) => Ok(()),
            Err(Refused::Closed(_item)) => Err(PyRuntimeError::new_err("Event loop is closed")),
            Err(Refused::OutOfMemory(_item)) => Err(PyMemoryError::new_err(())),
        }
    }

    /// The time of the loop's clock. May be called while a timeout's state is borrowed.
    #[inline]
    pub(crate) fn now(&self, py: Python<'_>) -> Nanos {
        self.owned.engine.with(py, |engine| engine.clock.now())
    }

    /// The deadline `delay` seconds from now; a delay that isn't positive is due at once.
    #[inline]
    pub(crate) fn deadline_after(&self, py: Python<'_>, delay: f64) -> Nanos {
        moment_after(self.now(py), delay)
    }

    /// Puts an item among the timers. Raises `RuntimeError` on a closed loop, `MemoryError` if there is no room.
    #[inline]
    pub(crate) fn insert_timer(&self, py: Python<'_>, deadline: Nanos, item: Item) -> PyResult<TimerKey> {
        self.require_open()?;
        let outcome = self.owned.engine.with(py, |engine| engine.timers.insert(deadline, item));
        outcome.map_err(|OutOfMemory(item)| no_room(py, item))
    }

    /// Removes a timer; does nothing if it has fired or is gone.
    #[inline]
    pub(crate) fn forget_timer(&self, py: Python<'_>, key: TimerKey) {
        if let Some(item) = self.owned.engine.with(py, |engine| engine.timers.cancel(key)) {
            item.release(py);
        }
    }

    /// Whether the timer still waits. May be called while a timeout's state is borrowed.
    pub(crate) fn has_timer(&self, py: Python<'_>, key: TimerKey) -> bool {
        self.owned.engine.with(py, |engine| engine.timers.get(key).is_some())
    }
}

/// The method that schedules: `call_...`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Caller {
    Soon,
    At,
    SoonThreadsafe,
}

impl Caller {
    /// Its name in Python.
    fn name(self) -> &'static str {
        match self {
            Self::Soon => "call_soon",
            Self::At => "call_at",
            Self::SoonThreadsafe => "call_soon_threadsafe",
        }
    }
}

#[inline]
fn make_handle<'py>(
    native: &Bound<'py, Loop>,
    callback: Bound<'py, PyAny>,
    args: Args,
    given: Option<Bound<'py, PyAny>>,
    caller: Caller,
) -> PyResult<Bound<'py, Handle>> {
    let py = native.py();
    native.get().require_open()?;
    let debug = native.get().debug();
    if debug {
        check(native, &callback, caller)?;
    }
    let context = context::given_or_copy(py, given)?;
    let home = LoopRef::Native(native.clone().unbind());
    let handle = Handle::build(py, home, callback, args, context, debug)?;
    recycle::make(py, if caller == Caller::SoonThreadsafe { handle.thread_safe() } else { handle })
}

#[inline]
fn schedule<'py>(
    native: &Bound<'py, Loop>,
    when: (f64, Option<Py<PyAny>>),
    deadline: Nanos,
    callback: Bound<'py, PyAny>,
    args: Args,
    given: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, TimerHandle>> {
    let py = native.py();
    if native.get().debug() {
        check(native, &callback, Caller::At)?;
    }
    let context = context::given_or_copy(py, given)?;
    let timer = TimerHandle::build(py, native, when.0, when.1, callback, args, context)?;
    let item = Item::Handle(timer.as_super().clone().unbind());
    let outcome = native.get().owned.engine.with(py, |engine| engine.timers.insert(deadline, item));
    let key = outcome.map_err(|OutOfMemory(item)| no_room(py, item))?;
    timer.get().scheduled(py, key);
    Ok(timer)
}

/// Debug mode's checks: the right thread, and no coroutine.
#[cold]
fn check(native: &Bound<'_, Loop>, callback: &Bound<'_, PyAny>, caller: Caller) -> PyResult<()> {
    if caller != Caller::SoonThreadsafe {
        check_thread(native.py(), native.get())?;
    }
    check_callback(callback, caller.name())
}

/// Debug mode's check of the thread: if the loop runs, it must be the loop's.
#[cold]
pub(crate) fn check_thread(py: Python<'_>, native: &Loop) -> PyResult<()> {
    if native._thread_id().is_none_or(|thread| thread == interpreter::thread_id(py)) {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "Non-thread-safe operation invoked on an event loop other than the current one: \
         in another thread say call_soon_threadsafe() or run_coroutine_threadsafe()",
    ))
}

/// Debug mode's check of the callback.
#[cold]
pub(crate) fn check_callback(callback: &Bound<'_, PyAny>, method: &str) -> PyResult<()> {
    let py = callback.py();
    let coroutine = imports::IS_COROUTINE.get(py)?.call1((callback,))?.is_truthy()?
        || imports::IS_COROUTINE_FUNCTION.get(py)?.call1((callback,))?.is_truthy()?;
    if coroutine {
        return Err(PyTypeError::new_err(format!("coroutines cannot be used with {method}()")));
    }
    if callback.is_callable() {
        return Ok(());
    }
    let look = callback.repr()?;
    Err(PyTypeError::new_err(format!("a callable object was expected by {method}(), got {look}")))
}
