//! What is recorded of a task (`base/recording`): that it was made, what it waits for, how it ended.

use ferrio_engine::recorder::{End, ended as end_value};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString};

use super::Task;
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine;
use crate::base::ffi::task_fields::look;
use crate::base::recording::{Labels, Named, Slot};
use crate::core::operation::Operation;

impl Task {
    /// The number of a task in a recording.
    #[inline]
    pub(crate) fn recorded_id(task: &Bound<'_, Self>) -> u64 {
        task.as_ptr().addr() as u64
    }

    /// Records what `task` waits for from now on.
    pub(super) fn record_wait(slot: &Slot, task: &Bound<'_, Self>, waiter: &Bound<'_, PyAny>) {
        let py = task.py();
        if let Some(operation) = waiter.as_exactly::<Operation>() {
            slot.note_wait(py, Self::recorded_id(task), &Named::Text(operation.get().name()));
        } else if let Some(awaited) = waiter.as_instance::<Self>() {
            slot.note_wait_for_actor(py, Self::recorded_id(task), Self::recorded_id(awaited));
        } else {
            slot.note_wait(py, Self::recorded_id(task), &Named::Callable(waiter));
        }
    }

    /// Records that the task has ended, or that its loop was closed before.
    pub(crate) fn record_end(slot: &Slot, task: &Bound<'_, Self>, how: End) {
        let py = task.py();
        let (name, number) =
            look(task, |state, fields| (fields.name.as_ref().map(|name| name.clone_ref(py)), state.number));
        let Some(label) = Self::with_named_coroutine(task, |named| slot.label(py, named)) else { return };
        let value = end_value(how, label);
        let Some(name) = name.map(|name| name.into_bound(py)) else {
            return slot.note_ended(py, Self::recorded_id(task), value, number, None);
        };
        // Tools in other processes see a default name as a number.
        let number = if name.is_exact_instance_of::<PyInt>() { name.extract().ok() } else { None };
        let text = name.cast::<PyString>().ok().map(|name| name.to_string_lossy());
        slot.note_ended(py, Self::recorded_id(task), value, number.unwrap_or_default(), text.as_deref());
    }

    /// The label of what a task runs.
    pub(crate) fn coroutine_label(labels: &Labels, task: &Bound<'_, Self>) -> u32 {
        Self::with_named_coroutine(task, |named| labels.label(named).0)
    }

    /// Calls `body` with the name of what a task runs.
    fn with_named_coroutine<R>(task: &Bound<'_, Self>, body: impl FnOnce(&Named<'_, '_>) -> R) -> R {
        let py = task.py();
        let running = look(task, |_, fields| fields.coroutine.bind(py).clone());
        if let Some(operation) = running.as_exactly::<Operation>() {
            return body(&Named::Text(operation.get().name()));
        }
        match coroutine::qualname(&running) {
            Some(name) => body(&Named::Str(name)),
            None => body(&Named::Callable(&running)),
        }
    }
}
