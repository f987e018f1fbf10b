//! The executors of a loop: which one gets a call, and how its result comes back.
//!
//! The loop itself keeps them (`core::event_loop::executors`). Invariant: every call that an executor has is counted
//! in `Background` until the loop is told about its end.

use std::sync::Arc;

use ferrio_engine::recorder::Kind;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};

use crate::base::ffi::Cast;
use crate::base::imports;
use crate::base::recording::jobs::Noted;
use crate::base::replaced::{Seen, is_as_written};
use crate::core::event_loop::executors::LetGo;
use crate::core::event_loop::{Loop, LoopRef};
use crate::core::future::callbacks::Watch;
use crate::core::future::{self, chain, watch};
use crate::work::executor::foreign_executor::{ForeignCall, Told};
use crate::work::executor::job::{Job, Target};
use crate::work::executor::{self, ThreadPool};

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
    let py = native.py();
    let noted = Noted::new(|| job.function(py), py);
    if let (Some(noted), Some(slot)) = (&noted, native.get().recorded()) {
        slot.note(py, Kind::Submit, noted.number);
    }
    // Counted first: if another thread calls this, the result could come back before this function returns.
    native.get().job_goes_out();
    let entry = executor::job::Entry { job, target, noted, mark: native.get().mark_job() };
    let submitted =
        native.get().give_to_thread(py, || executor::submit(pool, entry, native.get().runs_here()));
    if submitted.is_err() {
        native.get().count_down();
    }
    submitted
}

/// The default executor, made now if there is none. Raises `RuntimeError` after its shutdown.
pub(crate) fn default_executor<'py>(native: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    let (shut_down, default) = native.get().with_executors(py, |executors| {
        (executors.shut_down, executors.default.as_ref().map(|executor| executor.bind(py).clone()))
    });
    if shut_down {
        return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
    }
    let traced = submit_is_replaced(native)?;
    let Some(default) = default else {
        let made = if traced { standard_pool(py)? } else { imports::THREAD_POOL.get(py)?.call0()? };
        set_default(native.get(), py, Some(&made))?;
        native.get().with_executors(py, |executors| executors.default_is_unasked = !traced);
        return Ok(made);
    };
    if !traced || !native.get().with_executors(py, |executors| executors.default_is_unasked) {
        return Ok(default);
    }
    let made = standard_pool(py)?;
    set_default(native.get(), py, Some(&made))?;
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "wait"), false)?;
    default.call_method(intern!(py, "shutdown"), (), Some(&keywords))?;
    Ok(made)
}

/// Whether a program replaced `ThreadPoolExecutor.submit`, as tracers do to pass on a context. They expect a loop's
/// calls to go through it.
fn submit_is_replaced(native: &Bound<'_, Loop>) -> PyResult<bool> {
    let py = native.py();
    let class = imports::THREAD_POOL_EXECUTOR.get(py)?.cast::<PyType>()?;
    let known = native.get().with_executors(py, |executors| {
        executors.submit.is_current(class).then(|| executors.submit.is_replaced())
    });
    if let Some(known) = known {
        return Ok(known);
    }
    let seen = Seen::look(class, "submit", |method| is_as_written(class, method, "_work_queue"))?;
    let is_replaced = seen.is_replaced();
    let old = native.get().with_executors(py, |executors| std::mem::replace(&mut executors.submit, seen));
    drop(old);
    Ok(is_replaced)
}

/// The executor that asyncio makes.
fn standard_pool(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "thread_name_prefix"), "asyncio")?;
    imports::THREAD_POOL_EXECUTOR.get(py)?.call((), Some(&keywords))
}

pub(crate) fn set_default(
    native: &Loop,
    py: Python<'_>,
    executor: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    // A subclass may have its own `submit`.
    let own = match executor {
        Some(executor) if executor.is_instance_of::<ThreadPool>() => {
            let plain = executor.get_type().is(imports::THREAD_POOL.get(py)?);
            if plain { Some(executor.cast::<ThreadPool>()?) } else { None }
        }
        _ => None,
    };
    let threads = own.map(|own| -> Arc<dyn LetGo> { own.get().usable(py) });
    let own = own.map(|own| own.clone().into_any().unbind());
    let default = executor.map(|executor| executor.clone().unbind());
    let old = native.with_executors(py, |executors| {
        executors.default_is_unasked = false;
        (
            std::mem::replace(&mut executors.default, default),
            std::mem::replace(&mut executors.own, own),
            std::mem::replace(&mut executors.threads, threads),
        )
    });
    drop(old);
    Ok(())
}

