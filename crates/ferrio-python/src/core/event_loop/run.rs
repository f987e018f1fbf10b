//! Running the loop: `run_forever`, `run_until_complete`, `stop`, `close`, and what a run sets up and restores.

use std::sync::atomic::Ordering;

use ferrio_engine::reactor::Events;
use ferrio_engine::recorder::{End, Kind};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::executors::Executors;
use super::flush::flush;
use super::nested::{self, Outer};
use super::receive::EVENTS;
use super::running::set_running;
use super::turn::Turning;
use super::{Loop, debug, metered, progress, reactor, running, signals};
use crate::base::ffi::scope::then_leave;
use crate::base::ffi::{Cast, interpreter};
use crate::base::{error, imports};
use crate::core::future::callbacks::Watch;
use crate::core::future::{self, Future, watch};
use crate::core::task::registry::Registry;
use crate::core::task::{Task, create, current, finalize};

#[pymethods]
impl Loop {
    /// Run until `stop()` is called.
    ///
    /// Raises `RuntimeError` if a loop is running in this thread already, or if this one is closed.
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
    /// Raises `RuntimeError` if a loop is running in this thread already, if this one is closed, or if it is stopped
    /// before.
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

    /// Stop the loop at the end of the turn; what is ready already runs first. From another thread use
    /// `call_soon_threadsafe(loop.stop)`.
    fn stop(&self) {
        self.set_stopping(true);
        if !self.runs_here() {
            self.shared.inbox.wake();
        }
    }

    /// Return whether the loop runs, in any thread.
    #[pyo3(name = "is_running")]
    fn runs(&self) -> bool {
        self.is_running()
    }

    /// Return whether the loop was closed.
    fn is_closed(&self) -> bool {
        self.closed()
    }

    /// Close the loop and drop what is queued. Calling it again does nothing; a closed loop can't be used.
    ///
    /// Raises `RuntimeError` while the loop runs.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// The identifier of the thread that runs the loop, or `None`.
    #[getter]
    pub(super) fn _thread_id(&self) -> Option<u64> {
        Some(self.shared.thread.load(Ordering::Relaxed)).filter(|thread| *thread != 0)
    }

    /// For programs that turn the loop themselves by calling `_run_once` repeatedly.
    #[setter(_thread_id)]
    fn set_thread_id(&self, py: Python<'_>, thread: Option<u64>) {
        self.owned.engine.with(py, |_| self.shared.thread.store(thread.unwrap_or(0), Ordering::Relaxed));
    }

