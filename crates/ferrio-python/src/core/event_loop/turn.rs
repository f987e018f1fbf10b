//! One turn of the loop: wait for events, handle them, then run the batch of ready items.
//!
//! The engine decides what the next wait is (`ferrio_engine::turn`); `run.rs` and `nested.rs` decide how often the
//! loop turns.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ferrio_engine::clock::{Nanos, nanos_from_seconds};
use ferrio_engine::meter::Meter;
use ferrio_engine::reactor::{Events, Wait};
use ferrio_engine::recorder::{Kind, Ticker};
use ferrio_engine::turn::{Engine, Plan};
use pyo3::PyTypeInfo;
use pyo3::prelude::*;

use super::background::Bed;
use super::flush::{flush, flush_if_much};
use super::onlookers::{Counting, Nobody, Recording, RecordingStalls, Sampling, Show, Watching};
use super::patches::{Classes, Patches, Run};
use super::receive::EVENTS;
use super::virtual_clock::Quiet;
use super::{Item, Loop, debug, descriptors, modes, profiled};
use crate::base::ffi::context;
use crate::base::{error, imports};
use crate::core::handle::Handle;
use crate::core::task::current;

/// How long a loop that nothing can wake waits before it says so.
const STUCK_AFTER: Duration = Duration::from_secs(1);

/// What one run of a loop keeps from turn to turn.
pub(super) struct Turning {
    events: Events,
    first: bool,
    /// In a nested run: the items that wait for its end.
    deferred: Option<Vec<Item>>,
    quiet: Quiet,
}

impl Turning {
    pub(super) fn new() -> Self {
        Self::with(Events::with_capacity(EVENTS))
    }

    /// Reuses the room for events of an earlier run.
    pub(super) fn with(events: Events) -> Self {
        Self { events, first: true, deferred: None, quiet: Quiet::default() }
    }

    /// The room for events, for a later run.
    pub(super) fn into_events(self) -> Events {
        self.events
    }

    /// For a nested run of the same loop.
    pub(super) fn nested() -> Self {
        Self { deferred: Some(Vec::new()), ..Self::new() }
    }

    /// The items that waited for the end of a nested run.
    pub(super) fn take_deferred(&mut self) -> Vec<Item> {
        self.deferred.take().unwrap_or_default()
    }

    /// One turn; it doesn't wait if `hurry` is set.
    #[inline]
    pub(super) fn turn(&mut self, native: &Bound<'_, Loop>, hurry: bool) -> PyResult<()> {
        let py = native.py();
        flush(native)?;
        ask_for_signals(native)?;
        tell_time(native)?;
        wait(native, self, hurry)?;
        self.first = false;
        tell_time(native)?;
        let batch = native.get().owned.engine.with(py, |engine| engine.begin_turn());
        if let Some(deferred) = &mut self.deferred {
            run_nested_batch(native, batch, deferred)?;
        } else if !native.get().has_mode(modes::ANY) {
            run_batch(native, batch, &Nobody)?;
        } else if let Some(meter) = native.get().only_meter() {
            run_metered_batch(native, batch, meter)?;
        } else if native.get().has_mode(modes::ORDERED) {
            run_chosen_item(native)?;
        } else if !native.get().has_mode(modes::DEBUG | modes::TRACED | modes::JOURNALED) {
            run_shown_batch(native, batch)?;
        } else {
            run_debugged_batch(native, batch)?;
        }
        native.get().owned.receiving.tasks_have_run(&mut self.events);
        Ok(())
    }
}

/// Runs a batch of a loop that has no mode in which items take longer.
#[inline(always)]
fn run_batch(native: &Bound<'_, Loop>, batch: usize, show: &impl Show) -> PyResult<()> {
    let py = native.py();
    for _ in 0..batch {
        let Some(item) = native.get().owned.engine.with(py, |engine| engine.pop()) else { break };
        item.run(native, show)?;
        flush_if_much(native)?;
        show.between(|| native.get().show_ready(py));
    }
    Ok(())
}

/// Runs a batch of a loop at which somebody looks. Whoever looks alone has code of their own.
fn run_shown_batch(native: &Bound<'_, Loop>, batch: usize) -> PyResult<()> {
    const RECORDING_STALLS: u8 = modes::RECORDED | modes::WATCHED;
    let (progress, slot) = (native.get().progress(), native.get().recording());
    let modes = native.get().modes();
    if modes & modes::SHOWN != 0 {
        progress.goes_on(batch == 0);
    }
    match modes {
        modes::WATCHED => run_batch(native, batch, &Watching(progress)),
        modes::SAMPLED => run_batch(native, batch, &Sampling(progress)),
        modes::RECORDED => run_batch(native, batch, &Recording(slot)),
        RECORDING_STALLS => run_batch(native, batch, &RecordingStalls(Recording(slot), Watching(progress))),
        _ => run_batch_for_all(native, batch),
    }
}

