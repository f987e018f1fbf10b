//! What a loop records of itself, if there is a recording (`base/recording`).

use std::collections::HashMap;

use ferrio_engine::recorder::{Kind, Ticks};
use pyo3::prelude::*;

use super::{Loop, LoopRef, modes};
use crate::base::ffi::Cast;
use crate::base::recording::jobs::thread_name;
use crate::base::recording::{Named, Session, Slot};
use crate::core::operation::Operation;

impl Loop {
    /// Where to record, if the loop is recorded.
    #[inline]
    pub(crate) fn recorded(&self) -> Option<&Slot> {
        self.has_mode(modes::RECORDED).then_some(&self.owned.recording)
    }

    /// Where the loop has its tape.
    pub(crate) fn recording(&self) -> &Slot {
        &self.owned.recording
    }

    /// Records from now on if there is a recording, and no longer if there is none. Raises `MemoryError`.
    pub(crate) fn follow_recording(&self, py: Python<'_>) -> PyResult<()> {
        match Session::current() {
            Some(session) if !self.closed() => {
                self.owned.recording.join(py, &session)?;
                self.set_mode(modes::RECORDED, true);
            }
            _ if self.has_mode(modes::RECORDED) => self.stop_recording(py),
            _ => {}
        }
        Ok(())
    }

    /// Records no longer.
    pub(crate) fn stop_recording(&self, py: Python<'_>) {
        self.set_mode(modes::RECORDED, false);
        self.owned.recording.leave(py);
    }

    /// Records that this thread, whose name is known or asked for, runs the loop.
    pub(crate) fn record_thread(&self, py: Python<'_>, name: Option<String>) -> PyResult<()> {
        let Some(slot) = self.recorded() else { return Ok(()) };
        let name = name.map_or_else(|| thread_name(py), Ok)?;
        if let Some((session, _)) = slot.session(py) {
            slot.note(py, Kind::Run, u64::from(session.labels.of_text(name)));
        }
        Ok(())
    }

    /// At the beginning of a recording: records what the loop is doing already, in one of these threads.
    pub(crate) fn record_present(&self, py: Python<'_>, threads: &HashMap<u64, String>) -> PyResult<()> {
        let Some(thread) = self._thread_id() else { return Ok(()) };
        self.record_thread(py, Some(threads.get(&thread).cloned().unwrap_or_default()))?;
        let current =
            self.with_current(py, |current| current.task.as_ref().map(|task| task.bind(py).clone()));
        if let (Some(slot), Some(task)) = (self.recorded(), current) {
            slot.note(py, Kind::Step, task.as_ptr().addr() as u64);
        }
        Ok(())
    }

    /// Records that nothing runs, or what the loop does instead.
    #[inline]
    pub(super) fn record(&self, py: Python<'_>, kind: Kind) {
        if let Some(slot) = self.recorded() {
            slot.note(py, kind, 0);
        }
    }

    /// Records that a wait in the kernel was over at `awake`, and that the loop has the interpreter now.
    pub(super) fn record_wait_over(&self, py: Python<'_>, awake: Ticks) {
        if let Some(slot) = self.recorded() {
            slot.note_at(py, Kind::Awake, 0, awake);
            slot.note(py, Kind::Idle, 0);
        }
    }

    /// Records that the handling of an event begins.
    pub(super) fn record_event(&self, owner: &Bound<'_, PyAny>) {
        if let Some(slot) = self.recorded() {
            slot.note_named(owner.py(), Kind::Io, &named(owner));
        }
    }
}

impl LoopRef {
    /// Where to record, if it is a loop of ours and recorded.
    #[inline]
    pub(crate) fn recorded(&self) -> Option<&Slot> {
        match self {
            Self::Native(native) => native.get().recorded(),
            Self::Foreign(_) => None,
        }
    }

    /// Whether the calling thread runs the loop, or nobody does.
    pub(crate) fn is_here(&self) -> bool {
        match self {
            Self::Native(native) => native.get().runs_here() || !native.get().is_running(),
            Self::Foreign(_) => false,
        }
    }
}

#[inline]
fn named<'a, 'py>(object: &'a Bound<'py, PyAny>) -> Named<'a, 'py> {
    match object.as_exactly::<Operation>() {
        Some(operation) => Named::Text(operation.get().name()),
        None => Named::callable(object),
    }
}
