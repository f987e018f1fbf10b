//! A descriptor that the loop watches, for reading and for writing.
//!
//! ferrio's loop watches both sides all the time, and tells of changes. Other loops watch a side while something waits for it.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::{PyTraverseError, PyVisit};

use super::{Called, Here, on_loop, with_loop};
use crate::ffi;
use crate::home::Home;

/// As in `ferrio.h`.
pub(crate) const READABLE: u32 = 1;
/// As in `ferrio.h`.
pub(crate) const WRITABLE: u32 = 2;
const EDGE: u32 = 4;

/// A descriptor; no longer watched when this is dropped.
pub(crate) enum Descriptor {
    #[expect(dead_code, reason = "kept for its drop")]
    Ferrio(ffi::Watch),
    Other(Sides),
}

impl Descriptor {
    /// Calls `data` whenever the descriptor becomes ready. The data keeps the descriptor open.
    pub(crate) fn watch<T: Called + AsRawFd>(data: &Arc<T>) -> PyResult<Self> {
        let descriptor = data.as_raw_fd();
        with_loop(|Here { event_loop, watches }| match watches {
            Some(watches) => {
                let interest = READABLE | WRITABLE | EDGE;
                let watch = watches.watch_descriptor(&event_loop, descriptor, interest, data.clone())?;
                Ok(Self::Ferrio(watch))
            }
            None => Ok(Self::Other(Sides::new(event_loop.py(), descriptor, data.clone())?)),
        })
    }

    /// Something waits for `side`; called by any thread.
    pub(crate) fn arm(&self, side: u32) -> PyResult<()> {
        match self {
            Self::Ferrio(_) => Ok(()),
            Self::Other(sides) => sides.arm(side),
        }
    }
}

/// The two sides of a descriptor on another loop.
pub(crate) struct Sides {
    home: Home,
    shared: Arc<Shared>,
}

struct Shared {
    descriptor: RawFd,
    data: Arc<dyn Called>,
    /// Whether the loop watches for reading, and for writing.
    armed: [AtomicBool; 2],
}

impl Sides {
    fn new<T: Called>(py: Python<'_>, descriptor: RawFd, data: Arc<T>) -> PyResult<Self> {
        let shared = Shared { descriptor, data, armed: Default::default() };
        Ok(Self { home: Home::current(py)?, shared: Arc::new(shared) })
    }

    fn arm(&self, side: u32) -> PyResult<()> {
        if self.shared.armed(side).swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        let ready = Ready { shared: self.shared.clone(), side, waits: AtomicBool::new(true) };
        on_loop(&self.home, move |event_loop| {
            let (py, descriptor) = (event_loop.py(), ready.shared.descriptor);
            let add = if side == READABLE { intern!(py, "add_reader") } else { intern!(py, "add_writer") };
            let ready = Callback { event_loop: event_loop.clone().unbind(), ready };
            event_loop.call_method1(add, (descriptor, Bound::new(py, ready)?)).map(drop)
        })
    }
}

impl Drop for Sides {
    fn drop(&mut self) {
        let shared = self.shared.clone();
        // A closed loop watches nothing any more.
        let _ = on_loop(&self.home, move |event_loop| {
            shared.remove(event_loop, READABLE)?;
            shared.remove(event_loop, WRITABLE)
        });
    }
}

impl Shared {
    fn armed(&self, side: u32) -> &AtomicBool {
        &self.armed[usize::from(side != READABLE)]
    }

    /// Removes the callback of a side, on the loop's thread.
    fn remove(&self, event_loop: &Bound<'_, PyAny>, side: u32) -> PyResult<()> {
        let py = event_loop.py();
        if !self.armed(side).swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let remove =
            if side == READABLE { intern!(py, "remove_reader") } else { intern!(py, "remove_writer") };
        event_loop.call_method1(remove, (self.descriptor,)).map(drop)
    }
}

/// Something that waits for a side.
struct Ready {
    shared: Arc<Shared>,
    side: u32,
    waits: AtomicBool,
}

impl Drop for Ready {
    fn drop(&mut self) {
        // The loop was closed, perhaps before it came to watch; or the socket was dropped.
        if *self.waits.get_mut() {
            self.shared.data.ended();
        }
    }
}

/// The callable that `add_reader` and `add_writer` get: removes itself, and calls.
#[pyclass(frozen)]
struct Callback {
    event_loop: Py<PyAny>,
    ready: Ready,
}

#[pymethods]
impl Callback {
    fn __call__(&self, py: Python<'_>) -> PyResult<()> {
        let Ready { shared, side, waits } = &self.ready;
        waits.store(false, Ordering::Relaxed);
        shared.remove(self.event_loop.bind(py), *side)?;
        shared.data.called(*side);
        Ok(())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)
    }
}
