//! The part of a recording that worker threads write: when each job began and ended.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use ferrio_engine::recorder::jobs::{Job, Jobs, Worker};
use pyo3::prelude::*;

use super::{Named, Session, lock};
use crate::base::ffi::interpreter;
use crate::base::imports;

thread_local! {
    /// A session by its number, and this thread in it. A thread's name hardly ever changes.
    static KNOWN: Cell<(u64, Worker)> = const { Cell::new((0, Worker { number: 0, label: 0 })) };
}

/// The jobs of a session.
pub(crate) struct JobStore(Mutex<Jobs>);

impl JobStore {
    pub(super) fn new(capacity: usize) -> Self {
        Self(Mutex::new(Jobs::new(capacity)))
    }

    /// What is known of the jobs, and how many were forgotten.
    pub(crate) fn copy(&self) -> (Vec<Job>, u64) {
        let jobs = lock(&self.0);
        (jobs.copy(), jobs.lost())
    }
}

/// A job that is recorded.
pub(crate) struct Noted {
    session: Arc<Session>,
    pub(crate) number: u64,
}

impl Noted {
    /// A job that will call `function` was handed to the threads. `None` if nothing is recorded.
    #[inline]
    pub(crate) fn new(function: impl FnOnce() -> Option<Py<PyAny>>, py: Python<'_>) -> Option<Self> {
        let session = Session::current()?;
        let (label, _) = session.labels.label(&Named::callable(function()?.bind(py)));
        let number = lock(&session.jobs.0).submit(label, session.ticker.now());
        Some(Self { session, number })
    }

    /// This thread is about to call the function.
    pub(crate) fn begin(&self, py: Python<'_>) {
        let worker = self.worker(py);
        lock(&self.session.jobs.0).begin(self.number, worker, self.session.ticker.now());
    }

    /// This thread. It takes a call of Python to find its name.
    fn worker(&self, py: Python<'_>) -> Worker {
        let session = self.session.number;
        let (known, worker) = KNOWN.get();
        if known == session {
            return worker;
        }
        let name = thread_name(py).unwrap_or_else(|_| "?".to_owned());
        let worker = Worker { number: interpreter::thread_id(py), label: self.session.labels.of_text(name) };
        KNOWN.set((session, worker));
        worker
    }
}

impl Drop for Noted {
    /// The job has ended, or never will begin.
    fn drop(&mut self) {
        lock(&self.session.jobs.0).end(self.number, self.session.ticker.now());
    }
}

/// The name of the calling thread.
pub(crate) fn thread_name(py: Python<'_>) -> PyResult<String> {
    imports::CURRENT_THREAD.get(py)?.call0()?.getattr(intern!(py, "name"))?.extract()
}
