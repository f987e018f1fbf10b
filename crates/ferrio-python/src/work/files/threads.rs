//! Jobs for the threads that wait for disks, and how they come back to a loop.
//!
//! One of the engine's pools serves the process. A job is Rust code that runs detached; it attaches only if the work
//! needs the standard library's object. Invariants: the outcome is in its slot before the loop is told; a forked
//! child uses no thread and no lock of its parent's; no thread attaches after the interpreter has begun to exit and
//! its last attached job has ended.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ferrio_engine::files::FileThreads;
use ferrio_engine::fork;
use ferrio_engine::inbox::Inbox;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use super::file::File;
use crate::base::ffi::{Cast, Guarded};
use crate::core::event_loop::{self, Item, Loop, LoopRef};
use crate::core::operation::{self, Operation};
use crate::work::{begin_exit, is_exiting};

/// The most threads: as many as the default executor has. More would only compete for the CPUs while the page cache
/// answers.
fn limit() -> usize {
    (std::thread::available_parallelism().map_or(1, std::num::NonZero::get) + 4).min(32)
}

/// How long an interrupt may be delayed while the interpreter's exit waits for jobs.
const PATIENCE: Duration = Duration::from_millis(50);

static SHARED: Guarded<Option<Arc<Shared>>> = Guarded::new(None);

struct Shared {
    threads: FileThreads,
    attached: Mutex<AttachedJobs>,
    /// One of them has ended.
    ended: Condvar,
    /// The fork count of the process that the threads live in.
    forks: u32,
}

impl Shared {
    fn usable(py: Python<'_>) -> Arc<Self> {
        let forks = fork::count();
        let (shared, parents) = SHARED.with(py, |known| match known {
            Some(shared) if shared.forks == forks => (shared.clone(), None),
            other => {
                let made = Arc::new(Self {
                    threads: FileThreads::new(limit()),
                    attached: Mutex::default(),
                    ended: Condvar::new(),
                    forks,
                });
                (made.clone(), other.replace(made))
            }
        });
        // Its locks may be held for ever, and its queued jobs are the parent's to finish.
        std::mem::forget(parents);
        shared
    }

    fn attached(&self) -> MutexGuard<'_, AttachedJobs> {
        self.attached.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What an attached job is doing: a method of an object, or a function if the name is empty. Shown to programs that
/// ask what is being waited for.
pub(super) struct Doing {
    pub(super) name: &'static str,
    pub(super) object: Py<PyAny>,
}

/// Jobs that have attached, or will, in the order in which they came.
#[derive(Default)]
struct AttachedJobs {
    jobs: BTreeMap<u64, Option<Doing>>,
    next: u64,
}

/// Notes a job that attaches.
struct Attached {
    shared: Arc<Shared>,
    number: u64,
}

impl Attached {
    /// `None` if the interpreter has begun to exit. This is decided under the lock that the exit takes, so the exit
    /// waits for all jobs that were let in.
    fn new(shared: Arc<Shared>, doing: Option<Doing>) -> Option<Self> {
        let mut attached = shared.attached();
        if is_exiting() {
            // `doing` is dropped outside the lock.
            drop(attached);
            return None;
        }
        let number = attached.next;
        attached.next += 1;
        attached.jobs.insert(number, doing);
        drop(attached);
        Some(Self { shared, number })
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        let doing = self.shared.attached().jobs.remove(&self.number);
        self.shared.ended.notify_all();
        drop(doing);
    }
}

/// Where a job leaves its outcome.
///
/// A fork copies the table of descriptors before it copies the memory. If a job opens a file in between, the child
/// finds a descriptor here that it doesn't have. By the time the child closes it, that number may belong to another
/// file. So the outcome belongs to the parent, and a child leaves it alone.
pub(super) struct Slot<T> {
    outcome: Mutex<Option<T>>,
    /// The fork count of the process that the job runs in.
    forks: u32,
}

impl<T> Slot<T> {
    fn new() -> Self {
        Self { outcome: Mutex::new(None), forks: fork::count() }
    }

    /// The outcome, once. Raises `RuntimeError` if there is none: the job panicked, it was taken already, or it is
    /// the parent's.
    pub(super) fn take(&self) -> PyResult<T> {
        let outcome = if self.forks == fork::count() { self.outcome().take() } else { None };
        outcome.ok_or_else(|| PyRuntimeError::new_err("a job for a file ended without an outcome"))
    }

    fn put(&self, outcome: T) {
        *self.outcome() = Some(outcome);
    }