/// `executor` as the loop's own pool, if it is one.
pub(crate) fn own_of<'py>(
    native: &Bound<'py, Loop>,
    executor: &Bound<'py, PyAny>,
) -> Option<Bound<'py, ThreadPool>> {
    let py = native.py();
    native.get().with_executors(py, |executors| match &executors.own {
        Some(own) if own.is(executor) => own.bind(py).as_instance::<ThreadPool>().cloned(),
        _ => None,
    })
}

pub(crate) fn named_executor<'py>(
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
    let forks = ferrio_engine::fork::count();
    let (shut_down, known, parents) = native.get().with_executors(py, |executors| {
        let parents = match executors.process_made {
            Some(made) if made != forks => executors.process.take(),
            _ => None,
        };
        let known = executors.process.as_ref().map(|executor| executor.bind(py).clone());
        (executors.shut_down, known, parents)
    });
    // A forked child has no thread that would pass calls on to the processes. They are the parent's, which must end
    // them, too.
    std::mem::forget(parents);
    if shut_down {
        return Err(PyRuntimeError::new_err("Executor shutdown has been called"));
    }
    if let Some(known) = known {
        return Ok(known);
    }
    let made = imports::NEW_PROCESS_POOL.get(py)?.call0()?;
    let entry = made.clone().unbind();
    native.get().with_executors(py, |executors| {
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
            let broken = native.get().with_executors(py, |executors| match &executors.process {
                Some(process) if process.is(&known) => executors.process.take(),
                _ => None,
            });
            drop(broken);
            process_executor(native)?.call_method(intern!(py, "submit"), arguments, keywords)
        }
        submitted => submitted,
    }
}

/// The arguments for an executor's `submit`.
pub(crate) fn with_arguments<'py>(
    function: Bound<'py, PyAny>,
    arguments: &Bound<'py, PyTuple>,
) -> PyResult<Bound<'py, PyTuple>> {
    let mut all = vec![function];
    all.extend(arguments.iter());
    PyTuple::new(arguments.py(), all)
}

/// Makes `told` hear about the end of `submitted`, which a foreign executor returned. `None` if that needs Python
/// calls, because it is another kind of future or a program replaced the loop's methods.
pub(crate) fn follow<'py>(
    native: &Bound<'py, Loop>,
    submitted: &Bound<'py, PyAny>,
    told: impl FnOnce() -> PyResult<Told>,
) -> PyResult<Option<Bound<'py, ForeignCall>>> {
    if native.get().overrides().call_soon_threadsafe()
        || !submitted.is_instance(imports::CONCURRENT_FUTURE.get(native.py())?)?
    {
        return Ok(None);
    }
    let told = told()?;
    // Counted first: the end may come while this function runs.
    native.get().job_goes_out();
    let followed = ForeignCall::follow(submitted, told, native.clone().unbind());
    if followed.is_err() {
        native.get().count_down();
    }
    followed.map(Some)
}

/// `wrap_future(submitted, loop=self)`. `slow`: another process runs the call.
pub(crate) fn future_of<'py>(
    native: &Bound<'py, Loop>,
    submitted: &Bound<'py, PyAny>,
    slow: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = native.py();
    let future = future::create(py, LoopRef::Native(native.clone().unbind()))?;
    if follow(native, submitted, || Ok(Told::Future(future.clone().unbind())))?.is_some() {
        if slow {
            native.get().slow_call_began();
            watch::watch(future.as_any(), native.as_any(), &SLOW_CALL_ENDED)?;
        }
        return Ok(future.into_any());
    }
    let wrapped = chain::wrap(submitted, Some(native.as_any()))?;
    if future::isfuture(&wrapped)? {
        native.get().job_goes_out();
        watch::watch(&wrapped, native.as_any(), &WRAPPED_CALL_ENDED)?;
    }
    Ok(wrapped)
}

static SLOW_CALL_ENDED: Watch = Watch::new(chain::CHECK_CANCEL, slow_call_ended);
static WRAPPED_CALL_ENDED: Watch = Watch::new(chain::CHECK_CANCEL, wrapped_call_ended);

fn slow_call_ended(native: &Bound<'_, PyAny>, _done: &Bound<'_, PyAny>) -> PyResult<()> {
    native.cast::<Loop>()?.get().slow_call_ended();
    Ok(())
}

fn wrapped_call_ended(native: &Bound<'_, PyAny>, _done: &Bound<'_, PyAny>) -> PyResult<()> {
    native.cast::<Loop>()?.get().count_down();
    Ok(())
}
