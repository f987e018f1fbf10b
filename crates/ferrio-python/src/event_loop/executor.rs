//! Blocking calls: `run_in_executor`, the default executor, the pool of processes.
//!
//! Which executor a call goes to is decided here; what a thread does with it is in `crate::executor`. Invariant: every call
//! that an executor has is counted in `Away` (`away.rs`) until the loop has heard of its end.

use std::sync::Arc;

use pyo3::exceptions::{PyRuntimeError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use super::{Loop, LoopRef, call};
use crate::executor::elsewhere::{Elsewhere, Told};
use crate::executor::job::{Call, Job, Target};
use crate::executor::{self, Shared, ThreadPool};
use crate::ffi::Cast;
use crate::future::{self, chain, watch};
use crate::imports;

/// The executors of one loop.
#[derive(Default)]
pub(crate) struct Executors {
    /// `_default_executor`.
    default: Option<Py<PyAny>>,
    /// The same, if it is a `ferrio.executor.ThreadPool` that nobody overrode.
    own: Option<Py<ThreadPool>>,
    /// Who may wait for this thread to let the interpreter go.
    pub(super) shared: Option<Arc<Shared>>,
    /// The executor behind `to_process` and `run_in_executor("process", ...)`.
    process: Option<Py<PyAny>>,
    /// The fork count of the process that `process` was made in, if it was made here.
    process_made: Option<u64>,
    /// `shutdown_default_executor()` or `close()` was called.
    shut_down: bool,
}

impl Executors {
    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.default)?;
        visit.call(&self.own)?;
        visit.call(&self.process)
    }
}

#[pymethods]
impl Loop {
    /// Call `func(*args)` in an executor; return a future of its result.
    ///
    /// Takes any `concurrent.futures.Executor`; `None` or "thread" is the default executor, threads of the loop's own
    /// unless `set_default_executor` was called; "process" a process pool that is kept for the loop. Raises
    /// `RuntimeError` on a closed loop and after `shutdown_default_executor`.
    #[pyo3(signature = (executor, func, *args))]
    fn run_in_executor<'py>(
        slf: &Bound<'py, Self>,
        executor: Option<Bound<'py, PyAny>>,
        func: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        slf.get().require_open()?;
        if slf.get().debug() {
            call::check_callback(&func, "run_in_executor")?;
        }
        let executor = match executor {
            None => default_executor(slf)?,
            Some(given) => match given.as_instance::<PyString>() {
                Some(name) if *name == "process" => {
                    let submitted = submit_to_process(slf, &with_arguments(func, &args)?, None)?;
                    return future_of(slf, &submitted, true);
                }
                Some(name) => named_executor(slf, name)?,
                None => given,
            },
        };
        if let Some(pool) = own_of(slf, &executor) {
            let py = slf.py();
            let future = future::create(py, LoopRef::Native(slf.clone().unbind()))?;
            let call =
                Call { function: func.unbind(), arguments: args.unbind(), keywords: None, context: None };
            let target = Target::Future(future.clone().unbind(), slf.get().inbox());
            submit(slf, &pool, Job::new(call), target)?;
            return Ok(future.into_any());
        }
        let submitted = executor.call_method1(intern!(slf.py(), "submit"), with_arguments(func, &args)?)?;
        let quick = executor.is_instance(imports::THREAD_POOL_EXECUTOR.get(slf.py())?)?;
        future_of(slf, &submitted, !quick)
    }

    /// Set the executor of `run_in_executor(None, ...)` and `to_thread`.
    ///
    /// Takes a `concurrent.futures.ThreadPoolExecutor` or a `ferrio.executor.ThreadPool`. Raises `TypeError` for
    /// anything else.
    fn set_default_executor(&self, executor: Bound<'_, PyAny>) -> PyResult<()> {
        if !executor.is_instance_of::<ThreadPool>()
            && !executor.is_instance(imports::THREAD_POOL_EXECUTOR.get(executor.py())?)?
        {
            return Err(PyTypeError::new_err("executor must be ThreadPoolExecutor instance"));
        }
        set_default(self, executor.py(), Some(&executor))
    }

    /// Set the executor of `to_process` and `run_in_executor("process", ...)`.
    ///
    /// Takes a `concurrent.futures.Executor`, mostly a `ProcessPoolExecutor` with a size or a start method of its own. It
    /// belongs to the loop then, which shuts it down. Raises `TypeError` for anything else.
    fn set_process_executor(&self, executor: Bound<'_, PyAny>) -> PyResult<()> {
        let py = executor.py();
        if !executor.is_instance(imports::EXECUTOR.get(py)?)? {
            return Err(PyTypeError::new_err(format!(
                "executor must be a concurrent.futures.Executor, not {}",
                executor.repr()?
            )));
        }
        let executor = executor.unbind();
        let old = self.executors.with(py, |executors| {
            executors.process_made = None;
            executors.process.replace(executor)
        });
        drop(old);
        Ok(())
    }

    /// Shut the default executor down and wait for its threads, at most `timeout` seconds (`None`: without limit).
    ///
    /// Warns (`RuntimeWarning`) if they need longer, and names the functions that still run. The executor of `to_process`
    /// is shut down likewise. `run_in_executor(None, ...)` raises `RuntimeError` afterwards.
    #[pyo3(signature = (timeout = None))]
    fn shutdown_default_executor<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::SHUT_DOWN_EXECUTORS.get(slf.py())?.call1((slf, timeout))
    }

    /// The default executor, `None` until one is set or needed.
    #[getter]
    fn _default_executor(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.executors.with(py, |executors| executors.default.as_ref().map(|executor| executor.clone_ref(py)))
    }

    #[setter(_default_executor)]
    fn replace_default_executor(&self, py: Python<'_>, executor: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        set_default(self, py, executor.as_ref())
    }

    /// Whether the default executor takes no more calls.
    #[getter]
    fn _executor_shutdown_called(&self, py: Python<'_>) -> bool {
        self.executors.with(py, |executors| executors.shut_down)
    }

    #[setter(_executor_shutdown_called)]
    fn note_executor_shutdown(&self, py: Python<'_>, called: bool) {
        self.executors.with(py, |executors| executors.shut_down = called);
    }

    /// The executors that `shutdown_default_executor()` has to wait for.
    fn _executors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (default, process) = self.executors.with(py, |executors| {
            let other =
                |executor: &Option<Py<PyAny>>| executor.as_ref().map(|executor| executor.clone_ref(py));
            (other(&executors.default), other(&executors.process))
        });
        PyTuple::new(py, default.into_iter().chain(process).collect::<Vec<_>>())
    }
}

