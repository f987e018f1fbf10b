//! The place where an awaiting operation and the thread that completes it meet.

use std::ffi::c_void;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use super::{Convert, Discard, WaiterType};

/// What an extension does with the payload of one waiter, and the payload.
///
/// Invariant: a payload is converted or discarded, once. No function of the extension runs under the lock.
pub(crate) struct Waiting {
    functions: &'static WaiterType,
    convert: Convert,
    discard: Discard,
    data: *mut c_void,
    slot: Mutex<Slot>,
}

enum Slot {
    Empty,
    Full(*mut c_void),
    /// The payload was taken, or nobody waits any more.
    Gone,
}

// SAFETY: the header allows any thread to complete and to drop it. What it allows only in some threads needs `Python`.
unsafe impl Send for Waiting {}
// SAFETY: as above; the slot has a lock.
unsafe impl Sync for Waiting {}

impl Waiting {
    /// Takes `data` over. Raises `ValueError` if the type isn't complete; then `data` stays the caller's.
    ///
    /// # Safety
    ///
    /// `functions` points to a `ferrio_waiter_type` that keeps the header's promises, and `data` belongs to it.
    pub(super) unsafe fn take(functions: *const WaiterType, data: *mut c_void) -> PyResult<Self> {
        // SAFETY: by the contract; the size is the first field in every version.
        if functions.is_null() || unsafe { (*functions).size } < size_of::<WaiterType>() {
            return Err(PyValueError::new_err("ferrio_waiter_type: `size` is too small"));
        }
        // SAFETY: it reaches as far as our struct, and lives as long as the process.
        let functions = unsafe { &*functions };
        // SAFETY: by the contract the name has this length.
        let name = unsafe { super::functions::text(functions.name, functions.name_length) };
        match (functions.convert, functions.discard, name) {
            (Some(convert), Some(discard), Some(_)) => {
                Ok(Self { functions, convert, discard, data, slot: Mutex::new(Slot::Empty) })
            }
            _ => Err(PyValueError::new_err(
                "ferrio_waiter_type: `convert`, `discard` and a name in UTF-8 are needed",
            )),
        }
    }

    /// What `repr` and warnings call the awaitable.
    pub(crate) fn name(&self) -> &'static str {
        // SAFETY: as in `take`, which has seen that it is a text.
        unsafe { super::functions::known_text(self.functions.name, self.functions.name_length) }
    }

    fn slot(&self) -> MutexGuard<'_, Slot> {
        // Nothing under the lock can panic.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the payload; returns `false` if nobody wants it, and has discarded it then.
    pub(super) fn complete(&self, payload: *mut c_void) -> bool {
        let mut slot = self.slot();
        if let Slot::Empty = *slot {
            *slot = Slot::Full(payload);
            return true;
        }
        drop(slot);
        // SAFETY: the extension gave the function for its payloads and any thread.
        unsafe { (self.discard)(self.data, payload) };
        false
    }

    /// The value of the payload, if one has come; once. Only for the loop's thread.
    pub(crate) fn take_value<'py>(&self, py: Python<'py>) -> Option<PyResult<Bound<'py, PyAny>>> {
        let taken = {
            let mut slot = self.slot();
            match *slot {
                Slot::Full(payload) => {
                    *slot = Slot::Gone;
                    Some(payload)
                }
                Slot::Empty | Slot::Gone => None,
            }
        };
        taken.map(|payload| {
            // SAFETY: attached; the payload was left by the extension for this function, and goes to it once. The
            // result is a new reference, or null with an error.
            let value = unsafe { Bound::from_owned_ptr_or_opt(py, (self.convert)(self.data, payload)) };
            value.ok_or_else(|| super::functions::raised(py))
        })
    }

    /// Nobody waits any more; tells the extension if no payload had come.
    pub(crate) fn give_up(&self, _py: Python<'_>) {
        let old = std::mem::replace(&mut *self.slot(), Slot::Gone);
        match old {
            // SAFETY: the extension gave the function for its payloads and any thread.
            Slot::Full(payload) => unsafe { (self.discard)(self.data, payload) },
            Slot::Empty => {
                if let Some(cancelled) = self.functions.cancelled {
                    // SAFETY: attached, as the extension asks, and the data is alive.
                    unsafe { cancelled(self.data) };
                }
            }
            Slot::Gone => {}
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        if let Slot::Full(payload) = *self.slot() {
            // SAFETY: as in `give_up`.
            unsafe { (self.discard)(self.data, payload) };
        }
        if let Some(drop) = self.functions.drop {
            // SAFETY: the last call for this data, which the extension allows in any thread.
            unsafe { drop(self.data) };
        }
    }
}
