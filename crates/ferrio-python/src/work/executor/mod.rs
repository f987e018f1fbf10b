//! Threads for blocking calls: the default executor of a ferrio loop.
//!
//! The engine's pool has the queue, and `worker.rs` what its threads do. `job.rs` is one call on its way;
//! `to_thread.rs` is the awaitable, and `to_process.rs` the one whose call runs in another process.
//! `foreign_executor.rs` is a call that another kind of executor runs. `ferrio.executor` adds what makes the pool a
//! `concurrent.futures.Executor`. Nothing here knows how a loop picks its executor (see `loop_api/executor.rs`).
//!
//! Invariant: a forked child never touches the locks of its parent's pool; it makes a new pool.

pub(crate) mod foreign_executor;
pub(crate) mod job;
pub(crate) mod of_loop;
pub(crate) mod recorded;
pub(crate) mod to_process;
pub(crate) mod to_thread;
pub(crate) mod worker;

use pyo3::exceptions::PyMemoryError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::cpu::CpuMark;
use ferrio_engine::fork;
use ferrio_engine::pool::{Pool, Submit};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use self::job::{Call, Entry, Job, Target};
use self::worker::Worker;
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::base::recording::jobs::Noted;
use crate::core::event_loop::executors::LetGo;

/// Called when the interpreter begins to exit: no thread can be started from now on.
#[pyfunction]
pub(crate) fn _refuse_jobs() {
    super::begin_exit();
}

/// What the workers share with the threads that submit.
pub(crate) struct Shared {
    pool: Pool<Entry>,
    /// A loop's thread has just submitted a job while attached; it clears this when it detaches. Only a hint.
    held: AtomicBool,
    /// Where the loop's thread submitted last.
    submitter: CpuMark,
    /// The fork count of the process that the workers live in.
    forks: u32,
}

impl Shared {
    fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            pool: Pool::new(limit),
            held: AtomicBool::new(false),
            submitter: CpuMark::new(),
            forks: fork::count(),
        })
    }
}

impl LetGo for Shared {
    fn let_go(&self) {
        self.held.store(false, Ordering::Release);
    }
}

/// The native part of `ferrio.executor.ThreadPool`.
#[pyclass(subclass, frozen, weakref, module = "ferrio._ferrio")]
pub(crate) struct ThreadPool {
    state: Guarded<State>,
}

collected!(ThreadPool { state }, written by state, clear { state { threads } });

impl Class for ThreadPool {}

struct State {
    shared: Arc<Shared>,
    /// The greatest number of threads. The pool has it too, behind a lock that a fork may have left locked.
    limit: usize,
    prefix: String,
    /// The threads started, each with its main function.
    threads: Vec<(Py<PyAny>, Py<Worker>)>,
}

gc!(State { threads } not { shared, limit, prefix });

#[pymethods]
impl ThreadPool {
    #[new]
    #[pyo3(signature = (max_workers, thread_name_prefix))]
    fn new(max_workers: isize, thread_name_prefix: String) -> PyResult<Self> {
        let limit = limit(max_workers)?;
        let state =
            State { shared: Shared::new(limit), limit, prefix: thread_name_prefix, threads: Vec::new() };
        Ok(Self { state: Guarded::new(state) })
    }

    /// Queue `function(*arguments, **keywords)`; the given `concurrent.futures.Future` gets the outcome.
    ///
    /// Raises `RuntimeError` after the shutdown, or if no thread can be started.
    #[pyo3(signature = (future, function, arguments, keywords, /))]
    fn _submit(
        slf: &Bound<'_, Self>,
        future: Py<PyAny>,
        function: Py<PyAny>,
        arguments: Py<PyTuple>,
        keywords: Option<Py<PyDict>>,
    ) -> PyResult<()> {
        let job = Job::new(Call { function, arguments, keywords, context: None });
        let py = slf.py();
        let noted = Noted::new(|| job.function(py), py);
        submit(slf, Entry { job, target: Target::Concurrent(future), noted, mark: None }, false)
    }

    /// Take no more jobs; the workers end after the queued jobs, or after their present ones with `cancel_jobs`.
    #[pyo3(signature = (cancel_jobs, /))]
    fn _close(&self, py: Python<'_>, cancel_jobs: bool) -> PyResult<()> {
        let shared = self.shared(py);
        if shared.forks != fork::count() {
            // A fork copied the parent's pool; its workers and jobs aren't ours. A new, closed pool replaces it.
            self.renew(py);
            self.shared(py).pool.close();
            return Ok(());
        }
        if !cancel_jobs {
            shared.pool.close();
            return Ok(());
        }
        for entry in shared.pool.shutdown() {
            let message = entry.cancel(py)?;
            drop(message.and_then(job::Message::post));
        }
        Ok(())
    }

