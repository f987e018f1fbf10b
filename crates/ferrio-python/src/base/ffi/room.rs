//! Room for the fields of asyncio's own classes, at the beginning of ferrio's objects.
//!
//! ferrio's classes are subclasses of asyncio's (see `inherit`), so the methods and attributes of asyncio's classes
//! accept ferrio's objects: `asyncio.Task.get_name(task)`. Those written in C, and those of classes with `__slots__`,
//! read and write fields at fixed offsets. So an object of such a class begins with memory at the offsets of these
//! fields. It is zeroed, as in an object whose `__init__` hasn't run yet, which CPython's code can handle; where it
//! can't, there is `None`.
//!
//! A room is a base class, so that PyO3 lays out the other fields behind it. Setting it up costs next to nothing: new
//! memory is zeroed, and the room in a reused block was cleared. ferrio itself keeps there what others read of a task
//! (`task_fields`), and from Python 3.14 on who awaits it (`awaiters`) and its place among all tasks (`task_list`).
//!
//! Invariant: when an object is dropped, its room is empty again, or its memory isn't reused.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::PyTypeInfo;
use pyo3::ffi;
use pyo3::impl_::pycell::{PyClassObjectBase, PyStaticClassObject};
use pyo3::impl_::pyclass::{PyClassBaseType, PyClassImpl};
use pyo3::impl_::pyclass_init::PyNativeTypeInitializer;
use pyo3::prelude::*;
use pyo3::type_object::{PyLayout, PySizedLayout};
use pyo3::types::DerefToPyAny;

/// A word of memory.
pub(super) type Word = *mut c_void;

/// An object that begins with a room of `WORDS` words.
#[repr(C)]
pub(crate) struct Layout<const WORDS: usize> {
    object: ffi::PyObject,
    room: UnsafeCell<[Word; WORDS]>,
}

/// Where the room begins in an object, in bytes.
pub(super) const ROOM: usize = size_of::<ffi::PyObject>();

/// A base class that only has room for `WORDS` words.
pub(crate) struct Room<const WORDS: usize>(());

/// `_asyncio.Task` without the fields of every object; a task begins with a future.
pub(super) const TASK_WORDS: usize = if cfg!(Py_3_14) {
    19 + cfg!(Py_GIL_DISABLED) as usize
} else if cfg!(Py_3_13) {
    16
} else {
    20
};

/// Room for a future or a task.
pub(crate) type FutureRoom = Room<TASK_WORDS>;

/// Room for an `asyncio.TimerHandle`, which begins with a `Handle`.
pub(crate) type HandleRoom = Room<{ if cfg!(Py_3_12) { 9 } else { 10 } }>;

/// Room for the slots of asyncio's transports: `_extra`, and those of flow control.
pub(crate) type TransportRoom = Room<5>;

/// Where a task notes what awaits it, from Python 3.14 on.
pub(super) const AWAITED_BY: usize = 10;

/// The word of a future's state and flags, from Python 3.14 on.
pub(super) const FLAGS: usize = 11;

/// Where a task has its coroutine, its name and its context, one after the other. In some versions `get_coro` and
/// `get_context` return what is there without a check, so `None` is there at first.
pub(super) const COROUTINE: usize = if cfg!(Py_3_14) {
    14
} else if cfg!(Py_3_13) {
    13
} else {
    15
};
const CONTEXT: usize = COROUTINE + 2;

/// Where a task is linked into the list of its thread's tasks, from Python 3.14 on: `next`, followed by `prev`.
pub(super) const NODE: usize = 17;

/// The initial content of a word.
#[inline(always)]
fn initial<const WORDS: usize>(index: usize) -> Word {
    if WORDS == TASK_WORDS && (index == COROUTINE || index == CONTEXT) {
        // SAFETY: the address of a static object.
        return unsafe { ffi::Py_None().cast() };
    }
    ptr::null_mut()
}

