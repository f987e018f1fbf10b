//! Finalizers (PEP 442) for classes made with PyO3, which offers no `__del__`.
//!
//! `install::<T>()` sets `tp_finalize`, and a `tp_dealloc` that calls it when a direct instance's reference count
//! drops to zero; the collector calls `tp_finalize` for cycles. A Python subclass only inherits its finalizer through
//! the name `__del__`, so that is set too: a slot without the name would be cleared in the subclass. CPython makes
//! sure that a finalizer runs at most once per object.

use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;
#[cfg(Py_GIL_DISABLED)]
use std::sync::atomic::Ordering;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::{PyClass, PyTypeInfo};

use super::protect::protected;
use super::{raise, trashcan};

/// A class whose instances have something to report when they are dropped.
pub(crate) trait Finalize: PyClass<Frozen = True> + Sync {
    /// A cheap test, run for every dropped instance: is there anything to report?
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool;

    /// Reports it. The object is alive and complete; an exception is reported as unraisable.
    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()>;

    /// Whether `let_go` does anything for the class.
    const LETS_GO: bool = false;

    /// Releases references of a dead object by `drop_ref`, which is faster than `drop`: it doesn't check the thread. The
    /// rest is dropped afterwards.
    #[inline]
    fn let_go(_dying: &Dying<'_, Self>) {}

    /// Keeps the class's previous deallocator. `general!` writes it.
    const GENERAL: &'static General;
}

/// An object that may have no references left: its state can be read, but it can't be kept.
pub(crate) struct Dying<'py, T> {
    object: *mut ffi::PyObject,
    py: Python<'py>,
    class: PhantomData<T>,
}

impl<'py, T: PyClass<Frozen = True> + Sync> Dying<'py, T> {
    /// # Safety
    /// `object` must be an instance of `T` that stays complete as long as the result lives.
    unsafe fn new(py: Python<'py>, object: *mut ffi::PyObject) -> Self {
        Self { object, py, class: PhantomData }
    }

    pub(crate) fn py(&self) -> Python<'py> {
        self.py
    }

    /// The object, for the other files of this folder.
    #[inline]
    pub(super) fn as_ptr(&self) -> *mut ffi::PyObject {
        self.object
    }

    /// The value.
    #[inline]
    pub(crate) fn get(&self) -> &T {
        // SAFETY: by the contract of `new`. The reference is never counted, neither here nor by a clone, because it
        // doesn't escape.
        let value = unsafe {
            let slf =
                ManuallyDrop::new(Bound::from_owned_ptr(self.py, self.object).cast_into_unchecked::<T>());
            std::ptr::from_ref(slf.get())
        };
        // SAFETY: the value lives as long as `self` may be used; the class is frozen.
        unsafe { &*value }
    }

    /// The same object as an instance of its base class.
    #[inline]
    pub(crate) fn as_super(&self) -> Dying<'py, T::BaseType>
    where
        T::BaseType: PyClass<Frozen = True> + Sync,
    {
        // SAFETY: an instance of a class is also one of its base class.
        unsafe { Dying::new(self.py, self.object) }
    }
}

/// The previous deallocator of a class that got a finalizer.
pub(crate) struct General(OnceLock<ffi::destructor>);

impl General {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }
}

/// `Finalize::GENERAL` of a class.
macro_rules! general {
    () => {
        const GENERAL: &'static $crate::base::ffi::finalize::General = {
            static GENERAL: $crate::base::ffi::finalize::General =
                $crate::base::ffi::finalize::General::new();
            &GENERAL
        };
    };
}
pub(crate) use general;

unsafe extern "C" fn tp_finalize<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls finalizers attached, with a live instance of the class (or of a subclass of it).
    let (py, slf, dying) = unsafe {
        let py = Python::assume_attached();
        let slf = Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<T>();
        (py, slf, Dying::<T>::new(py, object))
    };
    // Finalizers run anywhere, so an exception in flight must be kept.
    let _pending = raise::set_aside(py);
    let went_well = protected(py, false, || {
        if T::wants_finalize(&dying)
            && let Err(error) = T::finalize(&slf)
        {
            error.write_unraisable(py, Some(slf.as_any()));
        }
        true
    });
    if !went_well {
        raise::write_unraisable(&slf);
    }
}

