//! Whether an object is an instance of a class, without touching the class's reference count.
//!
//! When PyO3's `cast` fails, it makes an error that refers to the class: two changes of a count that all threads
//! share. Most steps of a task don't need that error. Without a GIL, two loops on two cores would fight over the
//! count at every step. That costs a third of the time of a `sleep(0)`.
//!
//! Invariant: nothing here touches any count.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeCheck;

/// `cast` and `cast_exact` for callers that don't need the error.
pub(crate) trait Cast<'py> {
    /// The object as a `T`, if it is an instance of that class or of one derived from it.
    fn as_instance<T: PyTypeCheck>(&self) -> Option<&Bound<'py, T>>;

    /// The object as a `T`, if it is an instance of exactly that class.
    fn as_exactly<T: PyTypeInfo>(&self) -> Option<&Bound<'py, T>>;
}

impl<'py> Cast<'py> for Bound<'py, PyAny> {
    #[inline]
    fn as_instance<T: PyTypeCheck>(&self) -> Option<&Bound<'py, T>> {
        // SAFETY: `type_check` says that it is one.
        T::type_check(self).then(|| unsafe { self.cast_unchecked() })
    }

    #[inline]
    fn as_exactly<T: PyTypeInfo>(&self) -> Option<&Bound<'py, T>> {
        // SAFETY: `is_exact_type_of` says that it is one.
        T::is_exact_type_of(self).then(|| unsafe { self.cast_unchecked() })
    }
}
