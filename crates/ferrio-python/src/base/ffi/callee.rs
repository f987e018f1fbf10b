//! Which function a call runs, by an address that is the same for all its bound methods and closures.
//!
//! A recording names what it saw by such addresses: reading one counts no reference and runs no Python code. An address
//! means the same as long as somebody holds what [`identify`] returns with it.

use std::ffi::CStr;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyType;

use super::function_code;

unsafe extern "C" {
    // Not declared by PyO3.
    static mut PyMethod_Type: ffi::PyTypeObject;
    fn PyMethod_Function(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
    fn PyMethod_Self(method: *mut ffi::PyObject) -> *mut ffi::PyObject;
}

/// The address of what `callable` runs: its code, its C function, or its class.
#[inline]
pub(crate) fn address(callable: &Bound<'_, PyAny>) -> usize {
    let mut object = callable.as_ptr();
    // SAFETY: attached, and `object` is alive: the callable, or the function that its method holds, which never changes. Each
    // type is checked before its fields are read.
    unsafe {
        if ffi::Py_IS_TYPE(object, &raw mut PyMethod_Type) != 0 {
            object = PyMethod_Function(object);
        }
        let class = ffi::Py_TYPE(object);
        if class == &raw mut ffi::PyFunction_Type {
            function_code::code_of(object)
        } else if class == &raw mut ffi::PyCFunction_Type {
            (*object.cast::<ffi::PyCFunctionObject>()).m_ml.addr()
        } else if ffi::PyType_Check(object) != 0 || class == &raw mut ffi::PyMethodDescr_Type {
            object.addr()
        } else {
            class.addr()
        }
    }
}

/// The object whose method `callable` is, if it is a method. Runs no Python code.
#[inline]
pub(crate) fn bound_to<'py>(callable: &Bound<'py, PyAny>) -> Option<Bound<'py, PyAny>> {
    // SAFETY: attached; the type is checked before, and the reference that `PyMethod_Self` borrows is counted at once.
    unsafe {
        if ffi::Py_IS_TYPE(callable.as_ptr(), &raw mut PyMethod_Type) == 0 {
            return None;
        }
        Bound::from_borrowed_ptr_or_opt(callable.py(), PyMethod_Self(callable.as_ptr()))
    }
}

/// What an address means.
pub(crate) struct Callee {
    /// The address, as [`address`] finds it.
    pub(crate) address: usize,
    /// What must be kept, for the address to go on meaning that.
    pub(crate) keep: Option<Py<PyAny>>,
    /// Its qualified name.
    pub(crate) name: String,
}

/// What `callable` runs. Runs no Python code.
pub(crate) fn identify(callable: &Bound<'_, PyAny>) -> PyResult<Callee> {
    let py = callable.py();
    // SAFETY: as in `address`; `PyMethod_Function` and `PyFunction_GetCode` return borrowed references, and the first is kept
    // alive by the method. A method definition outlives its functions, and its name is a NUL-terminated string.
    unsafe {
        let mut object = callable.clone();
        if ffi::Py_IS_TYPE(object.as_ptr(), &raw mut PyMethod_Type) != 0 {
            object = Bound::from_borrowed_ptr(py, PyMethod_Function(object.as_ptr()));
        }
        if ffi::Py_IS_TYPE(object.as_ptr(), &raw mut ffi::PyFunction_Type) != 0 {
            let code = object.getattr(intern!(py, "__code__"))?;
            return of_code(&code);
        }
        if ffi::PyCFunction_CheckExact(object.as_ptr()) != 0 {
            let function = object.as_ptr().cast::<ffi::PyCFunctionObject>();
            let definition = (*function).m_ml;
            let name = CStr::from_ptr((*definition).ml_name).to_string_lossy();
            let owner = (*function).m_self;
            let name = if owner.is_null() || ffi::PyModule_Check(owner) != 0 {
                name.into_owned()
            } else {
                let class = CStr::from_ptr((*ffi::Py_TYPE(owner)).tp_name).to_string_lossy();
                format!("{}.{name}", class.rsplit('.').next().unwrap_or_default())
            };
            return Ok(Callee { address: definition.addr(), keep: None, name });
        }
        if ffi::Py_IS_TYPE(object.as_ptr(), &raw mut ffi::PyMethodDescr_Type) != 0 {
            let name = object.getattr(intern!(py, "__qualname__"))?.extract()?;
            return Ok(Callee { address: object.as_ptr().addr(), keep: Some(object.unbind()), name });
        }
        let class = match object.cast_into::<PyType>() {
            Ok(class) => class,
            Err(other) => other.into_inner().get_type(),
        };
        let name = class.qualname()?.to_string();
        Ok(Callee { address: class.as_ptr().addr(), keep: Some(class.into_any().unbind()), name })
    }
}

/// The meaning of the address of a code object.
fn of_code(code: &Bound<'_, PyAny>) -> PyResult<Callee> {
    let name = code.getattr(intern!(code.py(), "co_qualname"))?.str()?.to_string_lossy().into_owned();
    Ok(Callee { address: code.as_ptr().addr(), keep: Some(code.clone().unbind()), name })
}
