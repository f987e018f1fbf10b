//! What a file's buffer hands down while the loop's thread works on it: it is kept in memory, for a thread to write.
//!
//! A `Collector` replaces the `write` of a file's raw layer. While it collects, it accepts everything. Otherwise it
//! writes at once, beginning with what it has collected. Invariant: bytes reach the file in the order in which they
//! were handed down. What couldn't be written is kept for the next attempt, as in the standard library's buffer.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ferrio_engine::files;
use pyo3::prelude::*;

use crate::base::class::Class;
use crate::base::error;
use crate::base::ffi::buffer::Buffer;

/// The most that is written at once, because it is copied first.
const PIECE: usize = 16 << 20;

struct State {
    data: Vec<u8>,
    collecting: bool,
}

/// What was handed down and not written yet; shared by the raw layer's `write`, the file and the job that writes.
pub(super) struct Collected {
    fd: i32,
    state: Mutex<State>,
}

impl Collected {
    pub(super) fn new(fd: i32) -> Arc<Self> {
        Arc::new(Self { fd, state: Mutex::new(State { data: Vec::new(), collecting: false }) })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts collecting, or stops: then everything is written at once again.
    pub(super) fn collect(&self, collecting: bool) {
        self.state().collecting = collecting;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.state().data.is_empty()
    }

    /// Writes what was collected; waits for the disk.
    pub(super) fn write_out(&self) -> io::Result<()> {
        let mut data = std::mem::take(&mut self.state().data);
        let (done, outcome) = files::write_all(self.fd, &data);
        data.drain(..done);
        if !data.is_empty() {
            let mut state = self.state();
            data.append(&mut state.data);
            state.data = data;
        }
        outcome
    }

    /// Discards what couldn't be written.
    pub(super) fn discard(&self) {
        self.state().data = Vec::new();
    }
}

/// The `write` of a writer's raw layer.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Collector {
    pub(super) collected: Arc<Collected>,
}

impl Class for Collector {}

#[pymethods]
impl Collector {
    fn __call__(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<usize> {
        let buffer = Buffer::to_read(data)?;
        let collecting = buffer.read(py, |bytes| {
            let mut state = self.collected.state();
            if state.collecting {
                state.data.extend_from_slice(bytes);
            }
            state.collecting
        });
        if collecting {
            return Ok(buffer.len());
        }
        let piece = buffer.read(py, |bytes| bytes[..bytes.len().min(PIECE)].to_vec());
        let (count, outcome) = py.detach(|| match self.collected.write_out() {
            Ok(()) => files::write_all(self.collected.fd, &piece),
            Err(failure) => (0, Err(failure)),
        });
        match outcome {
            Err(failure) if count == 0 => Err(error::from_system(py, &failure)),
            _ => Ok(count),
        }
    }
}
