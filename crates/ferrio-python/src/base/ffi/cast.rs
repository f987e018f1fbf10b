//! Whether an object is of a class, asked without counting a reference to the class.
//!
//! PyO3's `cast` makes an error of a refusal, and the error refers to the class: two changes of a count that all threads
//! share. Where no error is wanted, as in most steps of a task, two loops on two cores would take that count from each
//! other at every step (without a GIL: a third of the time of a `sleep(0)`).
//!
//! Invariant: nothing here touches any count.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::type_object::PyTypeCheck;

/// `cast` and `cast_exact` of an object for who wants no error.
pub(crate) trait Cast<'py> {
    /// The object as a `T`, if it is an instance of that class or of one derived from it.
    fn as_instance<T: PyTypeCheck>(&self) -> Option<&Bound<'py, T>>;

    /// The object as a `T`, if it is an instance of exactly that class.
    fn as_exactly<T: PyTypeInfo>(&self) -> Option<&Bound<'py, T>>;
}

impl<'py> Cast<'py> for Bound<'py, PyAny> {
    #[inline]
    fn as_instance<T: PyTypeCheck>(&self) -> Option<&Bound<'py, T>> {
        // SAFETY: `type_check` has said that it is one.
        T::type_check(self).then(|| unsafe { self.cast_unchecked() })
    }

    #[inline]
    fn as_exactly<T: PyTypeInfo>(&self) -> Option<&Bound<'py, T>> {
        // SAFETY: `is_exact_type_of` has said that it is one.
        T::is_exact_type_of(self).then(|| unsafe { self.cast_unchecked() })
    }
}
