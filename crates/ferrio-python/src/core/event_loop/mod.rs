//! `Loop`: the event loop class. Each file has one family of its methods or one part of its state.
//!
//! `turn.rs` turns the loop and `run.rs` takes the thread for that; `running.rs` knows which loop runs in a thread.
//! `call.rs` schedules callbacks, `create.rs` makes futures and tasks, `debug.rs` reports. `descriptors.rs` knows
//! what waits for a file descriptor. `flush.rs` sends at the end of a turn what was written during it. `receive.rs`
//! has the buffer for receiving. `reactor.rs` chooses how the loop waits. `journaled.rs` notes what runs, and
//! `followed.rs` runs the same again. `sleepers.rs` has the operations that any thread may wake, and `watches.rs` what
//! extension modules watch. `virtual_clock.rs` is for tests. `background.rs` counts calls in threads and lets the
//! loop sleep. `views.rs` copies what is queued. `patches.rs` obeys what tracers put in place of asyncio's methods.
//!
//! The loop's state is private to this folder. `owned` is what the running thread works on, `shared` is what other
//! threads may touch, and `settings` is what is rarely set. The methods that need sockets, executors or transports
//! are in `loop_api`. The Python package adds `asyncio.AbstractEventLoop` as a base (`ferrio.EventLoop`).

mod background;
pub(crate) mod call;
pub(crate) mod chosen;
mod create;
pub(crate) mod debug;
pub(crate) mod descriptors;
pub(crate) mod executors;
mod finalize;
mod flush;
mod followed;
mod foreign;
mod item;
mod journaled;
mod loop_ref;
pub(crate) mod metered;
mod modes;
pub(crate) mod nested;
pub(crate) mod onlookers;
mod ordered;
mod overrides;
mod patches;
pub(crate) mod profiled;
pub(crate) mod progress;
mod reactor;
pub(crate) mod receive;
mod recorded;
mod renew;
pub(crate) mod run;
pub(crate) mod running;
mod sampled;
pub(crate) mod samples;
pub(crate) mod sides;
pub(crate) mod signals;
pub(crate) mod sleepers;
mod traffic;
mod turn;
mod views;
pub(crate) mod virtual_clock;
pub(crate) mod watches;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use ferrio_engine::inbox::Inbox;
use ferrio_engine::meter::Meter;
use ferrio_engine::reactor::{Events, Reactor};
use ferrio_engine::turn::Engine;
use ferrio_engine::{ReadyQueue, Sleepers};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit};

use self::background::Background;
use self::chosen::Chosen;
use self::descriptors::Descriptors;
use self::executors::Executors;
use self::flush::Flushes;
use self::foreign::Watched;
pub(crate) use self::item::Item;
pub(crate) use self::loop_ref::LoopRef;
use self::onlookers::Onlookers;
use self::overrides::Overrides;
use self::patches::Patches;
use self::profiled::Profiler;
use self::progress::Progress;
use self::receive::Receiving;
pub(crate) use self::running::{
    every_loop, get_running_loop, job_came_back, running, running_loop, with_running,
};
use self::signals::Signals;
use self::traffic::Traffic;
use crate::base::class::Class;
use crate::base::ffi::fastcall::Quick;
use crate::base::ffi::{Guarded, Leaf, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::{Traverse, gc};
use crate::base::journal;
use crate::base::recording::Slot;
use crate::core::operation::Operation;
use crate::core::task::current::Current;
use crate::core::task::registry::Registry;

/// ferrio's event loop; `ferrio.EventLoop` is this class as an `asyncio.AbstractEventLoop`.
///
/// With `virtual_time`, which is for tests, the clock jumps to the next deadline whenever there is nothing else to
/// do.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct Loop {
    owned: Owned,
    shared: Shared,
    settings: Guarded<Settings>,
}

