//! What an extension wants to be called for: a time, a descriptor, the loop's end.

use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;

use super::{Call, RAISED, Release};

/// The extension's function for one watch, and the data for it.
///
/// Invariants: the data is dropped once, after the last call has returned. No function of the extension runs under the
/// lock.
pub(crate) struct Callback {
    call: Call,
    drop: Release,
    data: *mut c_void,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Calls in progress; more than one if a call runs its loop again.
    calls: usize,
    /// No call begins any more.
    stopped: bool,
    /// The data is dropped, or will be when the calls in progress have returned.
    ended: bool,
}

// SAFETY: the header allows any attached thread to drop the data, and only the loop's thread calls. What it allows only
// there needs `Python`; the rest is a lock.
unsafe impl Send for Callback {}
// SAFETY: as above.
unsafe impl Sync for Callback {}

impl Callback {
    /// Takes `data` over.
    ///
    /// # Safety
    ///
    /// The functions keep the header's promises for `data`.
    pub(super) unsafe fn take(call: Call, drop: Release, data: *mut c_void) -> Self {
        Self { call, drop, data, state: Mutex::new(State::default()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the extension, unless the watch was cancelled; raises what it raised. Only for the loop's thread.
    pub(crate) fn call(&self, event_loop: &Bound<'_, PyAny>, events: u32) -> PyResult<()> {
        {
            let mut state = self.state();
            if state.stopped || state.ended {
                return Ok(());
            }
            state.calls += 1;
        }
        // SAFETY: attached, and the data is alive until the call is counted down.
        let outcome = match unsafe { (self.call)(self.data, event_loop.as_ptr(), events) } {
            RAISED => Err(super::functions::raised(event_loop.py())),
            _ => Ok(()),
        };
        let last = {
            let mut state = self.state();
            state.calls -= 1;
            state.ended && state.calls == 0
        };
        if last {
            // SAFETY: `end` left this to the last call.
            unsafe { (self.drop)(self.data) };
        }
        outcome
    }

    /// From now on no call begins. Any thread.
    pub(crate) fn stop(&self) {
        self.state().stopped = true;
    }

    /// Ends the watch: drops the data, now or when the calls in progress have returned.
    pub(crate) fn end(&self, _py: Python<'_>) {
        let now = {
            let mut state = self.state();
            !std::mem::replace(&mut state.ended, true) && state.calls == 0
        };
        if now {
            // SAFETY: attached, as the extension asks. No call is in progress, and none begins any more.
            unsafe { (self.drop)(self.data) };
        }
    }
}