/// The room of a task or a future.
///
/// # Safety
/// `object` must begin with such a room.
#[inline]
pub(super) unsafe fn room_of(object: *mut ffi::PyObject) -> *mut [Word; TASK_WORDS] {
    // SAFETY: by the contract.
    unsafe { (*object.cast::<Layout<TASK_WORDS>>()).room.get() }
}

/// Allocates an object. Unlike `object.__new__` on CPython 3.11 it makes no dictionary: that could run the collector,
/// and with it Python code, while the fields behind the room aren't written. The dictionary is made on demand.
unsafe extern "C" fn tp_new<const WORDS: usize>(
    class: *mut ffi::PyTypeObject,
    _arguments: *mut ffi::PyObject,
    _keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: attached, PyO3's call with a class that is derived from this one. The memory is new or was emptied.
    unsafe {
        let allocate = (*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc);
        let object = allocate(class, 0);
        if !object.is_null() && WORDS == TASK_WORDS {
            let room = &mut *(*object.cast::<Layout<WORDS>>()).room.get();
            for index in [COROUTINE, CONTEXT] {
                room[index] = initial::<WORDS>(index);
                // Immortal since then.
                if !cfg!(Py_3_12) {
                    ffi::Py_INCREF(room[index].cast());
                }
            }
        }
        object
    }
}

unsafe extern "C" fn tp_dealloc<const WORDS: usize>(object: *mut ffi::PyObject) {
    // SAFETY: CPython's contract: attached, and the object is dead. PyO3 calls this for the base class at the end of
    // its own deallocator, and drops the class afterwards. All words of a room may be read.
    unsafe {
        let room = (*object.cast::<Layout<WORDS>>()).room.get();
        let untouched = Room::<WORDS>::is_empty(object);
        if !untouched && !empty(object, &mut *room) {
            return;
        }
        if !cfg!(Py_3_12) && untouched && WORDS == TASK_WORDS {
            ffi::Py_DECREF(ffi::Py_None());
            ffi::Py_DECREF(ffi::Py_None());
        }
        let free = (*ffi::Py_TYPE(object)).tp_free.expect("every class has tp_free");
        free(object.cast());
    }
}

impl<const WORDS: usize> Room<WORDS> {
    /// Whether there is nothing in the room of `object`.
    ///
    /// # Safety
    /// `object` must begin with such a room, which nobody else uses.
    #[inline]
    pub(super) unsafe fn is_empty(object: *mut ffi::PyObject) -> bool {
        // SAFETY: by the contract; all words of a room may be read.
        let room = unsafe { &*(*object.cast::<Layout<WORDS>>()).room.get() };
        let left = room.iter().enumerate();
        left.fold(0, |any, (index, word)| any | (word.addr() ^ initial::<WORDS>(index).addr())) == 0
    }
}

/// Whether asyncio's code keeps a reference in that word. The other words of a task are numbers and the links of a
/// list; slots of Python classes are references.
fn is_reference<const WORDS: usize>(index: usize) -> bool {
    if WORDS != TASK_WORDS || (COROUTINE - 1..=CONTEXT).contains(&index) {
        return true;
    }
    let of_future = if cfg!(Py_3_14) {
        10
    } else if cfg!(Py_3_13) {
        9
    } else {
        8
    };
    index <= of_future || (!cfg!(Py_3_13) && index == 13)
}

/// Drops what asyncio's code left in the room of a dead object. Returns whether the memory can be freed.
#[cold]
unsafe fn empty<const WORDS: usize>(object: *mut ffi::PyObject, room: &mut [Word; WORDS]) -> bool {
    // SAFETY: CPython's call of the deallocator, so this thread is attached; the object is dead.
    if cfg!(Py_3_14) && WORDS == TASK_WORDS && unsafe { !super::task_list::unlink_object(object) } {
        return false;
    }
    for (index, word) in room.iter_mut().enumerate() {
        let field = std::mem::replace(word, ptr::null_mut());
        if is_reference::<WORDS>(index) {
            // SAFETY: attached; asyncio's code keeps a reference or null there.
            unsafe { ffi::Py_XDECREF(field.cast()) };
        }
    }
    true
}

