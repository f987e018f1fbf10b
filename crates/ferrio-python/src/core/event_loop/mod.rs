//! `Loop`: the event loop class, in one file a family of methods.
//!
//! `run.rs` turns the loop, `call.rs` schedules callbacks, `create.rs` makes futures and tasks, `debug.rs` reports,
//! `asyncgens.rs` looks after asynchronous generators, `executor.rs` hands blocking calls to threads and processes,
//! `away.rs` counts them and lets the loop sleep. `descriptors.rs` knows who waits for a file descriptor; `readers.rs`,
//! `sock*.rs`, `sendfile.rs` and `signals.rs` are who may wait there, `transports.rs` makes transports, `flush.rs` lets them
//! send at the end of a turn, `received.rs` is where they receive. `resolve.rs` turns names into addresses. `views.rs` shows tools what asyncio's loop has in private attributes. The Python
//! package adds `asyncio.AbstractEventLoop` as a base (`ferrio.EventLoop`). Which loop runs in this thread is kept here.

mod away;
pub(crate) mod call;
mod create;
pub(crate) mod debug;
pub(crate) mod descriptors;
pub(crate) mod executors;
mod finalize;
pub(crate) mod flush;
mod item;
pub(crate) mod nested;
mod overrides;
pub(crate) mod profiled;
pub(crate) mod received;
mod reference;
pub(crate) mod run;
pub(crate) mod sides;
pub(crate) mod signals;

use ferrio_engine::{OutOfMemory, ReadyQueue, Refused};
use pyo3::exceptions::PyMemoryError;
use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use ferrio_engine::clock::Clock;
use ferrio_engine::inbox::Inbox;
use ferrio_engine::reactor::Reactor;
use ferrio_engine::turn::Engine;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple, PyType};
use pyo3::{PyTraverseError, PyVisit, intern};

pub(crate) use self::away::job_came_back;
use self::descriptors::Descriptors;
use self::flush::Flushes;
pub(crate) use self::item::Item;
use self::overrides::Overrides;
pub(crate) use self::reference::LoopRef;
use self::signals::Signals;
use crate::base::class::Class;
use crate::base::ffi::fastcall::Quick;
use crate::base::ffi::{Guarded, Leaf, interpreter};
use crate::base::functions::Functions;
use crate::base::whole::truth;
use crate::base::{error, imports};
use crate::core::task::current::Current;
use crate::core::task::registry::Registry;

