//! Fast paths into the methods that programs call a million times a second.
//!
//! A call of a function of ours (`function.rs`) goes to the method that PyO3 made, which parses arguments in a
//! general way. A class lists the methods that also have a fast path in its own file (`quick!`). Their vector call
//! goes directly to Rust, with positional arguments only. Every other call, with a keyword or with too few or too
//! many arguments, still goes to PyO3's method. That knows every keyword and raises the errors.

use std::marker::PhantomData;
use std::ptr;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyTuple};
use pyo3::{Borrowed, PyTypeInfo, ffi};

use super::function;
use super::protect::protected;

/// The arguments of one call, without `self`.
pub(crate) struct Arguments<'a, 'py> {
    values: *const *mut ffi::PyObject,
    count: usize,
    py: Python<'py>,
    call: PhantomData<&'a ()>,
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// How many there are.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The argument at `index`, which must be below `count()`.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Borrowed<'a, 'py, PyAny> {
        assert!(index < self.count, "an argument that was not given");
        // SAFETY: the caller passes this many live references, and keeps them during the call.
        unsafe { Borrowed::from_ptr(self.py, *self.values.add(index)) }
    }

    /// The argument at `index`, if it was given.
    #[inline]
    pub(crate) fn find(&self, index: usize) -> Option<Borrowed<'a, 'py, PyAny>> {
        (index < self.count).then(|| self.get(index))
    }

    /// The arguments from `start` on, as a tuple.
    pub(crate) fn tuple_from(&self, start: usize) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(self.py, (start..self.count).map(|index| self.get(index)).collect::<Vec<_>>())
    }
}

/// What a fast path returns.
pub(crate) trait Answer<'py> {
    /// The answer as an object.
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>>;
}

impl<'py> Answer<'py> for () {
    #[inline]
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(py.None().into_bound(py))
    }
}

impl<'py> Answer<'py> for bool {
    #[inline]
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyBool::new(py, self).to_owned().into_any())
    }
}

impl<'py> Answer<'py> for f64 {
    #[inline]
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(PyFloat::new(py, self).into_any())
    }
}

impl<'py, T> Answer<'py> for Bound<'py, T> {
    #[inline]
    fn object(self, _py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        Ok(self.into_any())
    }
}

impl<'py, A: Answer<'py>> Answer<'py> for PyResult<A> {
    #[inline]
    fn object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.and_then(|answer| answer.object(py))
    }
}

/// A fast path into a method of `Class`; `quick!` makes them.
pub(crate) trait QuickMethod {
    /// The class that has the method.
    type Class: PyTypeInfo;
    /// The fewest arguments that it takes.
    const FROM: usize;
    /// The most arguments that it takes.
    const TO: usize;

    /// Calls it with a number of arguments that it takes.
    fn call<'py>(
        slf: &Bound<'py, Self::Class>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

/// The same for a function of the module.
pub(crate) trait QuickFunction {
    /// The fewest arguments that it takes.
    const FROM: usize;
    /// The most arguments that it takes.
    const TO: usize;

    /// Calls it with a number of arguments that it takes.
    fn call<'py>(py: Python<'py>, arguments: &Arguments<'_, 'py>) -> PyResult<Bound<'py, PyAny>>;
}

/// A fast path, under the name of its method or function.
#[derive(Clone, Copy)]
pub(crate) struct Quick {
    pub(crate) name: &'static str,
    /// The class whose instances `call` relies on, after it was compared with what the function stores.
    pub(super) class: Option<fn(Python<'_>) -> *mut ffi::PyTypeObject>,
    pub(super) call: ffi::vectorcallfunc,
}

impl Quick {
    /// The one of a method.
    pub(crate) const fn method<M: QuickMethod>(name: &'static str) -> Self {
        Self { name, class: Some(M::Class::type_object_raw), call: method::<M> }
    }

