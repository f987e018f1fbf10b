//! Long chains of objects are dropped in a loop: deallocators that call each other too deeply put the next object
//! aside.
//!
//! CPython does this for its own containers and for classes written in Python ("trashcan"); PyO3's deallocators
//! don't. A future whose result is a future whose result is a future... would otherwise overflow the C stack. All
//! classes with a finalizer are guarded in this way (`finalize.rs`); others are if they are `Chained`.
//!
//! Invariant: an object that was put aside has no reference and is hidden from the collector. This thread deallocates
//! it before the first deallocator that is too deep returns.

use std::cell::{Cell, RefCell};
use std::sync::OnceLock;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::{PyClass, PyTypeInfo};

/// How deeply deallocators may call each other; CPython's own limit.
const DEEPEST: u32 = 50;

/// How many deallocators run inside each other. With a GIL, those of all threads are counted together, which costs
/// less than one count per thread. If a thread gets the GIL while another one is deep, it puts objects aside early,
/// and empties its own list.
#[cfg(not(Py_GIL_DISABLED))]
mod depth {
    use std::sync::atomic::{AtomicU32, Ordering};

    static DEPTH: AtomicU32 = AtomicU32::new(0);

    #[inline(always)]
    pub(super) fn get() -> u32 {
        DEPTH.load(Ordering::Relaxed)
    }

    /// Called with the GIL, so nothing comes between the load and the store.
    #[inline(always)]
    pub(super) fn set(depth: u32) {
        DEPTH.store(depth, Ordering::Relaxed);
    }
}

/// How many deallocators of this thread run inside each other.
#[cfg(Py_GIL_DISABLED)]
mod depth {
    use std::cell::Cell;

    thread_local! {
        static DEPTH: Cell<u32> = const { Cell::new(0) };
    }

    #[inline(always)]
    pub(super) fn get() -> u32 {
        DEPTH.get()
    }

    #[inline(always)]
    pub(super) fn set(depth: u32) {
        DEPTH.set(depth);
    }
}

thread_local! {
    /// Whether a deallocator of this thread is going to empty the list below. Separate from it: without a destructor
    /// it exists to the very end of the thread.
    static DEEP: Cell<bool> = const { Cell::new(false) };
    static ASIDE: RefCell<Vec<(*mut ffi::PyObject, ffi::destructor)>> = const { RefCell::new(Vec::new()) };
}

/// Calls `deallocate(object)`, now or when the deallocators further up the stack are done.
///
/// # Safety
/// As for a call of the deallocator: attached, and `object` has no reference. It must be a direct instance of a class
/// that the collector knows. For a subclass, its own deallocator wouldn't be finished with it.
#[inline]
pub(super) unsafe fn deallocate(object: *mut ffi::PyObject, deallocate: ffi::destructor) {
    let depth = depth::get();
    if depth >= DEEPEST {
        // SAFETY: by the contract.
        return unsafe { deallocate_deep(object, deallocate) };
    }
    depth::set(depth + 1);
    // SAFETY: by the contract.
    unsafe { deallocate(object) };
    // Python code may have run, and with it other threads.
    depth::set(depth::get() - 1);
}

/// The same, deep down: the first call deallocates its object, and then those that calls inside it put aside.
///
/// # Safety
/// As for `deallocate`.
#[cold]
unsafe fn deallocate_deep(object: *mut ffi::PyObject, deallocate: ffi::destructor) {
    let first = !DEEP.replace(true);
    // SAFETY: by the contract.
    unsafe {
        if first || !put_aside(object, deallocate) {
            deallocate(object);
        }
    }
    if first {
        empty();
        DEEP.set(false);
    }
}

/// Keeps an object for later. Returns `false` at the very end of a thread, which has dropped the list for that.
///
/// # Safety
/// As for `deallocate`.
unsafe fn put_aside(object: *mut ffi::PyObject, deallocate: ffi::destructor) -> bool {
    ASIDE
        .try_with(|aside| {
            // SAFETY: attached, and the object is complete until its deallocator is called.
            unsafe { ffi::PyObject_GC_UnTrack(object.cast()) };
            aside.borrow_mut().push((object, deallocate));
        })
        .is_ok()
}

/// Deallocates everything that was put aside, and what is put aside meanwhile.
fn empty() {
    while let Ok(Some((object, deallocate))) = ASIDE.try_with(|aside| aside.borrow_mut().pop()) {
        // SAFETY: still attached, as the first of the deep deallocators is. The object has no reference and was put
        // aside once. Its deallocator and finalizer need it as it was, known to the collector.
        unsafe {
            ffi::PyObject_GC_Track(object.cast());
            deallocate(object);
        }
    }
}

/// Gives up a reference to an object that may be the next of a chain.
#[inline]
pub(crate) fn release(_py: Python<'_>, object: Py<PyAny>) {
    let object = object.into_ptr();
    // SAFETY: attached, and the reference was ours. Only the last reference to something that can hold others takes
    // the slow path, and nothing else uses the object then.
    unsafe {
        if ffi::Py_REFCNT(object) == 1
            && ffi::PyType_HasFeature(ffi::Py_TYPE(object), ffi::Py_TPFLAGS_HAVE_GC) != 0
        {
            deallocate(object, give_up);
        } else {
            ffi::Py_DECREF(object);
        }
    }
}

unsafe extern "C" fn give_up(object: *mut ffi::PyObject) {
    // SAFETY: attached; `release` has passed its reference on.
    unsafe { ffi::Py_DECREF(object) };
}

/// A class without a finalizer whose instances may hold one another in long chains.
pub(crate) trait Chained: PyClass {
    /// Keeps the class's previous deallocator. `chained!` writes it.
    const GENERAL: &'static OnceLock<ffi::destructor>;
}

unsafe extern "C" fn tp_dealloc<T: Chained + PyTypeInfo>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls the deallocator attached, with an instance to which nothing refers. The deallocator of a
    // subclass written in Python has its own trashcan, and calls this one for the base.
    unsafe {
        let general = *T::GENERAL.get().expect("install keeps it before it sets this function");
        if ffi::Py_TYPE(object) == T::type_object_raw(Python::assume_attached()) {
            deallocate(object, general);
        } else {
            general(object);
        }
    }
}

/// Sets the deallocator of `T`; called once, while the module is made.
pub(crate) fn install<T: Chained + PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T, and no instance exists yet.
    unsafe {
        let general = (*class).tp_dealloc.expect("a PyO3 class has a deallocator");
        if general as usize == tp_dealloc::<T> as *const () as usize {
            return;
        }
        assert!(T::GENERAL.set(general).is_ok(), "another class keeps its deallocator there");
        (*class).tp_dealloc = Some(tp_dealloc::<T>);
        ffi::PyType_Modified(class);
    }
}

/// Makes classes `Chained`.
macro_rules! chained {
    ($($class:ty),* $(,)?) => {
        $(impl $crate::base::ffi::trashcan::Chained for $class {
            const GENERAL: &'static std::sync::OnceLock<pyo3::ffi::destructor> = {
                static GENERAL: std::sync::OnceLock<pyo3::ffi::destructor> = std::sync::OnceLock::new();
                &GENERAL
            };
        })*
    };
}
pub(crate) use chained;