/// ferrio's event loop; `ferrio.EventLoop` is this class as an `asyncio.AbstractEventLoop`.
///
/// With `virtual_time` the loop's clock jumps to the next deadline whenever nothing else is to be done: for tests.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct Loop {
    /// Ready queue, timers, clock: only the attached thread's, in short looks.
    pub(crate) engine: Leaf<Engine<Item>>,
    /// What other threads post.
    pub(crate) inbox: Arc<Inbox<Item>>,
    /// Waited on without the interpreter.
    pub(crate) reactor: Arc<Reactor>,
    /// Who waits for which file descriptor.
    pub(crate) descriptors: Guarded<Descriptors>,
    pub(crate) signals: Guarded<Signals>,
    /// Where sockets receive; empty until the first one does.
    pub(crate) received: Leaf<Vec<u8>>,
    /// How many bytes streams were given in this turn.
    pub(crate) handed_out: AtomicUsize,
    /// How many events of this turn were left for later because of that.
    pub(crate) put_off: AtomicUsize,
    /// How many events the next look at the descriptors takes.
    pub(crate) look: AtomicUsize,
    /// Who has something to send at the end of the turn.
    pub(crate) flushes: Guarded<Flushes>,
    /// Which methods a subclass or an attribute replaced.
    pub(crate) overrides: Overrides,
    /// The thread that runs the loop, 0 when none does. Set inside a look at the engine, as `closed` is.
    pub(crate) thread: AtomicU64,
    pub(crate) closed: AtomicBool,
    pub(crate) stopping: AtomicBool,
    pub(crate) debug: AtomicBool,
    pub(crate) current: Guarded<Current>,
    pub(crate) tasks: Guarded<Registry>,
    pub(crate) settings: Guarded<Settings>,
    pub(crate) executors: Guarded<executors::Executors>,
    /// What threads and processes do for the loop.
    pub(crate) away: away::Away,
    pub(crate) profiler: profiled::Profiler,
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
pub(crate) struct Settings {
    pub(crate) exception_handler: Option<Py<PyAny>>,
    pub(crate) task_factory: Option<Py<PyAny>>,
    /// Seconds.
    pub(crate) slow_callback_duration: Py<PyAny>,
    /// A `weakref.WeakSet` of the asynchronous generators in use, made with the first.
    pub(crate) asyncgens: Option<Py<PyAny>>,
    pub(crate) asyncgens_closed: bool,
    /// What `run_forever` has to restore.
    pub(crate) saved: run::Saved,
    /// In debug mode, the handle that runs.
    pub(crate) current_handle: Option<Py<PyAny>>,
    /// What the runs inside of the running one wait for, the innermost last.
    pub(crate) nested: Vec<Py<PyAny>>,
}

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
        // What a subclass takes besides, its own `__init__` knows; without one, the `__init__` here looks at them.
        let (py, _) = (class.py(), (args, kwargs));
        let clock =
            if virtual_time { Clock::virtual_at(Clock::monotonic().now()) } else { Clock::monotonic() };
        let engine = Engine::new(clock).map_err(|failure| error::from_system(py, &failure))?;
        let (inbox, reactor) = (engine.inbox().clone(), engine.reactor().clone());
        let slow_callback_duration = 0.1_f64.into_pyobject(py)?.into_any().unbind();
        Ok(Self {
            engine: Leaf::new(engine),
            inbox,
            reactor,
            descriptors: Guarded::new(Descriptors::default()),
            signals: Guarded::new(Signals::default()),
            received: Leaf::new(Vec::new()),
            handed_out: AtomicUsize::new(0),
            put_off: AtomicUsize::new(0),
            look: AtomicUsize::new(run::EVENTS),
            flushes: Guarded::new(Flushes::default()),
            overrides: Overrides::of_class(class)?,
            thread: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            debug: AtomicBool::new(debug::wanted_by_environment(py)?),
            current: Guarded::new(Current::default()),
            tasks: Guarded::new(Registry::default()),
            settings: Guarded::new(Settings {
                exception_handler: None,
                task_factory: None,
                slow_callback_duration,
                asyncgens: None,
                asyncgens_closed: false,
                saved: run::Saved::default(),
                current_handle: None,
                nested: Vec::new(),
            }),
            executors: Guarded::new(executors::Executors::default()),
            away: away::Away::default(),
            profiler: profiled::Profiler::default(),
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
        every_loop_set(slf.py())?.call_method1(intern!(slf.py(), "add"), (slf,))?;
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
        slf.get().overrides.note(name);
        Ok(())
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        interpreter::set_attribute(slf.as_any(), name, None)?;
        Overrides::refresh(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.engine.visit(&visit, |engine| {
            engine.ready.iter().try_for_each(|item| item.traverse(&visit))?;
            engine.timers.iter().try_for_each(|item| item.traverse(&visit))
        })?;
        self.inbox.visit(|item| item.traverse(&visit))?;
        self.descriptors.visit(&visit, |table| table.traverse(&visit))?;
        self.signals.visit(&visit, |signals| signals.traverse(&visit))?;
        self.flushes.visit(&visit, |flushes| flushes.traverse(&visit))?;
        self.current.visit(&visit, |current| visit.call(&current.task))?;
        self.tasks.visit(&visit, |tasks| tasks.traverse(&visit))?;
        self.executors.visit(&visit, |executors| executors.traverse(&visit))?;
        self.settings.visit(&visit, |settings| {
            visit.call(&settings.exception_handler)?;
            visit.call(&settings.task_factory)?;
            visit.call(&settings.slow_callback_duration)?;
            visit.call(&settings.asyncgens)?;
            settings.nested.iter().try_for_each(|awaited| visit.call(awaited))?;
            visit.call(&settings.current_handle)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let queued =
            self.engine.with(py, |engine| (engine.ready.drain(), std::mem::take(&mut engine.timers)));
        drop(queued);
        let mut posted = ReadyQueue::new();
        self.inbox.take(&mut posted);
        drop(posted);
        let table = self.descriptors.with(py, std::mem::take);
        drop(table);
        let signals = self.signals.with(py, std::mem::take);
        drop(signals);
        let flushes = self.flushes.with(py, std::mem::take);
        drop(flushes);
        let tasks = self.tasks.with(py, std::mem::take);
        drop(tasks);
        let current = self.current.with(py, std::mem::take);
        drop(current);
        let executors = self.executors.with(py, std::mem::take);
        drop(executors);
        let settings = self.settings.with(py, |settings| {
            (settings.exception_handler.take(), settings.task_factory.take(), settings.asyncgens.take())
        });
        drop(settings);
    }
}

impl Loop {
    /// Which methods are not ours.
    #[inline]
    pub(crate) fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    /// Whether debug mode is on.
    #[inline]
    pub(crate) fn debug(&self) -> bool {
        self.debug.load(Ordering::Relaxed)
    }

    /// Where other threads post.
    pub(crate) fn inbox(&self) -> Arc<Inbox<Item>> {
        self.inbox.clone()
    }

    /// Whether `close()` was called.
    #[inline]
    pub(crate) fn closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Raises `RuntimeError` on a closed loop.
    #[inline]
    pub(crate) fn require_open(&self) -> PyResult<()> {
        if self.closed() { Err(PyRuntimeError::new_err("Event loop is closed")) } else { Ok(()) }
    }

    /// Whether this very thread runs the loop.
    #[inline]
    pub(crate) fn runs_here(&self) -> bool {
        RUNNING_ADDRESS.get() == std::ptr::from_ref(self).cast()
    }

    /// Whether anything else waits for its turn, so that it could tell what runs at once from what waits too.
    #[inline]
    pub(crate) fn is_busy(&self, py: Python<'_>) -> bool {
        self.engine.with(py, |engine| engine.is_busy())
    }

    /// Queues an item for the next turn; from another thread by the inbox.
    ///
    /// Raises `RuntimeError` on a closed loop, `MemoryError` if there is no room.
    #[inline]
    pub(crate) fn push(&self, py: Python<'_>, item: Item) -> PyResult<()> {
        self.require_open()?;
        let outcome = self.engine.with(py, |engine| {
            // In one look: a loop that begins to run meanwhile, in another thread, must not sleep over the item.
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
        let outcome = self.engine.with(py, |engine| engine.push(item));
        outcome.map_err(|OutOfMemory(item)| no_room(py, item))
    }

    /// Queues an item from any thread and wakes the loop.
    ///
    /// Raises `RuntimeError` on a closed loop, `MemoryError` if there is no room.
    pub(crate) fn post(&self, item: Item) -> PyResult<()> {
        match self.inbox.post(item) {
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

thread_local! {
    /// The loop that runs in this thread.
    static RUNNING: RefCell<Option<Py<Loop>>> = const { RefCell::new(None) };
    /// Its address, for the quick test of `runs_here`.
    static RUNNING_ADDRESS: Cell<*const ()> = const { Cell::new(std::ptr::null()) };
}

/// The ferrio loop that runs in this thread.
#[inline]
pub(crate) fn running(py: Python<'_>) -> Option<Py<Loop>> {
    RUNNING.with_borrow(|running| running.as_ref().map(|running| running.clone_ref(py)))
}

/// What `look` says of the ferrio loop that runs in this thread; `false` if none does.
#[inline]
pub(crate) fn with_running(look: impl FnOnce(&Py<Loop>) -> bool) -> bool {
    RUNNING.with_borrow(|running| running.as_ref().is_some_and(look))
}

/// Notes which ferrio loop runs in this thread, for us and for the standard library.
fn set_running(py: Python<'_>, native: Option<&Bound<'_, Loop>>) -> PyResult<()> {
    let address = native.map_or(std::ptr::null(), |native| std::ptr::from_ref(native.get()).cast());
    let old = RUNNING.replace(native.map(|native| native.clone().unbind()));
    RUNNING_ADDRESS.set(address);
    drop(old);
    imports::SET_RUNNING_LOOP.get(py)?.call1((native,))?;
    Ok(())
}

/// Called in the child after a fork: its only thread runs no loop, and what it does to its parent's loops stays there.
#[pyfunction]
pub(crate) fn _forget_running_loop(py: Python<'_>) -> PyResult<()> {
    ferrio_engine::reactor::forked();
    let old = RUNNING.take();
    RUNNING_ADDRESS.set(std::ptr::null());
    drop(old);
    signals::forget_after_fork(py)
}

/// The running loop, ours or not, as native code uses it. Raises `RuntimeError` if there is none.
#[inline]
pub(crate) fn running_loop(py: Python<'_>) -> PyResult<LoopRef> {
    match running(py) {
        Some(native) => Ok(LoopRef::Native(native)),
        None => Ok(LoopRef::new(&get_running_loop(py)?)),
    }
}

/// The running loop, ours or not. Raises `RuntimeError` if there is none.
pub(crate) fn get_running_loop(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    if let Some(running) = running(py) {
        return Ok(running.into_bound(py).into_any());
    }
    let running = imports::STANDARD_RUNNING_LOOP.get(py)?.call0()?;
    if running.is_none() {
        return Err(PyRuntimeError::new_err(
            "no running event loop: this has to be called inside a coroutine, which asyncio.run() runs",
        ));
    }
    Ok(running)
}

static EVERY_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// The `weakref.WeakSet` of all ferrio loops; with the first of them `asyncio.all_tasks()` learns of their tasks.
fn every_loop_set(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    let set = EVERY_LOOP.get_or_try_init(py, || {
        imports::SHARE_TASKS.get(py)?.call0()?;
        Ok::<_, PyErr>(imports::WEAK_SET.get(py)?.call0()?.unbind())
    })?;
    Ok(set.bind(py))
}

/// All ferrio loops that are alive.
pub(crate) fn every_loop(py: Python<'_>) -> PyResult<Vec<Bound<'_, Loop>>> {
    let loops = pyo3::types::PyList::empty(py);
    loops.call_method1(intern!(py, "extend"), (every_loop_set(py)?,))?;
    loops.iter().map(|native| native.cast_into::<Loop>().map_err(PyErr::from)).collect()
}