    /// The one of a function of the module.
    pub(crate) const fn function<F: QuickFunction>() -> Self {
        Self { name: "", class: None, call: self::function::<F> }
    }
}

unsafe extern "C" fn method<M: QuickMethod>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached, one of our functions, with this many references, which live as long as the call. The
    // function was made for `M::Class`, and the first reference is to an instance of it.
    unsafe {
        if takes::<M>(flagged, names) && function::is_plainly_applicable(object, *values) {
            return applied::<M>(values, flagged);
        }
        other_method::<M>(object, values, flagged, names)
    }
}

/// A call with an instance of a rarer subclass, or one that doesn't fit. Separate from `method`, which then needn't save
/// registers for it.
#[inline(never)]
unsafe extern "C" fn other_method<M: QuickMethod>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as for `method`; `is_applicable` checks that the first reference is to an instance of the class.
    unsafe {
        if takes::<M>(flagged, names) && function::is_applicable(object, *values) {
            return applied::<M>(values, flagged);
        }
        function::otherwise(object, values, flagged, names)
    }
}

/// Whether the method takes this many positional arguments, without `self`, and no keywords are given.
#[inline(always)]
fn takes<M: QuickMethod>(flagged: usize, names: *mut ffi::PyObject) -> bool {
    // SAFETY: it only removes a flag from a number.
    let positional = unsafe { ffi::PyVectorcall_NARGS(flagged) }.cast_unsigned();
    positional > M::FROM && positional - 1 <= M::TO && names.is_null()
}

/// Calls the method.
///
/// # Safety
/// As for `takes`, which must have returned true, with references that live as long as the call. The first is to an
/// instance of `M::Class`.
#[inline(always)]
unsafe fn applied<M: QuickMethod>(values: *const *mut ffi::PyObject, flagged: usize) -> *mut ffi::PyObject {
    // SAFETY: by the contract, attached.
    let (py, slf, arguments) = unsafe {
        let py = Python::assume_attached();
        let count = ffi::PyVectorcall_NARGS(flagged).cast_unsigned() - 1;
        let slf = Borrowed::from_ptr(py, *values).cast_unchecked::<M::Class>();
        (py, slf, Arguments { values: values.add(1), count, py, call: PhantomData })
    };
    protected(py, ptr::null_mut(), || returned(py, M::call(&slf, &arguments)))
}

unsafe extern "C" fn function<F: QuickFunction>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached, one of our functions, with this many references, which live as long as the call.
    let (py, arguments) = unsafe {
        let count = ffi::PyVectorcall_NARGS(flagged).cast_unsigned();
        if count < F::FROM || count > F::TO || !names.is_null() {
            return function::otherwise(object, values, flagged, names);
        }
        let py = Python::assume_attached();
        (py, Arguments { values, count, py, call: PhantomData })
    };
    protected(py, ptr::null_mut(), || returned(py, F::call(py, &arguments)))
}

#[inline]
fn returned(py: Python<'_>, outcome: PyResult<Bound<'_, PyAny>>) -> *mut ffi::PyObject {
    match outcome {
        Ok(value) => value.into_ptr(),
        Err(failure) => {
            failure.restore(py);
            ptr::null_mut()
        }
    }
}

/// Fast paths into methods of a class: the name of each, how many arguments it takes, and the call.
macro_rules! quick {
    ($class:ty { $($name:literal ($from:literal to $to:expr) |$slf:ident, $arguments:pat_param| $body:expr;)* }) => {
        &[$({
            struct Method;

            impl $crate::base::ffi::fastcall::QuickMethod for Method {
                type Class = $class;
                const FROM: usize = $from;
                const TO: usize = $to;

                #[inline]
                fn call<'py>(
                    $slf: &pyo3::Bound<'py, $class>,
                    $arguments: &$crate::base::ffi::fastcall::Arguments<'_, 'py>,
                ) -> pyo3::PyResult<pyo3::Bound<'py, pyo3::PyAny>> {
                    $crate::base::ffi::fastcall::Answer::object($body, $slf.py())
                }
            }
            $crate::base::ffi::fastcall::Quick::method::<Method>($name)
        }),*]
    };
}
pub(crate) use quick;
