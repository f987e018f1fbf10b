//! What the running loop watches for Rust futures: a time (`timer.rs`), the readiness of a descriptor (`descriptor.rs`).
//!
//! ferrio's loop does it by its C interface, with no Python object. Of other loops, `call_at`, `add_reader` and `add_writer`
//! are called. A watch is begun on the loop's thread, and may be dropped by any.

#[cfg(feature = "net")]
mod descriptor;
mod timer;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::ffi::{self, Watches};
use crate::home::{Home, running_loop};

#[cfg(feature = "net")]
pub(crate) use self::descriptor::{Descriptor, READABLE, WRITABLE};
pub(crate) use self::timer::Timer;
pub(crate) use crate::ffi::{here, wakes_same};

/// What a watch calls.
pub(crate) trait Called: Send + Sync + 'static {
    /// It has come: for a descriptor `READABLE` or `WRITABLE` or both, for a time 0. On the loop's thread.
    fn called(&self, events: u32);

    /// Nothing comes any more: the watch was dropped, or the loop is closed.
    fn ended(&self);
}

/// A loop that runs in this thread.
struct Here<'py> {
    event_loop: Bound<'py, PyAny>,
    /// For ferrio's.
    watches: Option<Watches>,
}

/// Calls `body` with the loop that runs in this thread. Raises `RuntimeError` if there is none, without attaching the thread.
fn with_loop<R>(body: impl FnOnce(Here<'_>) -> PyResult<R>) -> PyResult<R> {
    let refused = || {
        Err(PyRuntimeError::new_err(
            "no event loop runs in this thread: ferrio_async's timers and sockets begin on the loop's own thread",
        ))
    };
    let called = ffi::if_attached(|py| {
        let Some(event_loop) = running_loop(py)? else { return refused() };
        let watches = ffi::api_of(&event_loop)?.and_then(ffi::Api::watches);
        body(Here { event_loop, watches })
    });
    called.unwrap_or_else(refused)
}

/// Calls a method of a loop that isn't ferrio's, on its own thread: now, if this is that thread, else in its next turn.
fn on_loop(
    home: &Home,
    call: impl FnOnce(&Bound<'_, PyAny>) -> PyResult<()> + Send + 'static,
) -> PyResult<()> {
    let mut call = Some(call);
    let called = ffi::if_attached(|py| {
        if !home.runs_here(py)? {
            return Ok(());
        }
        call.take().map_or(Ok(()), |call| call(&home.event_loop(py)))
    });
    if let Some(call) = call {
        home.call_soon(call);
    }
    called.unwrap_or(Ok(()))
}
