//! The fields of a task that asyncio's own code and tools in other processes read, in the room of each task.
//!
//! They are where `_asyncio.Task` has them, so `asyncio.Task.get_coro(task)` finds them, and so do `python -m asyncio
//! ps` and profilers, which read the memory of the process.
//!
//! Invariant: Rust code reaches the fields only inside the cell of their task. CPython's own code reads them while it
//! is attached.

use std::mem;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, PyTypeInfo};

use super::cell::Guarded;
use super::finalize::Dying;
use super::room::{COROUTINE, FutureRoom, Word, room_of};

/// The fields. Python's `None` stands for no coroutine and no context.
#[repr(C)]
pub(crate) struct TaskFields {
    /// The coroutine; `None` before `__init__` and after the end of an eager task.
    pub(crate) coroutine: Py<PyAny>,
    /// A `str`; or an `int` for a default name like `Task-1`.
    pub(crate) name: Option<Py<PyAny>>,
    /// The `contextvars.Context` of the steps; `None` before `__init__`.
    pub(crate) context: Py<PyAny>,
}

impl TaskFields {
    /// Whether `__init__` has run.
    #[inline]
    pub(crate) fn are_set(&self, py: Python<'_>) -> bool {
        !self.context.is_none(py)
    }
}

/// A class whose instances begin with the room of a task.
pub(crate) trait TaskRoom:
    PyClass<Frozen = True, BaseType: PyClass<BaseType = FutureRoom>> + Sync
{
    /// What the class keeps itself.
    type State: Send;

    /// The cell in which both are looked at.
    fn cell(&self) -> &Guarded<Self::State>;
}

/// Looks at the state of a task and at the fields in its room. The rules are those of `Guarded::with`.
#[inline]
pub(crate) fn look<T: TaskRoom, R>(
    task: &Bound<'_, T>,
    look: impl FnOnce(&mut T::State, &mut TaskFields) -> R,
) -> R {
    task.get().cell().with(task.py(), |state| {
        // SAFETY: by its types, the object begins with such a room, and this is the only way to the fields: inside the
        // cell, so there is no other reference to them.
        look(state, unsafe { &mut *fields_of(task.as_ptr()) })
    })
}

/// The fields of `object`, which must begin with the room of a task. They are written: `None` or null at first.
#[inline]
unsafe fn fields_of(object: *mut ffi::PyObject) -> *mut TaskFields {
    // SAFETY: by the contract. The three words have the layout of the struct.
    unsafe { room_of(object).cast::<Word>().add(COROUTINE).cast() }
}

/// Takes the references out of the fields.
///
/// # Safety
/// Attached; `object` must begin with the room of a task, or of a future, whose fields are as at first. Nobody else
/// may be looking at it.
#[inline]
pub(super) unsafe fn take(object: *mut ffi::PyObject) -> TaskFields {
    // SAFETY: by the contract. In new memory the fields may still be null, which isn't a `Py`, so they are replaced as
    // words.
    unsafe {
        let py = Python::assume_attached();
        let fields = fields_of(object);
        if (*fields.cast::<Word>()).is_null() {
            return TaskFields { coroutine: py.None(), name: None, context: py.None() };
        }
        mem::replace(&mut *fields, TaskFields { coroutine: py.None(), name: None, context: py.None() })
    }
}

/// Takes the references out of the fields of a dead task, and drops them.
#[inline]
pub(crate) fn release<T: TaskRoom + PyTypeInfo>(dying: &Dying<'_, T>) {
    let py = dying.py();
    // SAFETY: attached; by its types the object begins with the room of a task. It is dead, so nobody else looks.
    let TaskFields { coroutine, name, context } = unsafe { take(dying.as_ptr()) };
    context.drop_ref(py);
    coroutine.drop_ref(py);
    if let Some(name) = name {
        name.drop_ref(py);
    }
}

/// An `int` for the default name of task number `number`. Raises `MemoryError`.
#[inline]
pub(crate) fn numbered(py: Python<'_>, number: u64) -> PyResult<Py<PyAny>> {
    // SAFETY: attached; returns a new reference, or null with an exception.
    unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromUnsignedLongLong(number)).map(Bound::unbind) }
}
