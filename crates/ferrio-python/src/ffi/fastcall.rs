//! Methods that take their arguments as CPython passes them (`METH_FASTCALL | METH_KEYWORDS`): no tuple, no parsing.
//!
//! For the few methods that programs call a million times a second. The class keeps the method that PyO3 made for its
//! signature and documentation, until `install` puts this one in its place.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyClass, PyTypeInfo};

use super::protect::protected;

/// The arguments of one call.
pub(crate) struct Arguments<'a, 'py> {
    values: *const *mut ffi::PyObject,
    positional: usize,
    /// A tuple of the keywords' names, or null; their values follow the positional ones.
    names: *mut ffi::PyObject,
    py: Python<'py>,
    call: PhantomData<&'a ()>,
}

impl<'py> Arguments<'_, 'py> {
    /// How many came without a name.
    #[inline]
    pub(crate) fn positional(&self) -> usize {
        self.positional
    }

    /// The positional argument at `index`, which must be below `positional()`.
    #[inline]
    pub(crate) fn get(&self, index: usize) -> Bound<'py, PyAny> {
        assert!(index < self.positional, "an argument that was not given");
        // SAFETY: the interpreter passes this many live references, for the length of the call.
        unsafe { Bound::from_borrowed_ptr(self.py, *self.values.add(index)) }
    }

    /// The positional arguments from `start` on, as a tuple.
    pub(crate) fn tuple_from(&self, start: usize) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(self.py, (start..self.positional).map(|index| self.get(index)).collect::<Vec<_>>())
    }

    /// The keyword arguments, as a dict.
    fn keywords(&self) -> PyResult<Bound<'py, PyDict>> {
        let keywords = PyDict::new(self.py);
        if self.names.is_null() {
            return Ok(keywords);
        }
        // SAFETY: not null, so a tuple of strings, alive for the length of the call; as many values follow.
        let names = unsafe { Bound::from_borrowed_ptr(self.py, self.names).cast_into_unchecked::<PyTuple>() };
        for (index, name) in names.iter().enumerate() {
            // SAFETY: see above.
            let value =
                unsafe { Bound::from_borrowed_ptr(self.py, *self.values.add(self.positional + index)) };
            keywords.set_item(name, value)?;
        }
        Ok(keywords)
    }
}

/// One such method.
pub(crate) trait FastMethod {
    /// The class that has it.
    type Class: PyClass;
    /// Its name.
    const NAME: &'static CStr;
    /// Its signature and documentation, in CPython's form.
    const DOC: &'static CStr;

    /// How many positional arguments the quick way needs; calls with fewer, or with keywords, take PyO3's way.
    const NEEDS: usize;

    /// Where the method that PyO3 made is kept.
    fn original() -> &'static PyOnceLock<Py<PyAny>>;

    /// Runs it, with positional arguments only.
    fn call<'py>(
        slf: &Bound<'py, Self::Class>,
        arguments: &Arguments<'_, 'py>,
    ) -> PyResult<Bound<'py, PyAny>>;
}

unsafe extern "C" fn enter<M: FastMethod>(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    positional: ffi::Py_ssize_t,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached; the descriptor has checked that `object` is an instance of the class, and
    // `values` holds `positional` references and one for each of `names`.
    let (py, slf) = unsafe {
        let py = Python::assume_attached();
        (py, Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<M::Class>())
    };
    let positional = usize::try_from(positional).unwrap_or(0);
    let arguments = Arguments { values, positional, names, py, call: PhantomData };
    let quick = names.is_null() && positional >= M::NEEDS;
    protected(py, ptr::null_mut(), || {
        let outcome = if quick { M::call(&slf, &arguments) } else { call_original::<M>(&slf, &arguments) };
        match outcome {
            Ok(value) => value.into_ptr(),
            Err(failure) => {
                failure.restore(py);
                ptr::null_mut()
            }
        }
    })
}

/// The way of PyO3's own method: it knows every keyword, and what to say when an argument is missing.
#[cold]
fn call_original<'py, M: FastMethod>(
    slf: &Bound<'py, M::Class>,
    arguments: &Arguments<'_, 'py>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = slf.py();
    let original = M::original().get(py).expect("install has kept the method that it replaced");
    let mut positional = vec![slf.as_any().clone()];
    positional.extend((0..arguments.positional()).map(|index| arguments.get(index)));
    original.bind(py).call(PyTuple::new(py, positional)?, Some(&arguments.keywords()?))
}

/// Puts the method into its class; called once, while the module is made.
pub(crate) fn install<M: FastMethod>(py: Python<'_>) -> PyResult<()>
where
    M::Class: PyTypeInfo,
{
    let class = M::Class::type_object_raw(py);
    // The interpreter keeps a pointer to it for as long as the class lives, which is until the process ends.
    let definition = Box::leak(Box::new(ffi::PyMethodDef {
        ml_name: M::NAME.as_ptr().cast::<c_char>(),
        ml_meth: ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: enter::<M> },
        ml_flags: ffi::METH_FASTCALL | ffi::METH_KEYWORDS,
        ml_doc: M::DOC.as_ptr().cast::<c_char>(),
    }));
    // SAFETY: attached; class and definition outlive the descriptor.
    let descriptor = unsafe { Bound::from_owned_ptr_or_err(py, ffi::PyDescr_NewMethod(class, definition))? };
    let name = M::NAME.to_str().map_err(|failure| PyTypeError::new_err(failure.to_string()))?;
    let class = M::Class::type_object(py);
    let original = class.getattr(name)?.unbind();
    if M::original().set(py, original).is_err() {
        // The module was made twice in this process; the class has the quick method already.
        return Ok(());
    }
    class.setattr(name, descriptor)
}