fn run_metered_batch(native: &Bound<'_, Loop>, batch: usize, meter: &Meter) -> PyResult<()> {
    let show = Counting(meter);
    let mut left = batch;
    if meter.turn_begins() {
        left -= run_to_sample(native, batch, |count| run_batch(native, count, &show))?;
    }
    run_batch(native, left, &show)
}

/// Runs a batch of a loop at which several look.
#[inline(never)]
fn run_batch_for_all(native: &Bound<'_, Loop>, batch: usize) -> PyResult<()> {
    let Some(onlookers) = native.get().onlookers() else { return run_batch(native, batch, &Nobody) };
    let mut left = batch;
    if onlookers.meter.is_some_and(Meter::turn_begins) {
        left -= run_to_sample(native, batch, |count| run_batch(native, count, &onlookers))?;
    }
    run_batch(native, left, &onlookers)
}

/// For a meter: runs the items before the one that is sampled, if there is one, and notes how long that has waited.
/// Returns how many it ran. `run` runs so many.
#[cold]
fn run_to_sample(
    native: &Bound<'_, Loop>,
    batch: usize,
    run: impl FnOnce(usize) -> PyResult<()>,
) -> PyResult<usize> {
    let engine = &native.get().owned.engine;
    let Some(place) = engine.with(native.py(), |engine| engine.sample(batch)) else { return Ok(0) };
    run(place)?;
    engine.with(native.py(), Engine::note_delay);
    Ok(place)
}

/// Runs a batch of a loop whose items debug mode times, a tracer runs, or a journal has.
#[cold]
fn run_debugged_batch(native: &Bound<'_, Loop>, batch: usize) -> PyResult<()> {
    let run = native.get().runner(native.py());
    if batch > 0 {
        native.get().note_time(native.py());
    }
    native.get().progress().goes_on(batch == 0);
    let Some(onlookers) = native.get().onlookers() else {
        return run_items(native, batch, &Nobody, run.as_ref());
    };
    let run = |count| run_items(native, count, &onlookers, run.as_ref());
    let mut left = batch;
    if onlookers.meter.is_some_and(Meter::turn_begins) {
        left -= run_to_sample(native, batch, run)?;
    }
    run(left)
}

/// Runs the one item that a tester chooses; the next turn has all that is ready then.
#[cold]
fn run_chosen_item(native: &Bound<'_, Loop>) -> PyResult<()> {
    let run = native.get().runner(native.py());
    match Loop::pop_chosen(native)? {
        Some(item) => {
            native.get().note_item(native.py(), &item);
            run_item(native, item, &Nobody, run.as_ref())
        }
        None => Ok(()),
    }
}

fn run_items(native: &Bound<'_, Loop>, batch: usize, show: &impl Show, run: Option<&Run>) -> PyResult<()> {
    let py = native.py();
    for _ in 0..batch {
        let Some(item) = native.get().owned.engine.with(py, |engine| engine.pop()) else { break };
        native.get().note_item(py, &item);
        run_item(native, item, show, run)?;
        show.between(|| native.get().show_ready(py));
    }
    Ok(())
}

/// Runs an item of a loop that may have a mode.
#[inline]
fn run_item(native: &Bound<'_, Loop>, item: Item, show: &impl Show, run: Option<&Run>) -> PyResult<()> {
    if native.get().debug() {
        return debug::run_item(native, item, show, run);
    }
    item.run_by(native, show, run)?;
    flush_if_much(native)
}

/// Runs a batch of a nested run, one item after the other. Items that must wait for the run's end go to `deferred`.
fn run_nested_batch(native: &Bound<'_, Loop>, batch: usize, deferred: &mut Vec<Item>) -> PyResult<()> {
    let py = native.py();
    let run = native.get().runner(py);
    if let Some(meter) = native.get().meter() {
        meter.turn_begins();
    }
    for _ in 0..batch {
        let Some(item) = native.get().owned.engine.with(py, |engine| engine.pop()) else { break };
        if has_to_wait(py, &item) {
            deferred.push(item);
            continue;
        }
        native.get().note_item(py, &item);
        if let Some(onlookers) = native.get().onlookers() {
            run_item(native, item, &onlookers, run.as_ref())?;
        } else {
            run_item(native, item, &Nobody, run.as_ref())?;
        }
    }
    Ok(())
}

