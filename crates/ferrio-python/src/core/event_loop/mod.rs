//! `Loop`: the event loop class. Each file has one family of its methods or one part of its state.
//!
//! `turn.rs` turns the loop and `run.rs` takes the thread for that; `running.rs` knows which loop runs in a thread.
//! `call.rs` schedules callbacks, `create.rs` makes futures and tasks, `debug.rs` reports. `descriptors.rs` knows what waits
//! for a file descriptor, `flush.rs` sends at the end of a turn what was written in it, `receive.rs` is where sockets
//! receive. `background.rs` counts calls in threads and lets the loop sleep. `views.rs` copies what is queued.
//!
//! The loop's state is private to this folder: `owned` is what the running thread works on, `shared` is what other threads
//! may touch, and `settings` is what is set rarely. The methods that need sockets, executors or transports are in
//! `loop_api`. The Python package adds `asyncio.AbstractEventLoop` as a base (`ferrio.EventLoop`).

mod background;
pub(crate) mod call;
mod create;
pub(crate) mod debug;
pub(crate) mod descriptors;
pub(crate) mod executors;
mod finalize;
mod flush;
mod item;
mod loop_ref;
pub(crate) mod nested;
mod overrides;
pub(crate) mod profiled;
pub(crate) mod receive;
mod run;
pub(crate) mod running;
pub(crate) mod sides;
pub(crate) mod signals;
mod turn;
mod views;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ferrio_engine::clock::Clock;
use ferrio_engine::inbox::Inbox;
use ferrio_engine::reactor::{Events, Reactor};
use ferrio_engine::turn::Engine;
use ferrio_engine::{OutOfMemory, ReadyQueue, Refused};
use pyo3::exceptions::{PyMemoryError, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

use self::background::Background;
use self::descriptors::Descriptors;
use self::executors::Executors;
use self::flush::Flushes;
pub(crate) use self::item::Item;
pub(crate) use self::loop_ref::LoopRef;
use self::overrides::Overrides;
use self::profiled::Profiler;
use self::receive::Receiving;
pub(crate) use self::running::{
    every_loop, get_running_loop, job_came_back, running, running_loop, with_running,
};
use self::signals::Signals;
use crate::base::arguments::truth;
use crate::base::class::Class;
use crate::base::error;
use crate::base::ffi::fastcall::Quick;
use crate::base::ffi::{Guarded, Leaf, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::{Traverse, gc};
use crate::core::task::current::Current;
use crate::core::task::registry::Registry;

/// ferrio's event loop; `ferrio.EventLoop` is this class as an `asyncio.AbstractEventLoop`.
///
/// With `virtual_time` the loop's clock jumps to the next deadline whenever nothing else is to be done: for tests.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct Loop {
    owned: Owned,
    shared: Shared,
    settings: Guarded<Settings>,
}

/// What the thread that runs the loop works on, in short looks. Others may look while it doesn't run.
struct Owned {
    /// Ready queue, timers, clock.
    engine: Leaf<Engine<Item>>,
    /// What waits for which file descriptor.
    descriptors: Guarded<Descriptors>,
    signals: Guarded<Signals>,
    receiving: Receiving,
    /// Room for the events of the next turn, between two turns of a run that goes through a subclass's `_run_once`.
    next_events: Guarded<Option<Events>>,
    /// What has something to send at the end of the turn.
    flushes: Guarded<Flushes>,
    current: Guarded<Current>,
    tasks: Guarded<Registry>,
    executors: Guarded<Executors>,
    profiler: Profiler,
}

/// What any thread may touch. No `Arc` around it: inbox and reactor have their own, and the flags live as long as the loop.
struct Shared {
    /// What other threads post.
    inbox: Arc<Inbox<Item>>,
    /// Waited on without the interpreter.
    reactor: Arc<Reactor>,
    /// The thread that runs the loop, 0 when none does. Set inside a look at the engine, as `closed` is.
    thread: AtomicU64,
    closed: AtomicBool,
    stopping: AtomicBool,
    debug: AtomicBool,
    /// Which methods a subclass or an attribute replaced.
    overrides: Overrides,
    /// What threads and processes do for the loop.
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

/// What is set rarely and read rarely.
struct Settings {
    exception_handler: Option<Py<PyAny>>,
    task_factory: Option<Py<PyAny>>,
    /// Seconds.
    slow_callback_duration: Py<PyAny>,
    asyncgens: Asyncgens,
    saved: Saved,
    /// In debug mode, the handle that runs.
    current_handle: Option<Py<PyAny>>,
    /// What the runs inside of the running one wait for, the innermost last.
    nested: Vec<Py<PyAny>>,
}

/// The asynchronous generators of a loop.
#[derive(Default)]
pub(crate) struct Asyncgens {
    /// A `weakref.WeakSet` of those in use, made with the first.
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
    slow_callback_duration,
    asyncgens,
    saved,
    current_handle,
    nested,
});
gc!(Saved { asyncgen_hooks, origin_depth });

#[pymethods]
impl Loop {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*args, virtual_time = false, **kwargs), text_signature = "(selector=None, *, virtual_time=False)")]
    fn new(
        class: &Bound<'_, PyType>,
        args: &Bound<'_, PyTuple>,
        #[pyo3(from_py_with = truth)] virtual_time: bool,
        kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        // A subclass's own `__init__` knows its further arguments; without one, the `__init__` here checks them.
        let (py, _) = (class.py(), (args, kwargs));
        let clock =
            if virtual_time { Clock::virtual_at(Clock::monotonic().now()) } else { Clock::monotonic() };
        let engine = Engine::new(clock).map_err(|failure| error::from_system(py, &failure))?;
        let (inbox, reactor) = (engine.inbox().clone(), engine.reactor().clone());
        let slow_callback_duration = 0.1_f64.into_pyobject(py)?.into_any().unbind();
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
                profiler: Profiler::default(),
            },
            shared: Shared {
                inbox,
                reactor,
                thread: AtomicU64::new(0),
                closed: AtomicBool::new(false),
                stopping: AtomicBool::new(false),
                debug: AtomicBool::new(debug::wanted_by_environment(py)?),
                overrides: Overrides::of_class::<Self>(class)?,
                background: Background::default(),
            },
            settings: Guarded::new(Settings {
                exception_handler: None,
                task_factory: None,
                slow_callback_duration,
                asyncgens: Asyncgens::default(),
                saved: Saved::default(),
                current_handle: None,
                nested: Vec::new(),
            }),
        })
    }

    /// A selector, which asyncio's loop may be given, isn't used: the loop waits by itself.
    #[pyo3(signature = (selector = None, *, virtual_time = false))]
    fn __init__(
        slf: &Bound<'_, Self>,
        selector: Option<&Bound<'_, PyAny>>,
        #[pyo3(from_py_with = truth)] virtual_time: bool,
    ) -> PyResult<()> {
        let _ = (selector, virtual_time);
        running::every_loop_set(slf.py())?.call_method1(intern!(slf.py(), "add"), (slf,))?;
        Ok(())
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
            // Perhaps the loop isn't written yet (see `base/gc.rs`): then there is no inbox.
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
        let tasks = self.owned.tasks.with(py, std::mem::take);
        drop(tasks);
        let current = self.owned.current.with(py, std::mem::take);
        drop(current);
        let executors = self.owned.executors.with(py, std::mem::take);
        drop(executors);
        let settings = self.settings.with(py, |settings| {
            let asyncgens = settings.asyncgens.in_use.take();
            (settings.exception_handler.take(), settings.task_factory.take(), asyncgens)
        });
        drop(settings);
    }
}