/// The pool that `to_thread` may use without a Python call; `None` if the default executor is another one.
///
/// Raises `RuntimeError` on a closed loop and after `shutdown_default_executor`.
pub(crate) fn own_pool<'py>(native: &Bound<'py, Loop>) -> PyResult<Option<Bound<'py, ThreadPool>>> {
    if native.get().overrides().run_in_executor() {
        return Ok(None);
    }
    native.get().require_open()?;
    let executor = default_executor(native)?;
    Ok(own_of(native, &executor))
}

/// Gives a job to a pool of ours on behalf of the loop.
pub(crate) fn submit(
    native: &Bound<'_, Loop>,
    pool: &Bound<'_, ThreadPool>,
    job: Arc<Job>,
    target: Target,
) -> PyResult<()> {
    // Counted before: called from another thread, the result could be back before this function is.
    native.get().job_goes_out();
    let submitted = executor::submit(pool, executor::job::Entry { job, target }, native.get().runs_here());
    if submitted.is_err() {
        native.get().count_down();
    }
    submitted
}

/// `close()`: the executors take no more calls; nobody waits for them.
pub(super) fn close(native: &Bound<'_, Loop>) -> PyResult<()> {
    let py = native.py();
    let (default, process) = native.get().executors.with(py, |executors| {
        executors.shut_down = true;
        (std::mem::take(&mut executors.default), std::mem::take(&mut executors.process))
    });
    let (own, shared) =
        native.get().executors.with(py, |executors| (executors.own.take(), executors.shared.take()));
    drop((own, shared));
    for executor in default.into_iter().chain(process) {
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "wait"), false)?;
        executor.bind(py).call_method(intern!(py, "shutdown"), (), Some(&keywords))?;
    }
    Ok(())
}

/// The default executor, made now if there is none. Raises `RuntimeError` after its shutdown.
fn default_executor<'py>(native: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    let (shut_down, default) = native.get().executors.with(py, |executors| {
        (executors.shut_down, executors.default.as_ref().map(|executor| executor.bind(py).clone()))
    });
    if shut_down {
        return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
    }
    if let Some(default) = default {
        return Ok(default);
    }
    let made = imports::THREAD_POOL.get(py)?.call0()?;
    set_default(native.get(), py, Some(&made))?;
    Ok(made)
}

fn set_default(native: &Loop, py: Python<'_>, executor: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    // A subclass may have a `submit` of its own.
    let own = match executor {
        Some(executor) if executor.is_instance_of::<ThreadPool>() => {
            let plain = executor.get_type().is(imports::THREAD_POOL.get(py)?);
            if plain { Some(executor.cast::<ThreadPool>()?) } else { None }
        }
        _ => None,
    };
    let shared = own.map(|own| own.get().usable(py));
    let own = own.map(|own| own.clone().unbind());
    let default = executor.map(|executor| executor.clone().unbind());
    let old = native.executors.with(py, |executors| {
        (
            std::mem::replace(&mut executors.default, default),
            std::mem::replace(&mut executors.own, own),
            std::mem::replace(&mut executors.shared, shared),
        )
    });
    drop(old);
    Ok(())
}

