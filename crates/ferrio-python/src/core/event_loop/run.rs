//! Turning the loop: `run_forever`, `run_until_complete`, `stop`, `close`.

use std::io;
use std::sync::atomic::Ordering;

use ferrio_engine::reactor::{Events, Wait};
use ferrio_engine::turn::Plan;
use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use super::executors;
use super::flush::{flush, flush_if_much};
use super::profiled;
use super::signals;
use crate::base::ffi::scope::then_leave;
use crate::base::ffi::{Cast, interpreter};
use crate::base::{error, imports};
use crate::core::event_loop::nested::{self, Outer};
use crate::core::event_loop::{Item, Loop, debug, descriptors, overrides, running, set_running};
use crate::core::future::callbacks::Watch;
use crate::core::future::{self, Future, watch};
use crate::core::task::{Task, create, current, finalize};

/// For how many events there is room at first.
pub(super) const EVENTS: usize = 1024;

/// What `run_forever` restores when it ends.
#[derive(Default)]
pub(crate) struct Saved {
    asyncgen_hooks: Option<Py<PyAny>>,
    /// The depth of coroutine origin tracking before debug mode raised it.
    pub(crate) origin_depth: Option<Py<PyAny>>,
}

#[pymethods]
impl Loop {
    /// Run until `stop()` is called.
    ///
    /// Raises `RuntimeError` if a loop runs in this thread already, or if this one is closed.
    fn run_forever(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        require_idle(slf)?;
        if slf.get().runs_here() {
            return nested::turn_until_stopped(slf);
        }
        let outer = Outer::set_aside(py)?;
        let (outcome, given_back) = then_leave(
            || run_alone(slf, || turns(slf)),
            || outer.map_or(Ok(()), |outer| outer.give_back(py)),
        );
        outcome.and(given_back)
    }

    /// Run until `future`, a future or a coroutine, is done; return its result or raise its exception.
    ///
    /// Raises `RuntimeError` if a loop runs in this thread already, if this one is closed, or if it is stopped before.
    fn run_until_complete<'py>(
        slf: &Bound<'py, Self>,
        future: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        run_until_complete(slf, future)
    }

    /// Another name of `run_until_complete`.
    fn run<'py>(slf: &Bound<'py, Self>, future: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        slf.call_method1(intern!(slf.py(), "run_until_complete"), (future,))
    }

    /// Stop the loop at the end of the turn; what is ready already runs before. From another thread use
    /// `call_soon_threadsafe(loop.stop)`.
    fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
        if !self.runs_here() {
            self.inbox.wake();
        }
    }

    /// Return whether the loop runs, in whichever thread.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.thread.load(Ordering::Relaxed) != 0
    }

    /// Return whether the loop was closed.
    fn is_closed(&self) -> bool {
        self.closed()
    }

    /// Close the loop: drop what is queued. Idempotent; nothing works on it afterwards.
    ///
    /// Raises `RuntimeError` while it runs.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// The identifier of the thread that runs the loop, or `None`.
    #[getter]
    pub(super) fn _thread_id(&self) -> Option<u64> {
        Some(self.thread.load(Ordering::Relaxed)).filter(|thread| *thread != 0)
    }

    /// For programs that turn the loop themselves, one `_run_once` after the other.
    #[setter(_thread_id)]
    fn set_thread_id(&self, py: Python<'_>, thread: Option<u64>) {
        self.engine.with(py, |_| self.thread.store(thread.unwrap_or(0), Ordering::Relaxed));
    }

    /// One turn, whether the loop runs or not. `run_forever` doesn't call it.
    fn _run_once(slf: &Bound<'_, Self>) -> PyResult<()> {
        turn_once(slf)
    }

    /// Raises `RuntimeError` on a closed loop.
    fn _check_closed(&self) -> PyResult<()> {
        self.require_open()
    }
}