/// `object.__del__()`, for a subclass's instances and `super().__del__()`.
unsafe extern "C" fn del_method<T: Finalize>(
    object: *mut ffi::PyObject,
    _no_arguments: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: the method descriptor checks that `object` is an instance of T; called attached, with a live reference.
    // None is immortal or counted here.
    unsafe {
        tp_finalize::<T>(object);
        let none = ffi::Py_None();
        ffi::Py_INCREF(none);
        none
    }
}

unsafe extern "C" fn tp_dealloc<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls the deallocator attached, with an instance whose reference count has reached zero. The
    // deallocator of a subclass written in Python has its own trashcan, and calls this one for the base.
    unsafe {
        if ffi::Py_TYPE(object) == T::type_object_raw(Python::assume_attached()) {
            trashcan::deallocate(object, deallocate::<T>);
        } else {
            deallocate::<T>(object);
        }
    }
}

unsafe extern "C" fn deallocate<T: Finalize>(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls the deallocator attached, with an instance whose reference count has reached zero; it is
    // complete until the general deallocator runs. That one belongs to this very class: `install` stores it before it
    // sets this function, and lets no other class store one there.
    unsafe {
        let py = Python::assume_attached();
        let dying = Dying::<T>::new(py, object);
        // If this panics, there is something to report.
        let wants = catch_unwind(AssertUnwindSafe(|| T::wants_finalize(&dying))).unwrap_or(true);
        if wants && ffi::PyObject_CallFinalizerFromDealloc(object) != 0 {
            return;
        }
        if T::LETS_GO {
            // That may run Python code. The collector must not find this object meanwhile.
            ffi::PyObject_GC_UnTrack(object.cast());
            protected(py, (), || T::let_go(&dying));
        }
        let general = T::GENERAL.0.get().expect("install keeps it before it sets this function");
        general(object);
    }
}

/// Sets the finalizer of `T`; called once, while the module is made.
pub(crate) fn install<T: Finalize + PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: the type object was made by PyO3 for T and no instance exists yet; slots of a heap type may be set
    // until PyType_Modified is called.
    unsafe {
        let original = (*class).tp_dealloc.expect("a PyO3 class has a deallocator");
        if original as usize == tp_dealloc::<T> as *const () as usize {
            return;
        }
        // If two classes shared a `GENERAL`, each would deallocate the other's instances.
        assert!(T::GENERAL.0.set(original).is_ok(), "another class keeps its deallocator there");
        // Lives as long as the class, that is for ever. Setting the name also sets the slot, but to one that looks
        // the name up.
        let method = Box::leak(Box::new(ffi::PyMethodDef {
            ml_name: c"__del__".as_ptr(),
            ml_meth: ffi::PyMethodDefPointer { PyCFunction: del_method::<T> },
            ml_flags: ffi::METH_NOARGS,
            ml_doc: c"__del__($self)\n--\n\nReport problems when the object is dropped.".as_ptr(),
        }));
        let descriptor = ffi::PyDescr_NewMethod(class, method);
        assert!(!descriptor.is_null(), "a method descriptor needs memory only");
        let outcome = ffi::PyObject_SetAttrString(class.cast(), c"__del__".as_ptr(), descriptor);
        ffi::Py_DECREF(descriptor);
        assert!(outcome == 0, "a heap type takes attributes");
        (*class).tp_dealloc = Some(tp_dealloc::<T>);
        (*class).tp_finalize = Some(tp_finalize::<T>);
        // Without the flag a Python subclass doesn't inherit the slot.
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*class).tp_flags |= ffi::Py_TPFLAGS_HAVE_FINALIZE;
        }
        #[cfg(Py_GIL_DISABLED)]
        (*class).tp_flags.fetch_or(ffi::Py_TPFLAGS_HAVE_FINALIZE, Ordering::Relaxed);
        ffi::PyType_Modified(class);
    }
}
