//! Chains of objects that hold one another are freed in a loop, however long they are.
//!
//! Freeing an object lets go of the next one, which is freed inside the first one's end: a chain of a hundred thousand would
//! overflow the native stack. CPython's containers have their "trashcan" against that; this is the same for classes made with
//! PyO3. An object that dies too deep inside the ends of others is put aside, and the outermost end frees it.
//!
//! Invariant: what is put aside belongs to the thread that put it aside, has no references and is hidden from the collector.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyClass, PyTypeInfo};

/// How deep ends may stand inside one another; CPython's own number.
const DEEPEST: u32 = 50;

/// A class whose instances may hold one another in long chains.
pub(crate) trait Chained: PyClass {
    /// Where the deallocator is kept that the class had before.
    fn general_end() -> &'static AtomicPtr<()>;
}

/// What one thread is in the middle of.
struct Ends {
    depth: Cell<u32>,
    /// Whether something is put aside.
    waiting: Cell<bool>,
}

/// An object that is put aside, and how it ends: by this deallocator, or by giving up its last reference.
type PutAside = (*mut ffi::PyObject, Option<ffi::destructor>);

thread_local! {
    static ENDS: Ends = const { Ends { depth: Cell::new(0), waiting: Cell::new(false) } };
    static PUT_ASIDE: RefCell<Vec<PutAside>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn tp_dealloc<T: Chained + PyTypeInfo>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls the deallocator attached, with an instance that nothing refers to. The pointer kept by `install`
    // is a deallocator of this very class. A Python subclass's instance comes here from CPython's own deallocator, which
    // guards it by the trashcan.
    unsafe {
        let general: ffi::destructor =
            std::mem::transmute::<*mut (), ffi::destructor>(T::general_end().load(Ordering::Relaxed));
        if ffi::Py_TYPE(object) == T::type_object_raw(Python::assume_attached()) {
            end_nested(object, Some(general));
        } else {
            general(object);
        }
    }
}

/// Gives up a reference to an object that may be the next of a chain.
#[inline]
pub(crate) fn release(_py: Python<'_>, object: Py<PyAny>) {
    let object = object.into_ptr();
    // SAFETY: attached, and the reference was ours. Only the last reference to something that can hold others goes the long
    // way; without a GIL the count may be of another thread's part, which is as good.
    unsafe {
        if ffi::Py_REFCNT(object) == 1
            && ffi::PyType_HasFeature(ffi::Py_TYPE(object), ffi::Py_TPFLAGS_HAVE_GC) != 0
        {
            end_nested(object, None);
        } else {
            ffi::Py_DECREF(object);
        }
    }
}

/// Ends `object`, or puts it aside.
///
/// # Safety
/// Attached; with a deallocator the object has no references and is tracked by the collector, without one the caller gives
/// a reference away.
unsafe fn end_nested(object: *mut ffi::PyObject, how: Option<ffi::destructor>) {
    ENDS.with(|ends| {
        let depth = ends.depth.get();
        // SAFETY: by the contract, and what was put aside was so by this function.
        unsafe {
            if depth >= DEEPEST && put_aside(object, how) {
                ends.waiting.set(true);
                return;
            }
            ends.depth.set(depth + 1);
            end(object, how);
            if depth == 0 && ends.waiting.get() {
                while let Some((object, how)) = PUT_ASIDE.with_borrow_mut(Vec::pop) {
                    if how.is_some() {
                        ffi::PyObject_GC_Track(object.cast());
                    }
                    end(object, how);
                }
                ends.waiting.set(false);
            }
            ends.depth.set(depth);
        }
    });
}

/// Puts `object` aside. Returns `false` if there is no memory for that.
///
/// # Safety
/// As for `end_nested`.
#[cold]
unsafe fn put_aside(object: *mut ffi::PyObject, how: Option<ffi::destructor>) -> bool {
    PUT_ASIDE.with_borrow_mut(|objects| {
        let room = objects.try_reserve(1).is_ok();
        if room {
            if how.is_some() {
                // SAFETY: by the contract; the collector must not see an object without references.
                unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
            }
            objects.push((object, how));
        }
        room
    })
}

/// # Safety
/// As for `end_nested`.
#[inline]
unsafe fn end(object: *mut ffi::PyObject, how: Option<ffi::destructor>) {
    // SAFETY: by the contract.
    unsafe {
        match how {
            Some(dealloc) => dealloc(object),
            None => ffi::Py_DECREF(object),
        }
    }
}

/// Sets the deallocator of `T`; called once, while the module is made, after the finalizer's.
pub(crate) fn install<T: Chained + PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T, and no instance exists yet.
    unsafe {
        let general = (*class).tp_dealloc.expect("a PyO3 class has a deallocator");
        if general as usize == tp_dealloc::<T> as *const () as usize {
            return;
        }
        T::general_end().store(general as *mut (), Ordering::Relaxed);
        (*class).tp_dealloc = Some(tp_dealloc::<T>);
        ffi::PyType_Modified(class);
    }
}

/// Marks a class as one whose instances may form chains.
macro_rules! chained {
    ($($class:ty),* $(,)?) => {
        $(impl $crate::base::ffi::chained::Chained for $class {
            fn general_end() -> &'static std::sync::atomic::AtomicPtr<()> {
                static GENERAL_END: std::sync::atomic::AtomicPtr<()> =
                    std::sync::atomic::AtomicPtr::new(std::ptr::null_mut());
                &GENERAL_END
            }
        })*
    };
}
pub(crate) use chained;