fn turn_once(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let state = native.get();
    let turn = |turning: &mut Turning| turning.turn(native, false);
    if state.runs_here() {
        return nested::inside(native, turn);
    }
    // A program that drives the loop says so to the standard library and in `_thread_id`: both are put back.
    let said = imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?;
    let outer = if said.is(native) { None } else { Outer::set_aside(py)? };
    let here = interpreter::thread_id(py);
    let by_hand = state
        .engine
        .with(py, |_| state.thread.compare_exchange(here, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok());
    let run = || run_alone(native, || turn(&mut Turning::new(Events::with_capacity(EVENTS))));
    let leave = || {
        if by_hand {
            state.engine.with(py, |_| state.thread.store(here, Ordering::Relaxed));
        }
        match outer {
            Some(outer) => outer.give_back(py),
            None => imports::SET_RUNNING_LOOP.get(py)?.call1((said,)).map(drop),
        }
    };
    let (outcome, given_back) = then_leave(run, leave);
    outcome.and(given_back)
}

/// Takes the thread for `body`.
fn run_alone(native: &Bound<'_, Loop>, body: impl FnOnce() -> PyResult<()>) -> PyResult<()> {
    let py = native.py();
    take_loop(py, native.get())?;
    let run = || {
        begin(native)?;
        let outcome = body();
        // What was written in the last turn is not left behind, whatever ended it.
        let flushed = flush(native);
        outcome.and(flushed)
    };
    let (outcome, ended) = then_leave(run, || end(py, native));
    outcome.and(ended)
}

/// Takes the thread: from here to `end` the loop is the running one. `end` gives back what was taken before an error too.
fn begin(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let state = native.get();
    signals::begin(native)?;
    let firstiter = native.getattr(intern!(py, "_asyncgen_firstiter_hook"))?;
    let finalizer = native.getattr(intern!(py, "_asyncgen_finalizer_hook"))?;
    let hooks = imports::GET_ASYNCGEN_HOOKS.get(py)?.call0()?.unbind();
    let old = state.settings.with(py, |settings| settings.saved.asyncgen_hooks.replace(hooks));
    drop(old);
    imports::SET_ASYNCGEN_HOOKS.get(py)?.call1((firstiter, finalizer))?;
    if state.debug() {
        debug::track_origins(native, true)?;
    }
    set_running(py, Some(native))
}

/// Makes this thread the one that runs the loop. Raises `RuntimeError` if another thread was faster, or has closed it.
fn take_loop(py: Python<'_>, state: &Loop) -> PyResult<()> {
    let taken = state.engine.with(py, |_| {
        let free = !state.closed() && !state.is_running();
        if free {
            state.thread.store(interpreter::thread_id(py), Ordering::Relaxed);
        }
        free
    });
    if taken {
        return Ok(());
    }
    state.require_open()?;
    Err(PyRuntimeError::new_err("This event loop is already running"))
}

/// Gives back what `begin` took, however the turns ended.
fn end(py: Python<'_>, native: &Bound<'_, Loop>) -> PyResult<()> {
    let state = native.get();
    let outcome = give_back(py, native);
    // Last: now another thread may run the loop.
    state.engine.with(py, |_| state.thread.store(0, Ordering::Relaxed));
    outcome
}

fn give_back(py: Python<'_>, native: &Bound<'_, Loop>) -> PyResult<()> {
    // Each of these, whatever becomes of the others.
    let retired = current::retire(native);
    let left = set_running(py, None);
    let signals = signals::end(native);
    let origins = debug::track_origins(native, false);
    retired.and(left).and(signals).and(origins).and(restore_hooks(native))
}

fn restore_hooks(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let hooks = native.get().settings.with(py, |settings| settings.saved.asyncgen_hooks.take());
    let Some(hooks) = hooks else { return Ok(()) };
    let hooks = hooks.into_bound(py);
    // Held, because CPython puts one of them back without a reference of its own where an audit hook refuses the other.
    let ours = imports::GET_ASYNCGEN_HOOKS.get(py)?.call0()?;
    let restored = imports::SET_ASYNCGEN_HOOKS.get(py)?.call1((hooks.get_item(0)?, hooks.get_item(1)?));
    drop(ours);
    restored.map(drop)
}

/// Raises `RuntimeError` unless the loop may begin to run in this thread, inside of what runs there if that is allowed.
fn require_idle(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    native.get().require_open()?;
    let allowed = nested::_nested_allowed();
    if native.get().is_running() && !(allowed && native.get().runs_here()) {
        return Err(nested::refusal("This event loop is already running"));
    }
    if !allowed && (running(py).is_some() || !imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?.is_none()) {
        return Err(nested::refusal("Cannot run the event loop while another loop is running"));
    }
    Ok(())
}

/// Turn after turn until `stop()`, which is for this run alone.
fn turns(native: &Bound<'_, Loop>) -> PyResult<()> {
    let mut turning = Turning::new(Events::with_capacity(EVENTS));
    let turn_until_stopped = || {
        loop {
            turning.turn(native, false)?;
            if turning.is_stopped(native) {
                return Ok(());
            }
        }
    };
    then_leave(turn_until_stopped, || native.get().stopping.store(false, Ordering::Relaxed)).0
}

/// What one run of a loop keeps from turn to turn.
pub(super) struct Turning {
    events: Events,
    first: bool,
    /// In a nested run: the items that wait for its end.
    deferred: Option<Vec<Item>>,
}

impl Turning {
    fn new(events: Events) -> Self {
        Self { events, first: true, deferred: None }
    }

    /// For a run inside of another one of the same loop.
    pub(super) fn nested(events: Events) -> Self {
        Self { deferred: Some(Vec::new()), ..Self::new(events) }
    }

    /// The items that waited for the end of a nested run.
    pub(super) fn take_deferred(&mut self) -> Vec<Item> {
        self.deferred.take().unwrap_or_default()
    }

    /// Whether `stop()` was called.
    #[inline]
    pub(super) fn is_stopped(&self, native: &Bound<'_, Loop>) -> bool {
        native.get().stopping.load(Ordering::Relaxed)
    }

    /// One turn; with `hurry` without a wait.
    #[inline]
    pub(super) fn turn(&mut self, native: &Bound<'_, Loop>, hurry: bool) -> PyResult<()> {
        let py = native.py();
        let state = native.get();
        flush(native)?;
        ask_for_signals(native)?;
        overrides::tell_time(native)?;
        wait(native, &mut self.events, self.first, hurry)?;
        self.first = false;
        overrides::tell_time(native)?;
        let batch = state.engine.with(py, |engine| engine.begin_turn());
        if let Some(deferred) = &mut self.deferred {
            run_nested_batch(native, batch, deferred)?;
        } else if state.debug() {
            debug::run_batch(native, batch)?;
        } else {
            for _ in 0..batch {
                let Some(item) = state.engine.with(py, |engine| engine.pop()) else { break };
                item.run(native)?;
                flush_if_much(native)?;
            }
        }
        state.tasks_have_run(&mut self.events);
        Ok(())
    }
}

/// Runs a batch of a nested run, one item after the other; what has to wait for the run's end goes to `deferred`.
fn run_nested_batch(native: &Bound<'_, Loop>, batch: usize, deferred: &mut Vec<Item>) -> PyResult<()> {
    let py = native.py();
    let state = native.get();
    for _ in 0..batch {
        let Some(item) = state.engine.with(py, |engine| engine.pop()) else { break };
        if nested::has_to_wait(py, &item) {
            deferred.push(item);
        } else if state.debug() {
            debug::run_item(native, item)?;
        } else {
            item.run(native)?;
            flush_if_much(native)?;
        }
    }
    Ok(())
}

/// Runs the Python handlers of signals that came, in each turn as asyncio does. Costs a few nanoseconds if none has.
///
/// A signal that came while Rust ran, or that `_thread.interrupt_main` pretends, interrupts no wait. And up to Python 3.12 the
/// interpreter doesn't tell the main thread of one that the system gave to another thread until it next takes the GIL,
/// which a busy loop keeps. A handler may queue something, or stop the loop, so it runs before the plan is made.
#[inline]
fn ask_for_signals(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    // Between two steps in a row the entry of the current task stays, which is cheaper; before a wait it has to go.
    if native.get().engine.with(py, |engine| engine.is_idle()) {
        current::retire(native)?;
    }
    py.check_signals()
}

/// Looks at the descriptors, and waits there if nothing is ready; with `hurry` it only looks.
#[inline]
fn wait(native: &Bound<'_, Loop>, events: &mut Events, first: bool, hurry: bool) -> PyResult<()> {
    let py = native.py();
    let state = native.get();
    // All that is ready comes in one turn; a descriptor counts once, and two are the reactor's own.
    events.make_room(state.reactor.watched() + 2);
    let plan = if hurry || state.stopping.load(Ordering::Relaxed) {
        Plan::Poll
    } else {
        let external = state.external_work();
        state.engine.with(py, |engine| engine.plan(external))
    };
    let outcome = match plan {
        Plan::Skip if !first => return Ok(()),
        Plan::Skip | Plan::Poll => state.reactor.wait(events, Wait::Now),
        Plan::Sleep(timeout) => {
            current::retire(native)?;
            if timeout == Wait::Now {
                state.reactor.wait(events, timeout)
            } else if state.profiler.is_there(py, state.engine.with(py, |engine| engine.clock.coarse()))? {
                profiled::sleep(native, events, timeout)?
            } else {
                state.sleep(py, events, timeout)
            }
        }
    };
    state.engine.with(py, |engine| engine.finish_wait());
    match outcome {
        Ok(()) => {
            if !events.is_empty() {
                state.engine.with(py, |engine| engine.saw_events());
            }
            descriptors::dispatch(native, events)?;
        }
        Err(interrupted) if interrupted.kind() == io::ErrorKind::Interrupted => {
            current::retire(native)?;
            py.check_signals()?;
        }
        Err(failure) => return Err(error::from_system(py, &failure)),
    }
    Ok(())
}

fn run_until_complete<'py>(
    native: &Bound<'py, Loop>,
    awaitable: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    require_idle(native)?;
    let made_here = !future::isfuture(&awaitable)?;
    let awaited = create::ensure_future(&awaitable, Some(native.as_any()))?;
    if made_here && let Some(task) = awaited.as_instance::<Task>() {
        // If the loop stops early, an exception says so: no second report is needed.
        task.get().task.with(py, |state| state.log_destroy_pending = false);
    }
    let outcome = if native.get().runs_here() {
        nested::turn_until_done(native, &awaited)
    } else {
        watch::watch(&awaited, native.as_any(), &STOP_WHEN_DONE)?;
        let (outcome, unwatched) = then_leave(
            || native.call_method0(intern!(py, "run_forever")),
            || watch::unwatch(&awaited, native.as_any(), &STOP_WHEN_DONE),
        );
        unwatched?;
        outcome.map(drop)
    };
    let done = watch::is_done(&awaited)?;
    if let Err(failure) = outcome {
        if made_here && done && !watch::is_cancelled(&awaited)? {
            // The coroutine raised what ends the loop: nobody else will ask the task for it.
            awaited.call_method0(intern!(py, "exception"))?;
        }
        return Err(failure);
    }
    if !done {
        return Err(PyRuntimeError::new_err("Event loop stopped before Future completed."));
    }
    awaited.call_method0(intern!(py, "result"))
}