    /// One turn, whether the loop runs or not. `run_forever` calls it if a subclass has replaced it.
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
    let turn = |turning: &mut Turning| turning.turn(native, false);
    // The next turn of a run that goes through this method. A nested call finds nothing here.
    if native.get().runs_here()
        && let Some(events) = native.get().owned.next_events.with(py, Option::take)
    {
        let mut turning = Turning::with(events);
        let outcome = turn(&mut turning);
        native.get().owned.next_events.with(py, |place| *place = Some(turning.into_events()));
        return outcome;
    }
    if native.get().runs_here() {
        return nested::inside(native, turn);
    }
    // A program that drives the loop sets the standard library's running loop and `_thread_id`: both are restored.
    let said = imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?;
    let outer = if said.is(native) { None } else { Outer::set_aside(py)? };
    let here = interpreter::thread_id(py);
    let by_hand = native.get().owned.engine.with(py, |_| {
        native.get().shared.thread.compare_exchange(here, 0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    });
    let run = || run_alone(native, || turn(&mut Turning::new()));
    let leave = || {
        if by_hand {
            native.get().owned.engine.with(py, |_| native.get().shared.thread.store(here, Ordering::Relaxed));
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
        // What was written in the last turn is sent, whatever ended the turn.
        let flushed = flush(native);
        outcome.and(flushed)
    };
    let (outcome, ended) = then_leave(run, || end(py, native));
    outcome.and(ended)
}

/// Takes the thread: from here to `end` the loop is the running one. After an error, `end` restores what was taken.
fn begin(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    signals::begin(native)?;
    let firstiter = native.getattr(intern!(py, "_asyncgen_firstiter_hook"))?;
    let finalizer = native.getattr(intern!(py, "_asyncgen_finalizer_hook"))?;
    let hooks = imports::GET_ASYNCGEN_HOOKS.get(py)?.call0()?.unbind();
    let old = native.get().settings.with(py, |settings| settings.saved.asyncgen_hooks.replace(hooks));
    drop(old);
    imports::SET_ASYNCGEN_HOOKS.get(py)?.call1((firstiter, finalizer))?;
    if native.get().debug() {
        debug::track_origins(native, true)?;
        reactor::report(py, &native.get().shared.reactor)?;
    }
    if progress::is_announced() {
        imports::LOOP_BEGINS.get(py)?.call1((native,))?;
    }
    native.get().follow_recording(py)?;
    native.get().record_thread(py, None)?;
    native.get().progress().pulse().begin();
    metered::run_begins(native);
    set_running(py, Some(native))
}

/// Makes this thread the one that runs the loop. Raises `RuntimeError` if another thread runs it, or has closed it.
fn take_loop(py: Python<'_>, native: &Loop) -> PyResult<()> {
    let taken = native.owned.engine.with(py, |_| {
        let free = !native.closed() && !native.is_running();
        if free {
            native.shared.thread.store(interpreter::thread_id(py), Ordering::Relaxed);
        }
        free
    });
    if taken {
        return Ok(());
    }
    native.require_open()?;
    Err(PyRuntimeError::new_err("This event loop is already running"))
}

/// Restores what `begin` took, however the run ended.
fn end(py: Python<'_>, native: &Bound<'_, Loop>) -> PyResult<()> {
    let outcome = give_back(py, native);
    native.get().progress().pulse().end();
    native.get().record(py, Kind::Idle);
    metered::run_ends(native);
    // Last, because from now on another thread may run the loop.
    native.get().owned.engine.with(py, |_| native.get().shared.thread.store(0, Ordering::Relaxed));
    outcome
}

fn give_back(py: Python<'_>, native: &Bound<'_, Loop>) -> PyResult<()> {
    // Each of these is done, even if another one fails.
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
    // Kept alive: if an audit hook refuses one of them, CPython restores the other without a reference of its own.
    let ours = imports::GET_ASYNCGEN_HOOKS.get(py)?.call0()?;
    let restored = imports::SET_ASYNCGEN_HOOKS.get(py)?.call1((hooks.get_item(0)?, hooks.get_item(1)?));
    drop(ours);
    restored.map(drop)
}

/// Raises `RuntimeError` unless the loop may begin to run in this thread; a nested run needs permission.
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

/// Turn after turn until `stop()`, which only ends this run.
fn turns(native: &Bound<'_, Loop>) -> PyResult<()> {
    let turn_until_stopped = || {
        if native.get().overrides().run_once() {
            return turns_by_method(native);
        }
        let py = native.py();
        let place = &native.get().owned.next_events;
        let mut turning = place.with(py, Option::take).map_or_else(Turning::new, Turning::with);
        let outcome = loop {
            if let Err(failure) = turning.turn(native, false) {
                break Err(failure);
            }
            if native.get().stopping() {
                break Ok(());
            }
        };
        // For the next run, as large as a new one.
        place.with(py, |place| *place = Some(turning.into_events()));
        outcome
    };
    then_leave(turn_until_stopped, || native.get().set_stopping(false)).0
}

/// The same through the `_run_once` of a subclass, which calls ours for the turn itself.
#[cold]
fn turns_by_method(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let place = &native.get().owned.next_events;
    let turns = || {
        place.with(py, |place| *place = Some(Events::with_capacity(EVENTS)));
        loop {
            native.call_method0(intern!(py, "_run_once"))?;
            if native.get().stopping() {
                return Ok(());
            }
        }
    };
    let (outcome, left) = then_leave(turns, || place.with(py, Option::take));
    drop(left);
    outcome
}

/// Runs until `awaitable` is done; returns its result or raises its exception.
pub(crate) fn run_until_complete<'py>(
    native: &Bound<'py, Loop>,
    awaitable: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    require_idle(native)?;
    let made_here = !future::isfuture(&awaitable)?;
    let awaited = create::ensure_future(&awaitable, Some(native.as_any()))?;
    if made_here && let Some(task) = awaited.as_instance::<Task>() {
        // If the loop stops early, an exception says so; a second report isn't needed.
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
            // The coroutine raised what ends the loop: nothing else will retrieve it from the task.
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

/// The done callback of `run_until_complete`: stops the loop, unless the future's exception leaves the loop anyway.
fn stop_when_done<'py>(native: &Bound<'py, PyAny>, done: &Bound<'py, PyAny>) -> PyResult<()> {
    let py = native.py();
    let fatal = match done.as_instance::<Future>() {
        // It counts as retrieved, because the caller of `run_forever` gets it.
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
    let before = native.get().owned.engine.with(py, |_| {
        if native.get().is_running() {
            None
        } else {
            Some(native.get().shared.closed.swap(true, Ordering::Relaxed))
        }
    });
    match before {
        None => return Err(PyRuntimeError::new_err("Cannot close a running event loop")),
        Some(true) => return Ok(()),
        Some(false) => {}
    }
    if native.get().debug() {
        imports::LOGGER.get(py)?.call_method1(intern!(py, "debug"), ("Close %r", native))?;
    }
    signals::close(native)?;
    Loop::tell_closings(native)?;
    let queued = native
        .get()
        .owned
        .engine
        .with(py, |engine| (engine.ready.drain(), std::mem::take(&mut engine.timers)));
    let posted = native.get().shared.inbox.close();
    let watched = native.get().owned.descriptors.with(py, std::mem::take);
    let pending = native.get().owned.tasks.with(py, Registry::take);
    let sleepers = native.get().owned.sleepers.with(py, std::mem::take);
    if let Some(slot) = native.get().recorded() {
        pending.iter().for_each(|task| Task::record_end(slot, task.bind(py), End::Abandoned));
    }
    native.get().stop_recording(py);
    native.get().end_journal(py);
    let reported = finalize::report_at_close(py, &pending);
    drop((queued, posted, watched, pending, sleepers));
    let executors =
        native.get().owned.executors.with(py, |executors| std::mem::replace(executors, Executors::closed()));
    let ended = executors.shut_down(py);
    reported.and(ended).and(metered::closed(native))
}
