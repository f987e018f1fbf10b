//! A future of an extension: polled and dropped by its own functions.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::task::Poll;

use pyo3::exceptions::{PySystemError, PyValueError};
use pyo3::prelude::*;

use super::{Counted, FutureType, PENDING, RAISED, READY, WOKEN_BY_WAKER, WOKEN_FROM_OUTSIDE};
use crate::base::gc::{Traverse, Visited};

/// A future that an extension handed over.
///
/// Invariant: the type has a `poll`, a `drop` and a name in UTF-8.
pub(crate) struct ForeignFuture {
    functions: &'static FutureType,
    data: *mut c_void,
}

// SAFETY: the header allows any attached thread to drop it, and only the loop's thread polls it.
unsafe impl Send for ForeignFuture {}

impl Drop for ForeignFuture {
    #[inline]
    fn drop(&mut self) {
        if let Some(drop) = self.functions.drop {
            // SAFETY: the extension gave the function for this data, and this is the last call for it. It asks for an
            // attached thread: an operation, which holds it, is dropped while attached.
            unsafe { drop(self.data) };
        }
    }
}

/// The type that was last found to be complete: most futures of a program are of a few types. Types live as long as the
/// process.
static COMPLETE: AtomicPtr<FutureType> = AtomicPtr::new(ptr::null_mut());

impl ForeignFuture {
    /// Takes `data` over. Raises `ValueError` if the type isn't complete; then `data` stays the caller's.
    ///
    /// # Safety
    ///
    /// `functions` points to a `ferrio_future_type` that keeps the header's promises, and `data` belongs to it.
    #[inline]
    pub(super) unsafe fn take(functions: *const FutureType, data: *mut c_void) -> PyResult<Self> {
        if functions.is_null() || !ptr::eq(functions, COMPLETE.load(Ordering::Relaxed)) {
            // SAFETY: by the contract.
            unsafe { Self::check(functions) }?;
        }
        // SAFETY: it is complete, so it reaches as far as our struct; it lives as long as the process.
        Ok(Self { functions: unsafe { &*functions }, data })
    }

    /// Raises `ValueError` if the type isn't complete.
    ///
    /// # Safety
    ///
    /// `functions` points to a `ferrio_future_type` that keeps the header's promises, or is null.
    unsafe fn check(functions: *const FutureType) -> PyResult<()> {
        // SAFETY: by the contract; the size is the first field in every version.
        if functions.is_null() || unsafe { (*functions).size } < size_of::<FutureType>() {
            return Err(PyValueError::new_err("ferrio_future_type: `size` is too small"));
        }
        // SAFETY: it reaches as far as our struct, and lives as long as the process.
        let known = unsafe { &*functions };
        // SAFETY: by the contract the name has this length.
        let name = unsafe { super::functions::text(known.name, known.name_length) };
        match (known.drop, known.poll, name) {
            (Some(_), Some(_), Some(_)) => {
                COMPLETE.store(functions.cast_mut(), Ordering::Relaxed);
                Ok(())
            }
            _ => Err(PyValueError::new_err(
                "ferrio_future_type: `poll`, `drop` and a name in UTF-8 are needed",
            )),
        }
    }

    /// What `repr` and warnings call it.
    pub(crate) fn name(&self) -> &'static str {
        // SAFETY: as in `take`, which has seen that it is a text.
        unsafe { super::functions::known_text(self.functions.name, self.functions.name_length) }
    }

    /// Whether things outside the loop's own tasks will wake it. `held_outside` says whether they hold its waker.
    pub(crate) fn is_woken_from_outside(&self, held_outside: impl FnOnce() -> bool) -> bool {
        let flags = self.functions.flags;
        if flags & WOKEN_BY_WAKER != 0 { held_outside() } else { flags & WOKEN_FROM_OUTSIDE != 0 }
    }

    /// Goes as far as it can. Only for the loop's thread; not to be called after it has ended.
    #[inline]
    pub(crate) fn poll<'py, B>(
        &mut self,
        py: Python<'py>,
        waker: &Arc<Counted<B>>,
    ) -> PyResult<Poll<Bound<'py, PyAny>>> {
        let Some(poll) = self.functions.poll else { return Err(PySystemError::new_err("no `poll`")) };
        let mut result = ptr::null_mut();
        // SAFETY: attached, and the data is alive; the waker is lent for the call. The extension only retains and wakes
        // it, through functions that know its type.
        let outcome = unsafe { poll(self.data, Arc::as_ptr(waker).cast_mut().cast(), &raw mut result) };
        match outcome {
            PENDING => Ok(Poll::Pending),
            READY => {
                // SAFETY: the extension says that this is a new reference. A null is refused.
                let value = unsafe { Bound::from_owned_ptr_or_opt(py, result) };
                value
                    .map(Poll::Ready)
                    .ok_or_else(|| PySystemError::new_err("a future was ready without a value"))
            }
            RAISED => Err(super::functions::raised(py)),
            other => Err(PySystemError::new_err(format!("a future's poll returned {other}"))),
        }
    }
}

/// The extension's references are its own: the collector doesn't see them.
impl Traverse for ForeignFuture {
    fn traverse(&self, _visit: &pyo3::PyVisit<'_>) -> Visited {
        Ok(())
    }
}