/// `executor` as the loop's own pool, if it is that.
fn own_of<'py>(native: &Bound<'py, Loop>, executor: &Bound<'py, PyAny>) -> Option<Bound<'py, ThreadPool>> {
    let py = native.py();
    native.get().executors.with(py, |executors| match &executors.own {
        Some(own) if own.as_ptr() == executor.as_ptr() => Some(own.bind(py).clone()),
        _ => None,
    })
}

fn named_executor<'py>(
    native: &Bound<'py, Loop>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    match &*name.to_string_lossy() {
        "thread" => default_executor(native),
        _ => Err(PyValueError::new_err(format!(
            "there is no executor named {}: use \"thread\", \"process\", None for the default executor, or a \
             concurrent.futures.Executor",
            name.repr()?
        ))),
    }
}

fn process_executor<'py>(native: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    let forks = executor::fork_count();
    let (shut_down, known, parents) = native.get().executors.with(py, |executors| {
        let parents = match executors.process_made {
            Some(made) if made != forks => executors.process.take(),
            _ => None,
        };
        let known = executors.process.as_ref().map(|executor| executor.bind(py).clone());
        (executors.shut_down, known, parents)
    });
    // A forked child has no thread that would hand its calls to the processes; they are the parent's to end, too.
    std::mem::forget(parents);
    if shut_down {
        return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
    }
    if let Some(known) = known {
        return Ok(known);
    }
    let made = imports::NEW_PROCESS_POOL.get(py)?.call0()?;
    let entry = made.clone().unbind();
    native.get().executors.with(py, |executors| {
        executors.process_made = Some(forks);
        executors.process = Some(entry);
    });
    Ok(made)
}

/// `submit(*arguments, **keywords)` of the loop's process pool. A pool that broke because a process died is replaced.
///
/// Raises `RuntimeError` on a closed loop and after `shutdown_default_executor`.
pub(crate) fn submit_to_process<'py>(
    native: &Bound<'py, Loop>,
    arguments: &Bound<'py, PyTuple>,
    keywords: Option<&Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    native.get().require_open()?;
    let known = process_executor(native)?;
    match known.call_method(intern!(py, "submit"), arguments, keywords) {
        Err(failure) if failure.is_instance(py, imports::BROKEN_EXECUTOR.get(py)?) => {
            let broken = native.get().executors.with(py, |executors| match &executors.process {
                Some(process) if process.is(&known) => executors.process.take(),
                _ => None,
            });
            drop(broken);
            process_executor(native)?.call_method(intern!(py, "submit"), arguments, keywords)
        }
        submitted => submitted,
    }
}

/// What `submit` of an executor takes.
pub(crate) fn with_arguments<'py>(
    function: Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    let mut all = vec![function];
    all.extend(arguments.iter());
    PyTuple::new(arguments.py(), all)
}

/// Has `told` hear of the end of `submitted`, what an executor of another make gave. `None` if that takes Python's own way:
/// it is another kind of future, or somebody replaced the loop's methods.
pub(crate) fn follow<'py>(
    native: &Bound<'py, Loop>,
    submitted: &Bound<'py, PyAny>,
    told: impl FnOnce() -> PyResult<Told>,
) -> PyResult<Option<Bound<'py, Elsewhere>>> {
    let state = native.get();
    if state.overrides().call_soon_threadsafe()
        || !submitted.is_instance(imports::CONCURRENT_FUTURE.get(native.py())?)?
    {
        return Ok(None);
    }
    let told = told()?;
    // Counted before: the end may come while this function runs.
    state.job_goes_out();
    let followed = Elsewhere::follow(submitted, told, state.inbox());
    if followed.is_err() {
        state.count_down();
    }
    followed.map(Some)
}

/// `wrap_future(submitted, loop=self)`. `slow`: another process has the call.
fn future_of<'py>(
    native: &Bound<'py, Loop>,
    submitted: &Bound<'py, PyAny>,
    slow: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    let future = future::create(py, LoopRef::Native(native.clone().unbind()))?;
    if follow(native, submitted, || Ok(Told::Future(future.clone().unbind())))?.is_some() {
        if slow {
            native.get().slow_call_began();
            watch::watch(future.as_any(), native.as_any(), slow_call_ended)?;
        }
        return Ok(future.into_any());
    }
    let wrapped = chain::wrap(submitted, Some(native.as_any()))?;
    if future::isfuture(&wrapped)? {
        native.get().job_goes_out();
        watch::watch(&wrapped, native.as_any(), wrapped_call_ended)?;
    }
    Ok(wrapped)
}

fn slow_call_ended(native: &Bound<'_, PyAny>, _done: &Bound<'_, PyAny>) -> PyResult<()> {
    native.cast::<Loop>()?.get().slow_call_ended();
    Ok(())
}

fn wrapped_call_ended(native: &Bound<'_, PyAny>, _done: &Bound<'_, PyAny>) -> PyResult<()> {
    native.cast::<Loop>()?.get().count_down();
    Ok(())
}