    /// The `threading.Thread`s of the workers, those that have ended included.
    #[getter]
    fn _threads<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let threads: Vec<Py<PyAny>> = self
            .state
            .with(py, |state| state.threads.iter().map(|(thread, _)| thread.clone_ref(py)).collect());
        PyList::new(py, threads)
    }

    /// The functions that run right now.
    #[getter]
    fn running<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let workers: Vec<Py<Worker>> = self
            .state
            .with(py, |state| state.threads.iter().map(|(_, worker)| worker.clone_ref(py)).collect());
        PyList::new(py, workers.iter().filter_map(|worker| worker.get().running(py)))
    }

    /// How many calls wait for a thread.
    #[getter]
    fn queued(&self, py: Python<'_>) -> usize {
        self.usable(py).pool.queued()
    }

    /// The greatest number of threads; can be set. Excess threads end after their present jobs. New ones are started
    /// if calls wait.
    #[getter]
    fn max_workers(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.limit)
    }

    #[setter]
    fn set_max_workers(slf: &Bound<'_, Self>, max_workers: isize) -> PyResult<()> {
        let (py, pool) = (slf.py(), slf.get());
        let (limit, shared) = (limit(max_workers)?, pool.usable(py));
        pool.state.with(py, |state| state.limit = limit);
        let wanted = shared.pool.set_limit(limit);
        for started in 0..wanted {
            if let Err(failure) = start(slf, &shared) {
                (started..wanted).for_each(|_| shared.pool.forget_worker());
                // Without another thread the calls wait for the existing ones.
                return if failure.is_instance_of::<PyRuntimeError>(py) { Ok(()) } else { Err(failure) };
            }
        }
        Ok(())
    }
}

impl ThreadPool {
    fn shared(&self, py: Python<'_>) -> Arc<Shared> {
        self.state.with(py, |state| state.shared.clone())
    }

    /// The shared part of a pool whose workers live in this very process.
    pub(crate) fn usable(&self, py: Python<'_>) -> Arc<Shared> {
        let shared = self.shared(py);
        if shared.forks == fork::count() {
            return shared;
        }
        self.renew(py);
        self.shared(py)
    }

    /// Replaces the parent's pool in a forked child. The old one is leaked: its lock may be held for ever, and its
    /// queue is the parent's to finish.
    fn renew(&self, py: Python<'_>) {
        let (replaced, threads) = self.state.with(py, |state| {
            let new = Shared::new(state.limit);
            (std::mem::replace(&mut state.shared, new), std::mem::take(&mut state.threads))
        });
        std::mem::forget(replaced);
        drop(threads);
    }
}

impl Drop for ThreadPool {
    fn drop(&mut self) {
        let state = self.state.get_mut();
        if state.shared.forks == fork::count() {
            state.shared.pool.close();
        }
    }
}

fn limit(max_workers: isize) -> PyResult<usize> {
    match usize::try_from(max_workers) {
        Ok(limit) if limit > 0 => Ok(limit),
        _ => Err(PyValueError::new_err(format!("max_workers must be greater than 0, not {max_workers}"))),
    }
}

/// Queues a job, and starts one more worker if that is worth it. `held`: the caller is a loop's thread, which will
/// detach when it sleeps.
///
/// Raises `RuntimeError` after the shutdown, when the interpreter exits, or if there is no thread and none can be
/// started.
pub(crate) fn submit(pool: &Bound<'_, ThreadPool>, entry: Entry, held: bool) -> PyResult<()> {
    let py = pool.py();
    if super::is_exiting() {
        return Err(PyRuntimeError::new_err("cannot schedule new futures after interpreter shutdown"));
    }
    let shared = pool.get().usable(py);
    if held {
        shared.held.store(true, Ordering::Release);
        shared.submitter.set();
    }
    match shared.pool.submit(entry) {
        Submit::Queued => Ok(()),
        Submit::Spawn => spawn(pool, &shared),
        Submit::OutOfMemory(entry) => {
            drop(entry);
            Err(PyMemoryError::new_err(()))
        }
        Submit::Closed(entry) => {
            drop(entry);
            Err(PyRuntimeError::new_err("cannot schedule new futures after shutdown"))
        }
    }
}

/// Starts a worker thread.
#[cold]
fn spawn(pool: &Bound<'_, ThreadPool>, shared: &Arc<Shared>) -> PyResult<()> {
    let Err(failure) = start(pool, shared) else { return Ok(()) };
    shared.pool.forget_worker();
    if shared.pool.workers() > 0 {
        // The other workers will run it.
        return Ok(());
    }
    // No worker will. It is the only job in the queue, because each earlier one found a worker or was refused here.
    let refused = shared.pool.more();
    drop(refused);
    Err(failure)
}

fn start(pool: &Bound<'_, ThreadPool>, shared: &Arc<Shared>) -> PyResult<()> {
    let py = pool.py();
    let worker = Bound::new(py, Worker::new(shared.clone()))?;
    let name = pool.get().state.with(py, |state| format!("{}_{}", state.prefix, state.threads.len()));
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "target"), &worker)?;
    keywords.set_item(intern!(py, "name"), name)?;
    keywords.set_item(intern!(py, "daemon"), false)?;
    let thread = imports::THREAD.get(py)?.call((), Some(&keywords))?;
    // Registered before it runs: while it starts, others may ask, or start the next one.
    let known = (thread.clone().unbind(), worker.clone().unbind());
    pool.get().state.with(py, |state| state.threads.push(known));
    let started = thread.call_method0(intern!(py, "start"));
    if started.is_err() {
        let forgotten = pool.get().state.with(py, |state| {
            let place = state.threads.iter().position(|(known, _)| known.is(&thread));
            place.map(|place| state.threads.remove(place))
        });
        drop(forgotten);
    }
    started.map(drop)
}
