//! Operations that any thread may wake without touching Python: threads name a sleeper by its key.
//!
//! An operation and the threads that wake it share a `Ringer`. It holds no Python object, so a thread that isn't
//! attached may ring and drop it. In the loop's own thread, ringing wakes the operation at once.
//!
//! Invariant: an operation is among its loop's sleepers from its first wait until it ends or the loop is closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ferrio_engine::inbox::Inbox;
use ferrio_engine::{Alarm, OutOfMemory, SleeperKey};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use super::foreign::Foreign;
use super::{Item, Loop, running};
use crate::base::ffi::c_api::{self, Posted};
use crate::base::ffi::interpreter;
use crate::core::operation::{self, Operation};

impl Loop {
    /// Adds an operation that others may wake by its key. Raises `RuntimeError` on a closed loop, `MemoryError` if there
    /// is no room.
    pub(crate) fn add_sleeper(&self, operation: &Bound<'_, Operation>) -> PyResult<SleeperKey> {
        self.require_open()?;
        let (py, entry) = (operation.py(), operation.clone().unbind());
        let added = self.owned.sleepers.with(py, |sleepers| sleepers.add(entry));
        added.map_err(|OutOfMemory(_entry)| PyMemoryError::new_err(()))
    }

    /// Forgets an operation that has ended.
    pub(crate) fn forget_sleeper(&self, py: Python<'_>, key: SleeperKey) {
        if let Some(operation) = self.owned.sleepers.with(py, |sleepers| sleepers.take(key)) {
            operation.drop_ref(py);
        }
    }

    /// The operation that the key names.
    #[inline]
    pub(super) fn sleeper(&self, py: Python<'_>, key: SleeperKey) -> Option<Py<Operation>> {
        self.owned.sleepers.with(py, |sleepers| sleepers.get(key).map(|operation| operation.clone_ref(py)))
    }

    /// Wakes the operation that the key names.
    fn wake_sleeper(&self, py: Python<'_>, key: SleeperKey) -> PyResult<()> {
        match self.sleeper(py, key) {
            Some(operation) => operation::wake(operation.bind(py)).map(drop),
            None => Ok(()),
        }
    }
}

/// Wakes one operation of one loop.
pub(crate) struct Ringer {
    alarm: Alarm,
    inbox: Arc<Inbox<Item>>,
    /// How many references there are with which any thread may ring.
    outside: AtomicUsize,
}

impl Ringer {
    /// For an operation of `native`, which doesn't wait yet.
    pub(crate) fn new(native: &Loop) -> Self {
        Self { alarm: Alarm::new(), inbox: native.inbox(), outside: AtomicUsize::new(0) }
    }

    /// Whether this thread runs the loop.
    pub(crate) fn runs_here(&self, py: Python<'_>) -> bool {
        running::running(py).is_some_and(|native| self.is_of(native.get()))
    }

    fn is_of(&self, native: &Loop) -> bool {
        Arc::ptr_eq(&native.shared.inbox, &self.inbox)
    }

    /// Whether anything has a reference with which any thread may ring. If nothing has, whatever rang before is in the inbox.
    pub(crate) fn any_outside(&self) -> bool {
        self.outside.load(Ordering::Acquire) > 0
    }

    /// From now on ringing wakes the operation that the key names. To be called each time before the operation looks for
    /// what it waits for.
    #[inline]
    pub(crate) fn set(&self, key: SleeperKey) {
        self.alarm.set(key);
    }

    /// Wakes the operation without the inbox, if this is the loop's thread and attached.
    fn ring_here(&self, key: SleeperKey) -> bool {
        if !running::any_runs_here() {
            return false;
        }
        let woken = interpreter::if_attached(|py| {
            let native = running::running(py).filter(|native| self.is_of(native.get()))?;
            // The loop is open, as it runs; an error could only be a lack of memory.
            native.get().wake_sleeper(py, key).ok()
        });
        woken.flatten().is_some()
    }
}

impl c_api::Bell for Ringer {
    #[inline]
    fn ring(&self) {
        let Some(key) = self.alarm.ring() else { return };
        if !self.ring_here(key) {
            // A closed loop has dropped the operation.
            let _refused = self.inbox.post(Item::Alarm(key));
        }
    }

    #[inline]
    fn is_held_outside(&self) {
        self.outside.fetch_add(1, Ordering::Relaxed);
    }

    #[inline]
    fn is_released_outside(&self) {
        self.outside.fetch_sub(1, Ordering::Release);
    }
}

/// Where any thread may leave a call for one loop.
pub(crate) struct Mailbox(Arc<Inbox<Item>>);

impl Mailbox {
    /// That of `native`.
    pub(crate) fn new(native: &Loop) -> Self {
        Self(native.inbox())
    }
}

impl c_api::Mailbox for Mailbox {
    fn post(&self, posted: Posted) -> Result<(), Posted> {
        self.0.post(Item::Foreign(Foreign::Posted(posted))).map_err(|refused| match refused.into_item() {
            Item::Foreign(Foreign::Posted(posted)) => posted,
            _ => unreachable!("the inbox hands back what it was given"),
        })
    }
}
