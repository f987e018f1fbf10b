//! The lists of all tasks that the interpreter keeps from Python 3.14 on, and its note of the running task.
//!
//! Each thread has a list of the tasks that were made in it, linked through the tasks themselves. `asyncio.all_tasks()`
//! walks these lists, and so do tools in other processes. When a thread ends, CPython appends its list to one of the
//! interpreter's. Where the lists are is published (`base::published`). If that isn't as expected, nothing is linked:
//! then `asyncio.all_tasks()` asks ferrio's loops (`_standard.share_tasks`), and tools see no tasks.
//!
//! A call of `_asyncio._register_task` would do the same for ten times the price, and `_swap_current_task` likewise.
//!
//! Invariant: lists are changed with the GIL, or without one by the thread that made the task. CPython's own function
//! does it for other threads, which it stops meanwhile. A task leaves its list before its memory is freed.

use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3::exceptions::PyRuntimeError;
use pyo3::ffi;
use pyo3::prelude::*;

use super::awaiters::{AWAITED_BY_AT, IS_SET_AT, IS_TASK_AT};
use super::finalize::Dying;
use super::room::{COROUTINE, FLAGS, NODE, ROOM, TASK_WORDS, Word, room_of};
use super::task_fields::TaskRoom;
use crate::base::imports;
use crate::base::published::{TaskOffsets, ThreadOffsets, offsets_at};

/// A link of a list (`struct llist_node`); the list's head is one too.
#[repr(C)]
struct Node {
    next: *mut Node,
    previous: *mut Node,
}

/// Offsets in the state of a thread, 0 if they aren't known.
static TASKS: AtomicUsize = AtomicUsize::new(0);
static RUNNING_LOOP: AtomicUsize = AtomicUsize::new(0);
static RUNNING_TASK: AtomicUsize = AtomicUsize::new(0);

/// How a task must be laid out for its links and fields to be where ferrio writes them.
const EXPECTED: TaskOffsets = TaskOffsets {
    size: ROOM + TASK_WORDS * size_of::<usize>(),
    name: ROOM + (COROUTINE + 1) * size_of::<usize>(),
    awaited_by: AWAITED_BY_AT,
    is_task: IS_TASK_AT,
    awaited_by_is_set: IS_SET_AT,
    coroutine: ROOM + COROUTINE * size_of::<usize>(),
    node: ROOM + NODE * size_of::<usize>(),
};

/// Reads what the interpreter publishes; called once, while the module is made.
pub(crate) fn prepare(py: Python<'_>) -> PyResult<()> {
    if !cfg!(Py_3_14) {
        return Ok(());
    }
    let function = imports::REGISTER_TASK.get(py)?;
    // SAFETY: attached; only a function in C has an address.
    let address = unsafe {
        if ffi::PyCFunction_Check(function.as_ptr()) == 0 {
            return Ok(());
        }
        ffi::PyCFunction_GetFunction(function.as_ptr()).map_or(0, |function| function as usize)
    };
    if let Some(published) = offsets_at(address)
        && published.task == EXPECTED
    {
        let ThreadOffsets { running_loop, running_task, tasks } = published.thread;
        RUNNING_LOOP.store(running_loop, Ordering::Relaxed);
        RUNNING_TASK.store(running_task, Ordering::Relaxed);
        TASKS.store(tasks, Ordering::Relaxed);
    }
    Ok(())
}

/// Whether tasks are linked, so that `asyncio.all_tasks()` and tools find them.
pub(crate) fn is_known() -> bool {
    TASKS.load(Ordering::Relaxed) != 0
}

/// The field of this thread's state that is `offset` bytes from its start.
#[inline]
fn field_of_thread<T>(_py: Python<'_>, offset: usize) -> *mut T {
    // SAFETY: attached, so there is a state; the interpreter itself publishes the offset.
    unsafe { ffi::PyThreadState_Get().cast::<u8>().add(offset).cast() }
}

/// The link of `task`.
///
/// # Safety
/// `object` must begin with the room of a task.
#[inline]
unsafe fn node_of(object: *mut ffi::PyObject) -> *mut Node {
    // SAFETY: by the contract.
    unsafe { room_of(object).cast::<Word>().add(NODE).cast() }
}

/// Where a task keeps the mark of the thread that made it, without a GIL.
///
/// # Safety
/// As for `node_of`.
#[cfg(Py_GIL_DISABLED)]
#[inline]
unsafe fn thread_of(object: *mut ffi::PyObject) -> *mut usize {
    // SAFETY: by the contract; it is the last word.
    unsafe { room_of(object).cast::<usize>().add(TASK_WORDS - 1) }
}