/// State of the thread that runs the loop, borrowed briefly. Other threads may borrow it while the loop doesn't run.
struct Owned {
    /// Ready queue, timers, clock.
    engine: Leaf<Engine<Item>>,
    /// What waits for which file descriptor.
    descriptors: Guarded<Descriptors>,
    signals: Guarded<Signals>,
    receiving: Receiving,
    /// Room for the events of the next run, or of the next turn if a subclass has its own `_run_once`.
    next_events: Guarded<Option<Events>>,
    /// Objects that have something to send at the end of the turn.
    flushes: Guarded<Flushes>,
    current: Guarded<Current>,
    tasks: Guarded<Registry>,
    executors: Guarded<Executors>,
    /// Operations that other threads may wake.
    sleepers: Guarded<Sleepers<Py<Operation>>>,
    /// Extensions that want to know when the loop is closed.
    closings: Guarded<Vec<Watched>>,
    /// Who chooses what runs next, if not the loop.
    chosen: Guarded<Option<Chosen>>,
    /// What it notes, or follows.
    journal: journal::Slot,
    profiler: Profiler,
    recording: Slot,
    traffic: Traffic,
}

/// State that any thread may touch. It needs no `Arc`: inbox and reactor have their own, and the flags live as long
/// as the loop.
struct Shared {
    /// What other threads post.
    inbox: Arc<Inbox<Item>>,
    /// Waited on while detached.
    reactor: Arc<Reactor>,
    /// The thread that runs the loop, 0 if none does. Set while the engine is borrowed, like `closed`.
    thread: AtomicU64,
    closed: AtomicBool,
    stopping: AtomicBool,
    /// Who looks at what runs: bits of `modes`.
    modes: AtomicU8,
    /// What a watchdog sees.
    progress: Arc<Progress>,
    /// What is counted from the first time on that metering is turned on.
    meter: OnceLock<Arc<Meter>>,
    /// Which methods a subclass or an attribute replaced.
    overrides: Overrides,
    /// What threads and processes are doing for the loop.
    background: Background,
}

impl Class for Loop {}

impl Functions for Loop {
    const COROUTINES: &'static [&'static str] = &[
        "getaddrinfo",
        "getnameinfo",
        "shutdown_asyncgens",
        "shutdown_default_executor",
        "sock_accept",
        "sock_connect",
        "sock_recv",
        "sock_recv_into",
        "sock_recvfrom",
        "sock_recvfrom_into",
        "sock_sendall",
        "sock_sendfile",
        "sock_sendto",
    ];
    const QUICK: &'static [Quick] = call::QUICK;
}

/// State that is rarely set and rarely read.
struct Settings {
    exception_handler: Option<Py<PyAny>>,
    task_factory: Option<Py<PyAny>>,
    /// What makes the tasks, if that is an eager task factory.
    eager_constructor: Option<Py<PyAny>>,
    /// What a program put in place of asyncio's methods.
    patches: Patches,
    /// Seconds.
    slow_callback_duration: Py<PyAny>,
    asyncgens: Asyncgens,
    saved: Saved,
    /// In debug mode, the handle that is running.
    current_handle: Option<Py<PyAny>>,
    /// What the nested runs wait for, the innermost last.
    nested: Vec<Py<PyAny>>,
    /// Called when the loop has nothing to do and no timer.
    when_stuck: Option<Py<PyAny>>,
}

/// The asynchronous generators of a loop.
#[derive(Default)]
pub(crate) struct Asyncgens {
    /// A `weakref.WeakSet` of those in use, made for the first one.
    pub(crate) in_use: Option<Py<PyAny>>,
    /// `shutdown_asyncgens()` was called.
    pub(crate) closed: bool,
}

gc!(Asyncgens { in_use } not { closed });

/// What `run_forever` restores when it ends.
#[derive(Default)]
struct Saved {
    asyncgen_hooks: Option<Py<PyAny>>,
    /// The depth of coroutine origin tracking before debug mode raised it.
    origin_depth: Option<Py<PyAny>>,
}

gc!(Settings {
    exception_handler,
    task_factory,
    eager_constructor,
    patches,
    slow_callback_duration,
    asyncgens,
    saved,
    current_handle,
    nested,
    when_stuck,
});
gc!(Saved { asyncgen_hooks, origin_depth });

