//! A place where one thread shows an object to the others for as long as it works on it.
//!
//! Showing counts no reference, because a loop shows every item that it runs. Invariant: the owner holds the object
//! while it is on show. With a GIL only attached threads show, hide and take, so a store is enough. Without one a
//! lock keeps a thread that takes the object from doing so while it is hidden.

use std::sync::atomic::{AtomicPtr, Ordering};
#[cfg(Py_GIL_DISABLED)]
use std::sync::{Mutex, PoisonError};

use pyo3::ffi;
use pyo3::prelude::*;

/// The place; empty at first.
pub(crate) struct OnShow {
    object: AtomicPtr<ffi::PyObject>,
    #[cfg(Py_GIL_DISABLED)]
    lock: Mutex<()>,
}

impl OnShow {
    pub(crate) const fn new() -> Self {
        Self {
            object: AtomicPtr::new(std::ptr::null_mut()),
            #[cfg(Py_GIL_DISABLED)]
            lock: Mutex::new(()),
        }
    }

    /// Calls `body` while `object` is on show; afterwards the previous object is, or none.
    #[inline]
    pub(crate) fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        let _hide = Hide { place: self, previous: self.put(object.as_ptr()), _object: object };
        body()
    }

    /// Whether an object is on show; any thread may ask.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.object.load(Ordering::Relaxed).is_null()
    }

    /// The address of the object on show; any thread may ask.
    pub(crate) fn address(&self) -> Option<usize> {
        let object = self.object.load(Ordering::Relaxed);
        (!object.is_null()).then_some(object as usize)
    }

    /// The object on show, for another thread to keep.
    pub(crate) fn take<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        #[cfg(Py_GIL_DISABLED)]
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let object = self.object.load(Ordering::Relaxed);
        // SAFETY: attached. What is on show is a live object: `during` borrows it until it is hidden again. With a GIL
        // nobody hides it now, because this thread has the GIL; without one this thread has the lock.
        unsafe { Bound::from_borrowed_ptr_or_opt(py, object) }
    }

    #[inline]
    fn put(&self, object: *mut ffi::PyObject) -> *mut ffi::PyObject {
        #[cfg(Py_GIL_DISABLED)]
        let _held = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let previous = self.object.load(Ordering::Relaxed);
        self.object.store(object, Ordering::Relaxed);
        previous
    }
}

/// Restores the previous object, whatever happens in between.
struct Hide<'a, 'py> {
    place: &'a OnShow,
    previous: *mut ffi::PyObject,
    _object: &'a Bound<'py, PyAny>,
}

impl Drop for Hide<'_, '_> {
    #[inline]
    fn drop(&mut self) {
        self.place.put(self.previous);
    }
}