/// Runs the Python handlers of signals that came, in each turn as asyncio does. Costs a few nanoseconds if none has.
///
/// A signal that came while Rust ran, or that `_thread.interrupt_main` simulates, interrupts no wait. Up to Python
/// 3.12 there is another gap, when the system delivers a signal to another thread. The main thread only learns of it
/// when it next takes the GIL, and a busy loop never lets the GIL go. A handler may queue something, or stop the
/// loop, so it runs before the plan is made.
#[inline]
fn ask_for_signals(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    // Between two consecutive steps the current task's entry stays, which is cheaper; it must go before a wait.
    if native.get().owned.engine.with(py, |engine| engine.is_idle()) {
        current::retire(native)?;
    }
    py.check_signals()
}

/// Polls the descriptors, and waits if nothing is ready and `hurry` isn't set.
#[inline]
fn wait(native: &Bound<'_, Loop>, turning: &mut Turning, hurry: bool) -> PyResult<()> {
    let py = native.py();
    let Turning { events, first, quiet, .. } = turning;
    // All ready descriptors are reported in one turn. Each counts once, and two are the reactor's own.
    events.make_room(native.get().shared.reactor.watched() + 2);
    let plan = if hurry || native.get().stopping() {
        Plan::Poll
    } else {
        let external = native.get().shared.background.holds_clock();
        native.get().owned.engine.with(py, |engine| engine.plan(external))
    };
    let (mut suspected, mut asks) = (false, false);
    let outcome = match plan {
        Plan::Skip if !*first => return Ok(()),
        // Those of the run before.
        Plan::Skip => {
            events.clear();
            Ok(())
        }
        Plan::Poll => {
            native.get().record(py, Kind::Idle);
            native.get().shared.reactor.wait(events, Wait::Now)
        }
        Plan::Sleep(mut timeout) => {
            current::retire(native)?;
            asks = timeout == Wait::Forever && native.get().asks_when_stuck(py);
            if asks {
                timeout = if quiet.patience.is_zero() { Wait::Now } else { Wait::Until(quiet.patience) };
            } else if timeout == Wait::Forever
                && native.get().has_mode(modes::DEBUG | modes::WATCHED)
                && nothing_can_wake(native.get())
            {
                suspected = true;
                timeout = Wait::Until(STUCK_AFTER);
            }
            if timeout == Wait::Now {
                native.get().record(py, Kind::Idle);
                native.get().shared.reactor.wait(events, timeout)
            } else if native
                .get()
                .owned
                .profiler
                .is_there(py, native.get().owned.engine.with(py, |engine| engine.clock.coarse()))?
            {
                sleep_shown(native, events, timeout)?
            } else {
                sleep(py, native.get(), events, timeout)
            }
        }
    };
    native.get().owned.engine.with(py, |engine| engine.finish_wait());
    // Not in each turn: a busy loop polls only now and then.
    native.get().look_at_patches(py)?;
    match outcome {
        Ok(()) => {
            if suspected && events.is_empty() {
                say_stuck(native)?;
            }
            if asks && events.is_empty() && native.get().owned.engine.with(py, |engine| engine.is_idle()) {
                if let Some(ask) = native.get().when_stuck(py) {
                    quiet.ask(ask.bind(py), native, native.get().shared.reactor.watched())?;
                }
            } else if asks {
                *quiet = Quiet::default();
            }
            if !events.is_empty() {
                native.get().owned.engine.with(py, |engine| engine.saw_events());
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

impl Loop {
    /// Looks whether a program replaced methods of asyncio since the last look.
    #[inline]
    pub(super) fn look_at_patches(&self, py: Python<'_>) -> PyResult<()> {
        let handle = Handle::type_object(py);
        let classes = Classes::with(&handle)?;
        if self.settings.with(py, |settings| settings.patches.are_current(&classes)) {
            return Ok(());
        }
        let patches = Patches::look(&classes)?;
        self.set_mode(modes::TRACED, patches.run_handles());
        self.shared.overrides.set_standard_create_task(patches.make_tasks());
        let old = self.settings.with(py, |settings| std::mem::replace(&mut settings.patches, patches));
        drop(old);
        Ok(())
    }

    /// Whether the loop asks `_when_stuck` before it waits without a timer. Its own jobs will wake it.
    #[cold]
    fn asks_when_stuck(&self, py: Python<'_>) -> bool {
        !self.shared.background.has_calls()
            && self.settings.with(py, |settings| settings.when_stuck.is_some())
    }

    /// What a test wants to be asked when nothing is due.
    pub(super) fn when_stuck(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.settings.with(py, |settings| settings.when_stuck.as_ref().map(|ask| ask.clone_ref(py)))
    }

    /// What runs this loop's handles, if it isn't the loop.
    fn runner(&self, py: Python<'_>) -> Option<Run> {
        if !self.has_mode(modes::TRACED) {
            return None;
        }
        self.settings.with(py, |settings| settings.patches.run(py))
    }
}

/// Whether a loop that has no timer can be woken by nothing that it knows of, and hasn't said so yet.
#[cold]
fn nothing_can_wake(native: &Loop) -> bool {
    native.shared.reactor.watched() == 0
        && !native.shared.background.has_calls()
        && !native.progress().has_said_stuck()
}

/// Says that the loop has waited for nothing, unless something has come after all.
#[cold]
fn say_stuck(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    if native.get().stopping() || !native.get().owned.engine.with(py, |engine| engine.is_idle()) {
        return Ok(());
    }
    native.get().progress().says_stuck();
    match imports::LOOP_IS_STUCK.get(py).and_then(|say| say.call1((native,))) {
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => {
            failure.write_unraisable(py, Some(native.as_any()));
            Ok(())
        }
        Ok(_) => Ok(()),
    }
}

/// Detaches from the interpreter and waits for events.
fn sleep(py: Python<'_>, native: &Loop, events: &mut Events, timeout: Wait) -> io::Result<()> {
    let background = &native.shared.background;
    let threads = if background.has_calls() {
        native.owned.executors.with(py, |executors| executors.threads.clone())
    } else {
        None
    };
    let bed = Bed {
        inbox: &native.shared.inbox,
        reactor: &native.shared.reactor,
        threads,
        pulse: native.progress().pulse(),
        recorder: native.recorded().map(|_| Ticker::new()),
        meter: native.meter(),
    };
    native.record(py, Kind::Sleep);
    native.write_old_journal(py);
    let (outcome, awake) = background.sleep(py, &bed, events, timeout);
    if let Some(awake) = awake {
        native.record_wait_over(py, awake);
    }
    outcome
}

/// As `sleep`, by a call that a profiler sees. Raises what a signal's handler raises meanwhile.
#[cold]
fn sleep_shown(native: &Bound<'_, Loop>, events: &mut Events, timeout: Wait) -> PyResult<io::Result<()>> {
    let lent = Arc::new(Mutex::new((std::mem::replace(events, Events::with_capacity(1)), Ok(()))));
    let (sleeper, place) = (native.clone().unbind(), lent.clone());
    let called = profiled::shown(
        native.py(),
        Box::new(move |py| {
            let (events, outcome) = &mut *place.lock().unwrap_or_else(PoisonError::into_inner);
            *outcome = sleep(py, sleeper.get(), events, timeout);
        }),
    );
    let (slept, outcome) = &mut *lent.lock().unwrap_or_else(PoisonError::into_inner);
    std::mem::swap(events, slept);
    called.map(|()| std::mem::replace(outcome, Ok(())))
}

/// Tells the engine the current time for timers, if the program replaced the loop's `time`.
#[inline]
fn tell_time(native: &Bound<'_, Loop>) -> PyResult<()> {
    if native.get().overrides().time() { tell_own_time(native) } else { Ok(()) }
}

#[cold]
fn tell_own_time(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let time: f64 = native.call_method0(intern!(py, "time"))?.extract()?;
    // If the time is a NaN, everything is due, as for asyncio.
    let time = nanos_from_seconds(time).unwrap_or(Nanos::MAX);
    native.get().owned.engine.with(py, |engine| {
        // With asyncio's resolution: sums of seconds that ought to be equal may differ in the last bit. A virtual clock
        // jumps to what is missing, so it would be early.
        let resolution = Nanos::from(!engine.clock.is_virtual());
        engine.tell_time(Some(time.saturating_add(resolution)));
    });
    Ok(())
}

/// Whether `item` must wait because its context is entered further up the stack.
fn has_to_wait(py: Python<'_>, item: &Item) -> bool {
    item.context(py).is_some_and(|context| context::is_entered(&context))
}
