//! `_Journal` writes in which order loops run what is ready, `_Recorded` is what it wrote, and a loop follows that again.
//!
//! `base/journal` has both sides. `ferrio.sight.order` writes for a whole program, `ferrio.testing` replays.

use std::path::PathBuf;
use std::sync::Arc;

use ferrio_engine::journal::Journal;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::base::class::Class;
use crate::base::error;
use crate::base::gc::collected;
use crate::base::journal::Session;
use crate::core::event_loop::chosen::{Chosen, Guide};
use crate::core::event_loop::{Loop, every_loop};

/// Writes the order of all loops that are made from now on to a new file. Raises `OSError` if that can't be written.
///
/// If it is `lazy`, the file is made when a loop writes to it.
#[pyclass(frozen, name = "_Journal", module = "ferrio._ferrio")]
pub(crate) struct Writer {
    session: Arc<Session>,
}

collected!(Writer { session });

impl Class for Writer {}

#[pymethods]
impl Writer {
    #[new]
    #[pyo3(signature = (path, /, *, lazy = false))]
    fn new(py: Python<'_>, path: PathBuf, lazy: bool) -> PyResult<Self> {
        let session = Session::create(&path, lazy).map_err(|failure| error::from_system(py, &failure))?;
        let old = Session::set_current(Some(session.clone()));
        drop(old);
        Ok(Self { session })
    }

    /// Write what wasn't written yet, and no more. Raises `OSError` if something couldn't be written.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        if Session::current().is_some_and(|current| Arc::ptr_eq(&current, &self.session)) {
            let old = Session::set_current(None);
            drop(old);
            for native in every_loop(py)? {
                native.get().end_journal(py);
            }
        }
        match self.session.failure() {
            Some(failure) => Err(error::from_system(py, &failure)),
            None => Ok(()),
        }
    }
}

/// What `_Journal` wrote. Raises `ValueError` if the bytes are something else.
#[pyclass(frozen, name = "_Recorded", module = "ferrio._ferrio")]
pub(crate) struct Recorded(Journal);

impl Class for Recorded {}

#[pymethods]
impl Recorded {
    #[new]
    #[pyo3(signature = (content, /))]
    fn new(content: &[u8]) -> PyResult<Self> {
        Journal::parse(content).map(Self).map_err(|broken| PyValueError::new_err(broken.to_string()))
    }

    /// Return the numbers of the loops that ran something, and whether ferrio's names were in `asyncio` when they were made.
    fn loops(&self) -> Vec<(u32, bool)> {
        let loops = self.0.loops().into_iter();
        loops.map(|number| (number, self.0.note(number).is_some_and(|note| note != 0))).collect()
    }
}

#[pymethods]
impl Loop {
    /// From the next turn on, run what the loop with this number ran in an earlier run, in the same order.
    ///
    /// `may_come(seconds, watched, calls)` is asked while that isn't ready: whether to go on waiting.
    /// `departs(missing, ready, count)` is called when the program does something else; from there on the order is
    /// asyncio's. `tell` as in `_set_order`. Raises `ValueError` if the recording has no such loop.
    #[pyo3(signature = (recorded, number, may_come, departs, tell = None, /))]
    fn _follow(
        &self,
        py: Python<'_>,
        recorded: &Recorded,
        number: u32,
        may_come: Py<PyAny>,
        departs: Py<PyAny>,
        tell: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        if !self.follow(py, &recorded.0, number) {
            return Err(PyValueError::new_err(format!("the recording has no loop with the number {number}")));
        }
        let chosen = Chosen::guided(Guide { may_come, departs }, tell);
        let old = self.set_order(py, Some(chosen));
        drop(old);
        Ok(())
    }

    /// Return how many steps have run as they did in the earlier run. The order is asyncio's again.
    fn _end_following(&self, py: Python<'_>) -> u64 {
        let old = self.set_order(py, None);
        drop(old);
        self.follow_no_longer(py)
    }
}
