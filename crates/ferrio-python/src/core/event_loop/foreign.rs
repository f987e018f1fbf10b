//! What extension modules leave in the loop's queue, timers and tables: calls, and what they watch (`watches.rs`).
//!
//! Invariant: when the loop's reference to a watch goes (`Watched`), the watch has ended and its data is dropped, whatever
//! the extension still holds.

use std::sync::{Arc, OnceLock};

use ferrio_engine::reactor::{Event, Interest};
use ferrio_engine::timer::TimerKey;
use pyo3::prelude::*;

use crate::base::ffi::c_api::{Callback, EDGE, Posted, READABLE, WRITABLE};
use crate::base::ffi::interpreter;

/// One watch of an extension: what to call, and where the loop's reference to it is.
pub(crate) struct Watch {
    pub(super) callback: Callback,
    /// Set by its maker, after the reference has been put there.
    pub(super) place: OnceLock<Place>,
}

/// Where a loop keeps its reference.
pub(crate) enum Place {
    Timers(TimerKey),
    Descriptor(i32),
    Closings,
}

/// The loop's own reference to a watch.
pub(crate) struct Watched(pub(super) Arc<Watch>);

impl Drop for Watched {
    fn drop(&mut self) {
        // What the loop holds is always dropped while attached.
        interpreter::if_attached(|py| self.0.callback.end(py));
    }
}

/// A watch of a descriptor.
pub(super) struct WatchedDescriptor {
    pub(super) interest: u32,
    pub(super) watched: Watched,
}

/// What the loop runs for an extension.
pub(crate) enum Foreign {
    /// A call that a thread has left.
    Posted(Posted),
    /// The watch's only call, after which it ends.
    Due(Watched),
    /// Events of a descriptor, which act in their place in the queue.
    Ready(Arc<Watch>, u32),
    /// The watch was cancelled outside the loop's thread.
    Cancelled(Arc<Watch>),
}

impl Foreign {
    /// Runs a call; raises what the extension raised. Returns the watch that was cancelled, if it is no call.
    pub(super) fn run(self, event_loop: &Bound<'_, PyAny>) -> PyResult<Option<Arc<Watch>>> {
        match self {
            Self::Posted(posted) => posted.run(event_loop)?,
            Self::Due(watched) => watched.0.callback.call(event_loop, 0)?,
            Self::Ready(watch, events) => watch.callback.call(event_loop, events)?,
            Self::Cancelled(watch) => return Ok(Some(watch)),
        }
        Ok(None)
    }
}

/// What the kernel should watch for: what the loop wants itself, and what extensions do.
pub(super) fn add_interests(own: Option<Interest>, foreign: &[WatchedDescriptor]) -> Interest {
    let all = foreign.iter().fold(0, |all, one| all | one.interest);
    let edge = own.is_none() && foreign.iter().all(|one| one.interest & EDGE != 0);
    let own = own.unwrap_or(Interest::BREAKAGE);
    Interest {
        readable: own.readable || all & READABLE != 0,
        writable: own.writable || all & WRITABLE != 0,
        edge,
        once: false,
    }
}

/// Which watches an event concerns, and how. An error or a hang-up concerns all of them.
pub(super) fn events(foreign: &[WatchedDescriptor], event: Event) -> Vec<(Arc<Watch>, u32)> {
    let broken = event.error || event.hangup;
    let readable = if event.readable || broken { READABLE } else { 0 };
    let writable = if event.writable || broken { WRITABLE } else { 0 };
    let concerned = foreign.iter().filter_map(|one| match one.interest & (readable | writable) {
        0 => None,
        events => Some((one.watched.0.clone(), events)),
    });
    concerned.collect()
}