static STOP_WHEN_DONE: Watch = Watch::new("_run_until_complete_cb", stop_when_done);

/// The done callback of `run_until_complete`: stops the loop, unless what ended the future leaves the loop anyway.
fn stop_when_done<'py>(native: &Bound<'py, PyAny>, done: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = native.py();
    let fatal = match done.as_instance::<Future>() {
        // It counts as retrieved: whoever runs the loop hears of it.
        Some(future) => match &future.get().take_notice(py) {
            Some(exception) => {
                error::ends_program(py, &PyErr::from_value(exception.bind(py).as_any().clone()))
            }
            None => false,
        },
        None => {
            !done.call_method0(intern!(py, "cancelled"))?.is_truthy()? && {
                let exception = done.call_method0(intern!(py, "exception"))?;
                !exception.is_none() && error::ends_program(py, &PyErr::from_value(exception))
            }
        }
    };
    if !fatal {
        native.call_method0(intern!(py, "stop"))?;
    }
    Ok(())
}

fn close(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let state = native.get();
    let before = state.engine.with(py, |_| {
        if state.is_running() { None } else { Some(state.closed.swap(true, Ordering::Relaxed)) }
    });
    match before {
        None => return Err(PyRuntimeError::new_err("Cannot close a running event loop")),
        Some(true) => return Ok(()),
        Some(false) => {}
    }
    if state.debug() {
        imports::LOGGER.get(py)?.call_method1(intern!(py, "debug"), ("Close %r", native))?;
    }
    signals::close(native)?;
    let queued = state.engine.with(py, |engine| (engine.ready.drain(), std::mem::take(&mut engine.timers)));
    let posted = state.inbox.close();
    let watched = state.descriptors.with(py, std::mem::take);
    let pending = state.tasks.with(py, std::mem::take);
    let reported = finalize::report_at_close(py, &pending);
    drop((queued, posted, watched, pending));
    let ended = executors::close(native);
    reported.and(ended)
}