#[pymethods]
impl Loop {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*args, virtual_time = None, **kwargs), text_signature = "(selector=None, *, virtual_time=False)")]
    fn new(
        class: &Bound<'_, PyType>,
        args: &Bound<'_, PyTuple>,
        virtual_time: Option<&Bound<'_, PyAny>>,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        // A subclass's own `__init__` knows its additional arguments; otherwise the `__init__` here checks them.
        let (py, _) = (class.py(), (args, kwargs));
        let engine = Engine::on(reactor::new(py)?, virtual_clock::clock_of(virtual_time)?);
        let (inbox, reactor) = (engine.inbox().clone(), engine.reactor().clone());
        Ok(Self {
            owned: Owned {
                engine: Leaf::new(engine),
                descriptors: Guarded::new(Descriptors::default()),
                signals: Guarded::new(Signals::default()),
                receiving: Receiving::new(),
                next_events: Guarded::new(None),
                flushes: Guarded::new(Flushes::default()),
                current: Guarded::new(Current::default()),
                tasks: Guarded::new(Registry::default()),
                executors: Guarded::new(Executors::default()),
                sleepers: Guarded::new(Sleepers::new()),
                closings: Guarded::new(Vec::new()),
                chosen: Guarded::new(None),
                journal: journal::Slot::new(),
                profiler: Profiler::default(),
                recording: Slot::new(),
                traffic: Traffic::default(),
            },
            shared: Shared {
                inbox,
                reactor,
                thread: AtomicU64::new(0),
                closed: AtomicBool::new(false),
                stopping: AtomicBool::new(false),
                modes: AtomicU8::new(if debug::wanted_by_environment(py)? { modes::DEBUG } else { 0 }),
                progress: Progress::new(),
                meter: OnceLock::new(),
                overrides: Overrides::of_class::<Self>(class)?,
                background: Background::default(),
            },
            settings: Guarded::new(Settings {
                exception_handler: None,
                task_factory: None,
                eager_constructor: None,
                patches: Patches::default(),
                slow_callback_duration: debug::usual_slow_callback_duration(py)?,
                asyncgens: Asyncgens::default(),
                saved: Saved::default(),
                current_handle: None,
                nested: Vec::new(),
                when_stuck: None,
            }),
        })
    }

    /// asyncio's loop accepts a selector. It isn't used here: the loop waits in its own way.
    #[pyo3(signature = (selector = None, *, virtual_time = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        selector: Option<&Bound<'_, PyAny>>,
        virtual_time: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (selector, virtual_time);
        running::every_loop_set(slf.py())?.call_method1(intern!(slf.py(), "add"), (slf,))?;
        slf.get().follow_recording(slf.py())?;
        slf.get().begin_journal(slf.py())?;
        slf.get().look_at_patches(slf.py())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let word = |flag: bool| if flag { "True" } else { "False" };
        let native = slf.get();
        Ok(format!(
            "<{} running={} closed={} debug={}>",
            slf.get_type().name()?,
            word(native.is_running()),
            word(native.closed()),
            word(native.debug()),
        ))
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        interpreter::set_attribute(slf.as_any(), name, Some(value))?;
        slf.get().shared.overrides.note(name);
        Ok(())
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        interpreter::set_attribute(slf.as_any(), name, None)?;
        slf.get().shared.overrides.refresh::<Self>(slf.as_any())?;
        if !slf.get().overrides().time() {
            slf.get().owned.engine.with(slf.py(), |engine| engine.tell_time(None));
        }
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if !self.settings.is_idle() {
            // The loop may not be written yet (see `base/gc.rs`); then there is no inbox.
            return Ok(());
        }
        self.owned.engine.visit(&visit, |engine| {
            engine.ready.iter().try_for_each(|item| item.traverse(&visit))?;
            engine.timers.iter().try_for_each(|item| item.traverse(&visit))
        })?;
        self.shared.inbox.visit(|item| item.traverse(&visit))?;
        self.owned.descriptors.traverse(&visit)?;
        self.owned.signals.traverse(&visit)?;
        self.owned.flushes.traverse(&visit)?;
        self.owned.current.visit(&visit, |current| current.task.traverse(&visit))?;
        self.owned.tasks.traverse(&visit)?;
        self.owned.executors.traverse(&visit)?;
        self.owned.chosen.traverse(&visit)?;
        self.owned.journal.traverse(&visit)?;
        self.owned
            .sleepers
            .visit(&visit, |sleepers| sleepers.iter().try_for_each(|operation| operation.traverse(&visit)))?;
        self.settings.traverse(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        let queued =
            self.owned.engine.with(py, |engine| (engine.ready.drain(), std::mem::take(&mut engine.timers)));
        drop(queued);
        let mut posted = ReadyQueue::new();
        self.shared.inbox.take(&mut posted);
        drop(posted);
        let table = self.owned.descriptors.with(py, std::mem::take);
        drop(table);
        let signals = self.owned.signals.with(py, std::mem::take);
        drop(signals);
        let flushes = self.owned.flushes.with(py, std::mem::take);
        drop(flushes);
        let tasks = self.owned.tasks.with(py, Registry::take);
        drop(tasks);
        let current = self.owned.current.with(py, std::mem::take);
        drop(current);
        let executors = self.owned.executors.with(py, std::mem::take);
        drop(executors);
        let sleepers = self.owned.sleepers.with(py, std::mem::take);
        drop(sleepers);
        let closings = self.owned.closings.with(py, std::mem::take);
        drop(closings);
        let settings = self.settings.with(py, |settings| {
            (
                settings.exception_handler.take(),
                settings.task_factory.take(),
                settings.eager_constructor.take(),
                std::mem::take(&mut settings.patches),
                settings.asyncgens.in_use.take(),
            )
        });
        drop(settings);
    }
}

