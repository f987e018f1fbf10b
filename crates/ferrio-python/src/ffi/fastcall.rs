//! Methods that take their arguments as CPython passes them (`METH_FASTCALL | METH_KEYWORDS`): no tuple, no parsing.
//!
//! For the few methods that programs call a million times a second. The class keeps the method that PyO3 made for its
//! signature and documentation, until `install` puts this one in its place.

use std::ffi::{CStr, c_char};
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::panic::PanicException;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};
use pyo3::{PyClass, PyTypeInfo};

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

    /// The only keyword that the method knows, if it was given. Raises `TypeError` for any other.
    #[inline]
    pub(crate) fn only_keyword(&self, method: &str, known: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.names.is_null() { Ok(None) } else { self.find_keyword(method, known) }
    }

    fn find_keyword(&self, method: &str, known: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        // SAFETY: not null, so a tuple of strings, alive for the length of the call; as many values follow.
        let names = unsafe { Bound::from_borrowed_ptr(self.py, self.names).cast_into_unchecked::<PyTuple>() };
        let mut found = None;
        for (index, name) in names.iter().enumerate() {
            if name.cast::<PyString>()?.to_str()? != known {
                let name = name.repr()?;
                return Err(PyTypeError::new_err(format!(
                    "{method}() got an unexpected keyword argument {name}"
                )));
            }
            // SAFETY: see above.
            found =
                Some(unsafe { Bound::from_borrowed_ptr(self.py, *self.values.add(self.positional + index)) });
        }
        Ok(found)
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

    /// Runs it.
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
    unsafe {
        let py = Python::assume_attached();
        let slf = Bound::from_borrowed_ptr(py, object).cast_into_unchecked::<M::Class>();
        let positional = usize::try_from(positional).unwrap_or(0);
        let arguments = Arguments { values, positional, names, py, call: PhantomData };
        let outcome = catch_unwind(AssertUnwindSafe(|| M::call(&slf, &arguments)))
            .unwrap_or_else(|_| Err(PanicException::new_err("a ferrio method panicked")));
        match outcome {
            Ok(value) => value.into_ptr(),
            Err(failure) => {
                failure.restore(py);
                ptr::null_mut()
            }
        }
    }
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
    M::Class::type_object(py).setattr(name, descriptor)
}