/// Enters a new task into the list of this thread.
#[inline]
pub(crate) fn link<T: TaskRoom>(task: &Bound<'_, T>) {
    let tasks = TASKS.load(Ordering::Relaxed);
    if !cfg!(Py_3_14) || tasks == 0 {
        return;
    }
    let head: *mut Node = field_of_thread(task.py(), tasks);
    // SAFETY: attached. By its types, the task begins with such a room. The list belongs to this thread, and is changed
    // by others only with the GIL or while this thread is stopped.
    unsafe {
        let node = node_of(task.as_ptr());
        if !(*node).next.is_null() {
            return;
        }
        task.as_ptr().cast::<u8>().add(IS_TASK_AT).write(1);
        #[cfg(Py_GIL_DISABLED)]
        thread_of(task.as_ptr()).write(super::interpreter::thread_mark());
        let last = (*head).previous;
        *node = Node { next: head, previous: last };
        (*last).next = node;
        (*head).previous = node;
    }
}

/// Removes a task from the list that it is in, if it is in one.
#[inline]
pub(crate) fn unlink<T: TaskRoom>(task: &Bound<'_, T>) -> PyResult<()> {
    if !cfg!(Py_3_14) {
        return Ok(());
    }
    // SAFETY: attached; by its types, the task begins with such a room.
    let done = unsafe { unlink_object(task.as_ptr()) };
    if done { Ok(()) } else { imports::UNREGISTER_TASK.get(task.py())?.call1((task,)).map(drop) }
}

/// Returns whether the task is in no list now. It may be dead, when it can't be passed to a function any more.
///
/// # Safety
/// Attached; `object` must begin with the room of a task.
#[inline]
pub(super) unsafe fn unlink_object(object: *mut ffi::PyObject) -> bool {
    // SAFETY: by the contract. With a GIL nothing else changes the list; without one only the thread that made the task
    // may.
    unsafe {
        let node = node_of(object);
        if (*node).next.is_null() {
            return true;
        }
        #[cfg(Py_GIL_DISABLED)]
        if *thread_of(object) != super::interpreter::thread_mark() {
            return false;
        }
        let Node { next, previous } =
            ptr::replace(node, Node { next: ptr::null_mut(), previous: ptr::null_mut() });
        (*previous).next = next;
        (*next).previous = previous;
        true
    }
}

/// Whether a dropped task is still in a list.
#[inline]
pub(crate) fn is_linked<T: TaskRoom>(dying: &Dying<'_, T>) -> bool {
    // SAFETY: by its types, the object begins with such a room.
    cfg!(Py_3_14) && unsafe { !(*node_of(dying.as_ptr())).next.is_null() }
}

/// Leaves the room of a dead task as it was at first, except for the fields (see `task_fields`).
#[inline]
pub(crate) fn release<T: TaskRoom>(dying: &Dying<'_, T>) {
    if !cfg!(Py_3_14) {
        return;
    }
    let object = dying.as_ptr();
    // SAFETY: attached; by its types, the object begins with such a room. It is dead, so nobody else looks.
    unsafe {
        let unlinked = unlink_object(object);
        drop(super::awaiters::take(object));
        (*room_of(object))[FLAGS] = ptr::null_mut();
        #[cfg(Py_GIL_DISABLED)]
        if unlinked {
            *thread_of(object) = 0;
        }
        // With a GIL it always is.
        let _ = unlinked;
    }
}

/// Makes `task` (or none) the one that runs in this thread, for the standard library and for tools.
///
/// Raises `RuntimeError` if `home` isn't the running loop.
#[inline]
pub(crate) fn set_running(home: &Bound<'_, PyAny>, task: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = home.py();
    let (loop_at, task_at) = (RUNNING_LOOP.load(Ordering::Relaxed), RUNNING_TASK.load(Ordering::Relaxed));
    if loop_at == 0 {
        return imports::SWAP_CURRENT_TASK.get(py)?.call1((home, task)).map(drop);
    }
    let running: *mut *mut ffi::PyObject = field_of_thread(py, loop_at);
    let field: *mut *mut ffi::PyObject = field_of_thread(py, task_at);
    // SAFETY: attached, these are fields of this thread; that of the task is null or a reference of its own.
    let old = unsafe {
        if *running != home.as_ptr() {
            return Err(PyRuntimeError::new_err(format!("loop {} is not the running loop", home.repr()?)));
        }
        let new = task.map_or(ptr::null_mut(), |task| task.clone().into_ptr());
        std::mem::replace(&mut *field, new)
    };
    // SAFETY: attached; the reference was the field's.
    unsafe { ffi::Py_XDECREF(old) };
    Ok(())
}
