//! The executors of a loop: which ones it has, and how they are shut down. `work` implements them and gives them
//! jobs.

use pyo3::prelude::*;
use pyo3::types::PyDict;
use std::sync::Arc;

use crate::base::gc::gc;
use crate::base::replaced::Seen;

/// Threads that may wait until the loop's own thread releases the interpreter.
pub(crate) trait LetGo: Send + Sync {
    /// The loop's thread has released it.
    fn let_go(&self);
}

/// The executors of one loop.
#[derive(Default)]
pub(crate) struct Executors {
    /// `_default_executor`.
    pub(crate) default: Option<Py<PyAny>>,
    /// The loop made it, a pool of ours that no program asked for.
    pub(crate) default_is_unasked: bool,
    /// The same, if it is a `ferrio.executor.ThreadPool` that no class overrides.
    pub(crate) own: Option<Py<PyAny>>,
    /// The threads that may wait until this thread releases the interpreter.
    pub(crate) threads: Option<Arc<dyn LetGo>>,
    /// The executor behind `to_process` and `run_in_executor("process", ...)`.
    pub(crate) process: Option<Py<PyAny>>,
    /// The fork count of the process that made `process`, if the loop made it.
    pub(crate) process_made: Option<u32>,
    /// `ThreadPoolExecutor.submit` as it was at the last look.
    pub(crate) submit: Seen,
    /// `shutdown_default_executor()` or `close()` was called.
    pub(crate) shut_down: bool,
}

gc!(Executors { default, own, process, submit } not { default_is_unasked, threads, process_made, shut_down });

impl Executors {
    /// What `close()` leaves: no executor, now or later.
    pub(super) fn closed() -> Self {
        Self { shut_down: true, ..Self::default() }
    }

    /// Shuts down a closed loop's executors: they take no more calls, and nothing waits for them.
    pub(super) fn shut_down(self, py: Python<'_>) -> PyResult<()> {
        let Self { default, process, own, threads, .. } = self;
        drop((own, threads));
        for executor in default.into_iter().chain(process) {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "wait"), false)?;
            executor.bind(py).call_method(intern!(py, "shutdown"), (), Some(&keywords))?;
        }
        Ok(())
    }
}
