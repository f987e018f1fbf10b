//! `run_in_executor` and the loop's other methods about executors.
//!
//! `crate::work::executor::of_loop` decides which executor gets a call, and passes it on.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::base::ffi::Cast;
use crate::base::imports;
use crate::core::event_loop::{Loop, LoopRef, call};
use crate::core::future;
use crate::work::executor::ThreadPool;
use crate::work::executor::job::{Call, Job, Target};
use crate::work::executor::of_loop::{
    default_executor, future_of, named_executor, own_of, set_default, submit, submit_to_process,
    with_arguments,
};

#[pymethods]
impl Loop {
    /// Call `func(*args)` in an executor; return a future of its result.
    ///
    /// `executor` is any `concurrent.futures.Executor`. `None` or "thread" is the default executor: the loop's own
    /// threads, unless `set_default_executor` was called. "process" is a process pool that the loop keeps. Raises
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
            slf.get().note_job(&future);
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
    /// Takes a `concurrent.futures.Executor`, usually a `ProcessPoolExecutor` with a size or a start method of its
    /// own. From then on it belongs to the loop, which shuts it down. Raises `TypeError` for anything else.
    fn set_process_executor(&self, executor: Bound<'_, PyAny>) -> PyResult<()> {
        let py = executor.py();
        if !executor.is_instance(imports::EXECUTOR.get(py)?)? {
            return Err(PyTypeError::new_err(format!(
                "executor must be a concurrent.futures.Executor, not {}",
                executor.repr()?
            )));
        }
        let executor = executor.unbind();
        let old = self.with_executors(py, |executors| {
            executors.process_made = None;
            executors.process.replace(executor)
        });
        drop(old);
        Ok(())
    }

    /// Shut the default executor down and wait for its threads, at most `timeout` seconds (`None`: without limit).
    ///
    /// If they need longer, a `RuntimeWarning` names the functions that still run. The executor of `to_process` is
    /// shut down likewise. Afterwards `run_in_executor(None, ...)` raises `RuntimeError`.
    #[pyo3(signature = (timeout = None))]
    fn shutdown_default_executor<'py>(
        slf: &Bound<'py, Self>,
        timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::SHUT_DOWN_EXECUTORS.get(slf.py())?.call1((slf, timeout))
    }

    /// The default executor; `None` until one is set or needed.
    #[getter]
    fn _default_executor(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.with_executors(py, |executors| executors.default.as_ref().map(|executor| executor.clone_ref(py)))
    }

    #[setter(_default_executor)]
    fn replace_default_executor(&self, py: Python<'_>, executor: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        set_default(self, py, executor.as_ref())
    }

    /// Whether the default executor has been shut down.
    #[getter]
    fn _executor_shutdown_called(&self, py: Python<'_>) -> bool {
        self.with_executors(py, |executors| executors.shut_down)
    }

    #[setter(_executor_shutdown_called)]
    fn note_executor_shutdown(&self, py: Python<'_>, called: bool) {
        self.with_executors(py, |executors| executors.shut_down = called);
    }

    /// An outside call has begun and will wake the loop: a virtual clock doesn't jump until `_work_came_back()`.
    fn _work_is_out(&self) {
        self.job_goes_out();
    }

    /// The outside call has ended.
    fn _work_came_back(&self) {
        self.count_down();
    }

    /// The executors that `shutdown_default_executor()` must wait for.
    fn _executors<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let (default, process) = self.with_executors(py, |executors| {
            let other =
                |executor: &Option<Py<PyAny>>| executor.as_ref().map(|executor| executor.clone_ref(py));
            (other(&executors.default), other(&executors.process))
        });
        PyTuple::new(py, default.into_iter().chain(process).collect::<Vec<_>>())
    }
}