/// Shows the references that ferrio keeps in a room to the collector. asyncio's code hardly ever leaves others there.
unsafe extern "C" fn tp_traverse<const WORDS: usize>(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> c_int {
    if WORDS != TASK_WORDS {
        return 0;
    }
    // SAFETY: the collector's call on a live object; each of these words is null or a reference that the room owns.
    // The collector knows nothing of `None`, so a future, which has no coroutine, doesn't show it.
    unsafe {
        let room = &*(*object.cast::<Layout<WORDS>>()).room.get();
        for word in
            [room[COROUTINE], room[CONTEXT], if cfg!(Py_3_14) { room[AWAITED_BY] } else { ptr::null_mut() }]
        {
            if !word.is_null() && word != ffi::Py_None().cast() {
                let outcome = visit(word.cast(), argument);
                if outcome != 0 {
                    return outcome;
                }
            }
        }
    }
    0
}

unsafe extern "C" fn tp_clear<const WORDS: usize>(object: *mut ffi::PyObject) -> c_int {
    if WORDS == TASK_WORDS {
        // SAFETY: the collector's call, attached, on a live object. The references are taken out before they are
        // dropped.
        unsafe {
            drop(super::task_fields::take(object));
            if cfg!(Py_3_14) {
                drop(super::awaiters::take(object));
            }
        }
    }
    0
}

#[cold]
fn make<const WORDS: usize>(py: Python<'_>) -> *mut ffi::PyTypeObject {
    let mut slots = [
        ffi::PyType_Slot { slot: ffi::Py_tp_new, pfunc: tp_new::<WORDS> as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_dealloc, pfunc: tp_dealloc::<WORDS> as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_traverse, pfunc: tp_traverse::<WORDS> as *mut c_void },
        ffi::PyType_Slot { slot: ffi::Py_tp_clear, pfunc: tp_clear::<WORDS> as *mut c_void },
        ffi::PyType_Slot { slot: 0, pfunc: ptr::null_mut() },
    ];
    let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_BASETYPE | ffi::Py_TPFLAGS_HAVE_GC;
    let mut spec = ffi::PyType_Spec {
        name: c"ferrio._ferrio._Room".as_ptr(),
        basicsize: c_int::try_from(size_of::<Layout<WORDS>>()).expect("a few hundred bytes"),
        itemsize: 0,
        flags: u32::try_from(flags).expect("these flags are among the lower ones"),
        slots: slots.as_mut_ptr(),
    };
    // SAFETY: attached; CPython copies what it needs of the specification.
    let class = unsafe { ffi::PyType_FromSpec(&mut spec) };
    assert!(!class.is_null(), "a class without methods needs memory only: {:?}", PyErr::take(py));
    class.cast()
}

macro_rules! base_class {
    ($words:expr) => {
        // SAFETY: the class is made with the size of this layout.
        unsafe impl PyTypeInfo for Room<{ $words }> {
            #[inline]
            fn type_object_raw(py: Python<'_>) -> *mut ffi::PyTypeObject {
                static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());
                let known = CLASS.load(Ordering::Acquire);
                if !known.is_null() {
                    return known;
                }
                // The module is made by one thread.
                let class = make::<{ $words }>(py);
                CLASS.store(class, Ordering::Release);
                class
            }
        }

        // SAFETY: an instance of the class begins with it.
        unsafe impl PyLayout<Room<{ $words }>> for Layout<{ $words }> {}
        impl PySizedLayout<Room<{ $words }>> for Layout<{ $words }> {}
        impl DerefToPyAny for Room<{ $words }> {}

        impl PyClassBaseType for Room<{ $words }> {
            type LayoutAsBase = PyClassObjectBase<Layout<{ $words }>>;
            type BaseNativeType = Self;
            type Initializer = PyNativeTypeInitializer<Self>;
            type PyClassMutability = <PyAny as PyClassBaseType>::PyClassMutability;
            type Layout<T: PyClassImpl> = PyStaticClassObject<T>;
        }
    };
}

base_class!(TASK_WORDS);
base_class!(if cfg!(Py_3_12) { 9 } else { 10 });
base_class!(5);
