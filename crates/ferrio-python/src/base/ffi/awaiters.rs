//! Who awaits a task or future, where tools in other processes look for it (`task_awaited_by`), from Python 3.14 on.
//!
//! As in CPython: nothing, one object, or a set of several; a flag says which.
//!
//! Invariant: with a GIL, nothing else runs between the steps of one change. Without one, CPython's own functions make
//! the changes, under the lock of the object.

use std::ptr;

use pyo3::prelude::*;
use pyo3::{PyClass, ffi};

use super::room::{AWAITED_BY, FLAGS, FutureRoom, ROOM};
use crate::base::imports;

/// Offsets in an object.
pub(super) const AWAITED_BY_AT: usize = ROOM + AWAITED_BY * size_of::<usize>();
pub(super) const IS_TASK_AT: usize = ROOM + FLAGS * size_of::<usize>() + 4;
pub(super) const IS_SET_AT: usize = IS_TASK_AT + 1;

/// The word and the flag of an object that begins with the room of a future.
struct Note {
    word: *mut *mut ffi::PyObject,
    is_set: *mut bool,
}

impl Note {
    /// # Safety
    /// `object` must begin with the room of a future.
    #[inline]
    unsafe fn of(object: *mut ffi::PyObject) -> Self {
        // SAFETY: by the contract.
        unsafe {
            let object = object.cast::<u8>();
            Self { word: object.add(AWAITED_BY_AT).cast(), is_set: object.add(IS_SET_AT).cast() }
        }
    }

    /// The note of `future`, to be changed here. `None` before Python 3.14, where there is none, and without a GIL.
    #[inline]
    fn ours(future: &Bound<'_, impl PyClass<BaseType = FutureRoom>>) -> Option<Self> {
        // SAFETY: by its type, the object begins with such a room.
        cfg!(all(Py_3_14, not(Py_GIL_DISABLED))).then(|| unsafe { Self::of(future.as_ptr()) })
    }
}

/// Has asyncio's own function do it, which doesn't exist before Python 3.14.
pub(crate) fn by_standard(
    function: &imports::Import,
    future: &Bound<'_, PyAny>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    if cfg!(Py_3_14) { function.get(future.py())?.call1((future, waiter)).map(drop) } else { Ok(()) }
}

/// Notes that `waiter` awaits `future`.
#[inline]
pub(crate) fn add(
    future: &Bound<'_, impl PyClass<BaseType = FutureRoom>>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let Some(Note { word, is_set }) = Note::ours(future) else {
        return by_standard(&imports::STANDARD_ADD_TO_AWAITED_BY, future.as_any(), waiter);
    };
    // SAFETY: attached, with a GIL; the word is null or a reference of its own.
    unsafe {
        if (*word).is_null() {
            *word = waiter.clone().into_ptr();
            return Ok(());
        }
        add_another(future.py(), word, is_set, waiter)
    }
}

/// Notes one more.
///
/// # Safety
/// Attached, with a GIL; as `Note::of` returns them, and not null.
#[cold]
unsafe fn add_another(
    py: Python<'_>,
    word: *mut *mut ffi::PyObject,
    is_set: *mut bool,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    // SAFETY: by the contract. Adding to a set hashes by identity, or runs Python code of a subclass; what is in the
    // word is a reference of our own meanwhile.
    unsafe {
        let known = Bound::from_borrowed_ptr(py, *word);
        if !*is_set {
            if known.is(waiter) {
                return Ok(());
            }
            let set = Bound::from_owned_ptr_or_err(py, ffi::PySet_New(ptr::null_mut()))?;
            if ffi::PySet_Add(set.as_ptr(), known.as_ptr()) != 0
                || ffi::PySet_Add(set.as_ptr(), waiter.as_ptr()) != 0
            {
                return Err(PyErr::fetch(py));
            }
            let old = std::mem::replace(&mut *word, set.into_ptr());
            *is_set = true;
            ffi::Py_XDECREF(old);
            return Ok(());
        }
        if ffi::PySet_Add(known.as_ptr(), waiter.as_ptr()) != 0 { Err(PyErr::fetch(py)) } else { Ok(()) }
    }
}

/// Forgets what `add` noted of the two.
#[inline]
pub(crate) fn discard(
    future: &Bound<'_, impl PyClass<BaseType = FutureRoom>>,
    waiter: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let Some(Note { word, is_set }) = Note::ours(future) else {
        return by_standard(&imports::STANDARD_DISCARD_FROM_AWAITED_BY, future.as_any(), waiter);
    };
    // SAFETY: as for `add`.
    unsafe {
        if *word == waiter.as_ptr() {
            ffi::Py_DECREF(std::mem::replace(&mut *word, ptr::null_mut()));
        } else if *is_set {
            let set = Bound::from_borrowed_ptr(future.py(), *word);
            if ffi::PySet_Discard(set.as_ptr(), waiter.as_ptr()) < 0 {
                return Err(PyErr::fetch(future.py()));
            }
        }
    }
    Ok(())
}

/// Forgets everybody, when nobody has anything left to await.
#[inline]
pub(crate) fn clear(future: &Bound<'_, impl PyClass<BaseType = FutureRoom>>) -> PyResult<()> {
    if Note::ours(future).is_none() {
        return noted(future)?.iter().try_for_each(|waiter| discard(future, waiter));
    }
    // SAFETY: as for `add`; nothing else looks while a GIL is held.
    drop(unsafe { take(future.as_ptr()) });
    Ok(())
}

/// Those that are noted.
pub(crate) fn noted<'py>(
    future: &Bound<'py, impl PyClass<BaseType = FutureRoom>>,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let py = future.py();
    let Some(Note { word, is_set }) = Note::ours(future) else {
        if !cfg!(Py_3_14) {
            return Ok(Vec::new());
        }
        let noted = imports::STANDARD_FUTURE.get(py)?.getattr("_asyncio_awaited_by")?;
        let noted = noted.call_method1("__get__", (future,))?;
        return if noted.is_none() { Ok(Vec::new()) } else { noted.try_iter()?.collect() };
    };
    // SAFETY: as for `add`.
    let (known, is_set) = unsafe { (Bound::from_borrowed_ptr_or_opt(py, *word), *is_set) };
    match known {
        None => Ok(Vec::new()),
        Some(set) if is_set => set.try_iter()?.collect(),
        Some(one) => Ok(vec![one]),
    }
}

/// Takes out the one that is noted, or the set.
///
/// # Safety
/// Attached; `object` must begin with the room of a future, and nobody else may be looking at it.
#[inline]
pub(super) unsafe fn take(object: *mut ffi::PyObject) -> Option<Py<PyAny>> {
    // SAFETY: by the contract; the word is null or a reference of its own.
    unsafe {
        let Note { word, is_set } = Note::of(object);
        *is_set = false;
        let noted = std::mem::replace(&mut *word, ptr::null_mut());
        Bound::from_owned_ptr_or_opt(Python::assume_attached(), noted).map(Bound::unbind)
    }
}