impl Loop {
    /// Which methods are not ours.
    #[inline]
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.shared.overrides
    }

    /// Whether debug mode is on.
    #[inline]
    pub(crate) fn debug(&self) -> bool {
        self.shared.debug.load(Ordering::Relaxed)
    }

    /// Where the loop receives.
    #[inline]
    pub(crate) fn receiving(&self) -> &Receiving {
        &self.owned.receiving
    }

    /// A look at what the loop has to do with signals.
    pub(crate) fn with_signals<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Signals) -> R) -> R {
        self.owned.signals.with(py, look)
    }

    /// Whether the descriptor of the loop's signals brings work, so that a busy loop must look at it.
    pub(crate) fn count_signals(&self, counted: bool) {
        self.shared.reactor.count(counted);
    }

    /// A look at the executors.
    pub(crate) fn with_executors<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Executors) -> R) -> R {
        self.owned.executors.with(py, look)
    }

    /// A look at what is known of the current task.
    #[inline]
    pub(crate) fn with_current<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Current) -> R) -> R {
        self.owned.current.with(py, look)
    }

    /// A look at the pending tasks.
    #[inline]
    pub(crate) fn with_tasks<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Registry) -> R) -> R {
        self.owned.tasks.with(py, look)
    }

    /// A look at the asynchronous generators.
    pub(crate) fn with_asyncgens<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Asyncgens) -> R) -> R {
        self.settings.with(py, |settings| look(&mut settings.asyncgens))
    }

    /// A job is out that will post to the loop; [`job_came_back`] counts it down.
    pub(crate) fn job_goes_out(&self) {
        self.shared.background.call_began();
    }

    /// A call is back, or could not be handed out. In the loop's thread.
    pub(crate) fn count_down(&self) {
        self.shared.background.call_ended();
    }

    /// One of the calls that are out is run by another process; [`Loop::slow_call_ended`] counts it down.
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

    /// Asks the loop to stop at the end of its turn, or takes that back.
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

    /// Sets the mark that `close()` sets, for a program that does so itself.
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

    /// Whether anything else waits for its turn, so that it could tell what runs at once from what waits too.
    #[inline]
    pub(crate) fn is_busy(&self, py: Python<'_>) -> bool {
        self.owned.engine.with(py, |engine| engine.is_busy())
    }

    /// Queues an item for the next turn; from another thread by the inbox.
    ///
    /// Raises `RuntimeError` on a closed loop, `MemoryError` if there is no room.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        self.require_open()?;
        let outcome = self.owned.engine.with(py, |engine| {
            // In one look: a loop that another thread starts meanwhile must not sleep over the item.
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
}

/// Drops an item for which there is no memory, and says so.
#[cold]
pub(super) fn no_room(py: Python<'_>, item: Item) -> PyErr {
    item.release(py);
    PyMemoryError::new_err(())
}