    fn outcome(&self) -> MutexGuard<'_, Option<T>> {
        self.outcome.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Drop for Slot<T> {
    fn drop(&mut self) {
        if self.forks != fork::count() {
            std::mem::forget(self.outcome.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

enum Home {
    Native(Arc<Inbox<Item>>),
    Foreign(LoopRef),
}

/// Runs `work` in a thread, detached; then wakes `operation`. If that no longer waits, `file` passes to the next
/// operation.
///
/// Raises `RuntimeError` if no loop runs or no thread can be started.
pub(super) fn submit<T: Send + 'static>(
    operation: &Bound<'_, Operation>,
    file: Option<&Py<File>>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<Arc<Slot<T>>> {
    let py = operation.py();
    let running = event_loop::get_running_loop(py)?;
    let native =
        running.as_instance::<Loop>().filter(|native| !native.get().overrides().call_soon_threadsafe());
    let home = match native {
        Some(native) => Home::Native(native.get().inbox()),
        None => Home::Foreign(LoopRef::new(&running)),
    };
    let slot = Arc::new(Slot::new());
    let file = file.map_or_else(|| py.None(), |file| file.clone_ref(py).into_any());
    let item = Item::Watch(operation.clone().into_any().unbind(), file, job_ended);
    let shared = Shared::usable(py);
    let job = {
        let (slot, shared) = (slot.clone(), shared.clone());
        move || {
            if let Ok(outcome) = catch_unwind(AssertUnwindSafe(work)) {
                slot.put(outcome);
            }
            drop(slot);
            post(shared, home, item);
        }
    };
    if let Some(native) = native {
        native.get().job_goes_out();
    }
    shared.threads.run(Box::new(job)).map_err(|failure| {
        if let Some(native) = native {
            native.get().count_down();
        }
        PyRuntimeError::new_err(format!("can't start new thread for a file: {failure}"))
    })?;
    Ok(slot)
}

/// As [`submit`], for work that needs the interpreter; `doing` describes it.
///
/// Also raises `RuntimeError` when the interpreter exits.
pub(super) fn submit_attached(
    operation: &Bound<'_, Operation>,
    file: Option<&Py<File>>,
    doing: Doing,
    work: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Arc<Slot<PyResult<Py<PyAny>>>>> {
    let Some(attached) = Attached::new(Shared::usable(operation.py()), Some(doing)) else {
        return Err(PyRuntimeError::new_err("cannot schedule new futures after interpreter shutdown"));
    };
    submit(operation, file, move || {
        let outcome = Python::try_attach(|py| {
            let outcome = work(py);
            drop(attached);
            outcome
        });
        outcome.unwrap_or_else(|| Err(PyRuntimeError::new_err("the interpreter has exited")))
    })
}

/// In the job's thread.
fn post(shared: Arc<Shared>, home: Home, item: Item) {
    let refused = match home {
        Home::Native(inbox) => match inbox.post(item) {
            Ok(()) => return,
            Err(refused) => (None, refused.into_item()),
        },
        Home::Foreign(home) => (Some(home), item),
    };
    let mut refused = Some(refused);
    let Some(attached) = Attached::new(shared, None) else {
        // Nobody is left to give the references back to.
        std::mem::forget(refused);
        return;
    };
    Python::try_attach(|py| {
        let Some((home, item)) = refused.take() else { return };
        let file = match &item {
            Item::Watch(_, file, _) => file.clone_ref(py),
            _ => py.None(),
        };
        let posted = home.is_some_and(|home| home.post(py, item).is_ok());
        if !posted {
            // The loop is closed, so nobody waits; but another loop may use the file.
            drop(leave(file.bind(py)));
        }
    });
    drop(attached);
    std::mem::forget(refused);
}

/// Runs in the loop's thread. The first object is the operation, the second its file.
fn job_ended(operation: &Bound<'_, PyAny>, file: &Bound<'_, PyAny>) -> PyResult<()> {
    event_loop::job_came_back(operation.py());
    if operation::wake(operation.cast_exact::<Operation>()?)? {
        return Ok(());
    }
    leave(file)
}

fn leave(file: &Bound<'_, PyAny>) -> PyResult<()> {
    match file.as_instance::<File>() {
        Some(file) => file.get().leave(file.py()),
        None => Ok(()),
    }
}

/// Return what the jobs that need the interpreter are doing, including those that wait for a thread; the oldest
/// first.
#[pyfunction]
pub(crate) fn _file_jobs(py: Python<'_>) -> PyResult<Vec<String>> {
    let shared = Shared::usable(py);
    let jobs: Vec<_> = shared
        .attached()
        .jobs
        .values()
        .flatten()
        .map(|doing| (doing.name, doing.object.clone_ref(py)))
        .collect();
    jobs.into_iter()
        .map(|(name, object)| {
            let object = object.bind(py).repr()?;
            Ok(if name.is_empty() { object.to_string() } else { format!("{name} of {object}") })
        })
        .collect()
}

/// Called when the interpreter begins to exit: takes no more jobs that need it, and waits for the present ones.
///
/// Raises what a signal's handler raises, such as `KeyboardInterrupt`.
#[pyfunction]
pub(crate) fn _finish_file_jobs(py: Python<'_>) -> PyResult<()> {
    let shared = Shared::usable(py);
    loop {
        let finished = py.detach(|| {
            let attached = shared.attached();
            begin_exit();
            if attached.jobs.is_empty() {
                return true;
            }
            let waited = shared.ended.wait_timeout(attached, PATIENCE);
            waited.unwrap_or_else(PoisonError::into_inner).0.jobs.is_empty()
        });
        if finished {
            return Ok(());
        }
        py.check_signals()?;
    }
}