impl Loop {
    /// Which methods a program replaced.
    #[inline]
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.shared.overrides
    }

    /// Whether debug mode is on.
    #[inline]
    pub(crate) fn debug(&self) -> bool {
        self.has_mode(modes::DEBUG)
    }

    /// Whether anything but the loop itself has to do with what events cause.
    #[inline]
    fn shows_events(&self) -> bool {
        self.has_mode(modes::SHOWING_EVENTS)
    }

    /// Those who look at the loop's items; `None` if nobody does.
    #[inline]
    fn onlookers(&self) -> Option<Onlookers<'_>> {
        if !self.has_mode(modes::LOOKED_AT) {
            return None;
        }
        Some(Onlookers {
            progress: self.has_mode(modes::SHOWN).then(|| &**self.progress()),
            meter: self.meter(),
            recorder: self.recorded(),
        })
    }

    /// The modes that are on.
    #[inline]
    fn modes(&self) -> u8 {
        self.shared.modes.load(Ordering::Relaxed)
    }

    /// Whether any of these modes is on.
    #[inline]
    fn has_mode(&self, modes: u8) -> bool {
        self.modes() & modes != 0
    }

    fn set_mode(&self, mode: u8, on: bool) {
        if on {
            self.shared.modes.fetch_or(mode, Ordering::Relaxed);
        } else {
            self.shared.modes.fetch_and(!mode, Ordering::Relaxed);
        }
    }

    /// What a watchdog sees of the loop.
    #[inline]
    pub(crate) fn progress(&self) -> &Arc<Progress> {
        &self.shared.progress
    }

    /// From the next turn on, the loop shows what it runs, or no longer does.
    pub(crate) fn set_watched(&self, watched: bool) {
        self.set_mode(modes::WATCHED, watched);
    }

    /// The buffer in which the loop receives.
    #[inline]
    pub(crate) fn receiving(&self) -> &Receiving {
        &self.owned.receiving
    }

    /// Calls `look` with the loop's state of signals.
    pub(crate) fn with_signals<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Signals) -> R) -> R {
        self.owned.signals.with(py, look)
    }

    /// Whether the descriptor of the loop's signals brings work, so that a busy loop must poll it.
    pub(crate) fn count_signals(&self, counted: bool) {
        self.shared.reactor.count(counted);
    }

    /// Calls `look` with the executors.
    pub(crate) fn with_executors<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Executors) -> R) -> R {
        self.owned.executors.with(py, look)
    }

    /// Calls `look` with the record of the current task.
    #[inline]
    pub(crate) fn with_current<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Current) -> R) -> R {
        self.owned.current.with(py, look)
    }

    /// Calls `look` with the pending tasks.
    #[inline]
    pub(crate) fn with_tasks<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Registry) -> R) -> R {
        self.owned.tasks.with(py, look)
    }

    /// Calls `look` with the asynchronous generators.
    pub(crate) fn with_asyncgens<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Asyncgens) -> R) -> R {
        self.settings.with(py, |settings| look(&mut settings.asyncgens))
    }

    /// A job has been handed out that will post to the loop; [`job_came_back`] counts it down.
    pub(crate) fn job_goes_out(&self) {
        self.shared.background.call_began();
    }

    /// A call has ended, or couldn't be started. Called in the loop's thread.
    pub(crate) fn count_down(&self) {
        self.shared.background.call_ended();
    }

    /// The loop's clock if it is virtual.
    pub(crate) fn virtual_clock(&self, py: Python<'_>) -> Option<virtual_clock::VirtualClock> {
        virtual_clock::VirtualClock::of(self.owned.engine.with(py, |engine| engine.clock.clone()))
    }

    /// A child that holds a virtual clock stands still until the loop's own time has come. It no longer does after it
    /// was killed.
    pub(crate) fn child_stands_still(&self, pid: i32, begins: bool) {
        self.shared.background.stands_still(pid, begins);
    }

    /// One of the jobs that hold a virtual clock waits for the loop's own time from now on, or no longer does.
    pub(crate) fn job_idles(&self, begins: bool) {
        self.shared.background.idles(begins);
    }

    /// A child is being started, or runs; [`Loop::child_ended`] counts it down. It holds a virtual clock.
    pub(crate) fn child_began(&self) {
        self.shared.background.child_began();
    }

    /// A child has ended, or its start has. Called in the loop's thread.
    pub(crate) fn child_ended(&self) {
        self.shared.background.child_ended();
    }

    /// Another process runs one of the calls in progress; [`Loop::slow_call_ended`] counts it down.
    pub(crate) fn slow_call_began(&self) {
        self.shared.background.slow_call_began();
    }

    /// Such a call has ended, or nothing waits for it any more.
    pub(crate) fn slow_call_ended(&self) {
        self.shared.background.slow_call_ended();
    }

    /// Whether `stop()` was called in this run.
    #[inline]
    pub(crate) fn stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }

    /// Asks the loop to stop at the end of its turn, or withdraws that.
    pub(crate) fn set_stopping(&self, stopping: bool) {
        self.shared.stopping.store(stopping, Ordering::Relaxed);
    }

    /// Whether the loop runs, in any thread.
    #[inline]
    pub(crate) fn is_running(&self) -> bool {
        self.shared.thread.load(Ordering::Relaxed) != 0
    }

    /// Where other threads post.
    pub(crate) fn inbox(&self) -> Arc<Inbox<Item>> {
        self.shared.inbox.clone()
    }

    /// Whether `close()` was called.
    #[inline]
    pub(crate) fn closed(&self) -> bool {
        self.shared.closed.load(Ordering::Relaxed)
    }

    /// Sets the flag that `close()` sets, for a program that does so itself.
    pub(crate) fn mark_closed(&self, py: Python<'_>, closed: bool) {
        self.owned.engine.with(py, |_| self.shared.closed.store(closed, Ordering::Relaxed));
    }

    /// Raises `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn require_open(&self) -> PyResult<()> {
        if self.closed() { Err(PyRuntimeError::new_err("Event loop is closed")) } else { Ok(()) }
    }

    /// Whether this very thread runs the loop.
    #[inline]
    pub(crate) fn runs_here(&self) -> bool {
        running::is_running_here(self)
    }

    /// Whether anything else is ready.
    #[inline]
    fn has_company(&self, py: Python<'_>) -> bool {
        self.owned.engine.with(py, |engine| engine.is_busy())
    }
}

/// Drops an item for which there is no memory, and reports that.
#[cold]
pub(super) fn no_room(py: Python<'_>, item: Item) -> PyErr {
    item.release(py);
    PyMemoryError::new_err(())
}
