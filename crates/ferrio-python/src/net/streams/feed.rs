//! What fills a reader: data, the end of input, an exception; and when the transport must pause.
//!
//! Native transports call these functions without a Python call in between; `reader.rs` exposes them to Python.
//!
//! Invariant: a waiter is taken out of the reader before it is woken, so it is woken once.

use ferrio_engine::buffer::{Found, Scan, Separators};
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::content::Content;
use super::reader::{State, StreamReader};
use crate::base::gc::gc;
use crate::core::operation::{self, Operation};

/// What waits for a reader to be fed.
#[derive(Default)]
pub(super) enum Waiter {
    #[default]
    Nobody,
    /// A read operation, and what it needs.
    Operation(Py<Operation>, Need),
    /// A future that was set as `_waiter`.
    Future(Py<PyAny>),
}

gc!(match Waiter {
    Self::Nobody => (),
    Self::Operation(operation, _) => (operation),
    Self::Future(future) => (future),
});

/// How much a waiting operation needs to go on. Less doesn't wake it.
pub(super) enum Need {
    Any,
    Bytes(usize),
    Line(Scan),
}

impl Need {
    #[inline]
    fn is_met(&mut self, unread: &[u8], limit: usize) -> bool {
        match self {
            Self::Any => true,
            Self::Bytes(count) => unread.len() >= *count,
            Self::Line(scan) => scan.look(unread, &Separators::Byte(b'\n'), limit) != Found::Nothing,
        }
    }
}

impl Waiter {
    pub(super) fn is_nobody(&self) -> bool {
        matches!(self, Self::Nobody)
    }

    /// The value of `_waiter`.
    pub(super) fn shown(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        match self {
            Self::Nobody => None,
            Self::Operation(operation, _) => Some(operation.clone_ref(py).into_any()),
            Self::Future(future) => Some(future.clone_ref(py)),
        }
    }

    /// Wakes it, or throws the exception into it.
    #[inline]
    fn wake(self, py: Python<'_>, failure: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        match self {
            Self::Nobody => Ok(()),
            Self::Operation(waiting, _) => {
                let outcome = match failure {
                    Some(failure) => operation::fail(waiting.bind(py), failure),
                    None => operation::wake(waiting.bind(py)),
                };
                waiting.drop_ref(py);
                outcome.map(drop)
            }
            Self::Future(future) => {
                let future = future.bind(py);
                if future.call_method0(intern!(py, "cancelled"))?.is_truthy()? {
                    return Ok(());
                }
                match failure {
                    Some(failure) => future.call_method1(intern!(py, "set_exception"), (failure,))?,
                    None => future.call_method1(intern!(py, "set_result"), (py.None(),))?,
                };
                Ok(())
            }
        }
    }
}

impl State {
    /// Notes that data came. Returns what to wake, and the transport if it must be paused.
    #[inline]
    fn fed(&mut self, py: Python<'_>) -> (Waiter, Option<Py<PyAny>>) {
        let enough = match &mut self.waiter {
            Waiter::Operation(_, need) => need.is_met(self.unread.as_slice(py), self.limit.bytes),
            Waiter::Nobody | Waiter::Future(_) => true,
        };
        if !enough {
            // The read would resume the transport at once.
            return (Waiter::Nobody, None);
        }
        let too_much = !self.paused && self.unread.len(py) > self.limit.high();
        let transport =
            if too_much { self.transport.as_ref().map(|known| known.clone_ref(py)) } else { None };
        (std::mem::take(&mut self.waiter), transport)
    }
}

/// `reader.feed_data(data)` of a plain reader, for native transports: `data` is copied.
///
/// Raises `AssertionError` after the end of input.
#[inline]
pub(crate) fn feed(reader: &Bound<'_, StreamReader>, data: &[u8]) -> PyResult<()> {
    add(reader, |unread, py| unread.extend(py, data))
}

/// As `feed`, for an object of exactly the class `bytes`, which a read may return as it is.
#[inline]
pub(crate) fn put(reader: &Bound<'_, StreamReader>, data: Bound<'_, PyBytes>) -> PyResult<()> {
    add(reader, |unread, _| unread.put(data))
}

/// Calls `append` to add to the unread data, and does the rest of what `feed_data` does. `append` must not run Python
/// code.
#[inline]
pub(super) fn add<'py>(
    reader: &Bound<'py, StreamReader>,
    append: impl FnOnce(&mut Content, Python<'py>) -> PyResult<()>,
) -> PyResult<()> {
    let py = reader.py();
    StreamReader::load_buffer(reader)?;
    let fed = reader.get().state.with(py, |state| {
        if state.eof {
            return Ok(None);
        }
        let before = state.unread.len(py);
        append(&mut state.unread, py)?;
        let anything = state.unread.len(py) > before;
        PyResult::Ok(Some(if anything { state.fed(py) } else { (Waiter::Nobody, None) }))
    });
    let Some((waiter, pause)) = fed? else {
        return Err(PyAssertionError::new_err("feed_data after feed_eof"));
    };
    StreamReader::store_buffer(reader)?;
    waiter.wake(py, None)?;
    match pause {
        Some(transport) => pause_reading(reader, transport.bind(py)),
        None => Ok(()),
    }
}

/// `reader.feed_eof()` of a plain reader, for native transports.
pub(crate) fn feed_eof(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    reader.get().state.with(reader.py(), |state| state.eof = true);
    wake_waiter(reader)
}

/// `reader._wakeup_waiter()`.
pub(super) fn wake_waiter(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    let py = reader.py();
    let waiter = reader.get().state.with(py, |state| std::mem::take(&mut state.waiter));
    waiter.wake(py, None)
}

/// `reader.set_exception(exception)` of a plain reader, for native transports.
pub(crate) fn set_exception(reader: &Bound<'_, StreamReader>, exception: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = reader.py();
    let kept = exception.clone().unbind();
    let (waiter, old) = reader
        .get()
        .state
        .with(py, |state| (std::mem::take(&mut state.waiter), state.exception.replace(kept)));
    drop(old);
    waiter.wake(py, Some(exception))
}

/// Resumes the transport if no more than the limit is buffered (`reader._maybe_resume_transport()`).
#[inline]
pub(super) fn maybe_resume(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    let py = reader.py();
    let transport = reader.get().state.with(py, |state| {
        if !state.paused || state.unread.len(py) > state.limit.bytes {
            return None;
        }
        state.paused = false;
        state.transport.as_ref().map(|transport| transport.clone_ref(py))
    });
    match transport {
        Some(transport) => resume_reading(transport.bind(py)),
        None => Ok(()),
    }
}

#[cold]
pub(super) fn resume_reading(transport: &Bound<'_, PyAny>) -> PyResult<()> {
    transport.call_method0(intern!(transport.py(), "resume_reading")).map(drop)
}

/// Pauses the transport. If it can't be paused, it is forgotten, and everything it brings is kept.
#[cold]
fn pause_reading(reader: &Bound<'_, StreamReader>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = reader.py();
    match transport.call_method0(intern!(py, "pause_reading")) {
        Ok(_) => {
            reader.get().state.with(py, |state| state.paused = true);
            Ok(())
        }
        Err(failure) if failure.is_instance_of::<PyNotImplementedError>(py) => {
            let forgotten = reader.get().state.with(py, |state| state.transport.take());
            drop(forgotten);
            Ok(())
        }
        Err(failure) => Err(failure),
    }
}
