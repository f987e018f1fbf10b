//! Native functions that look as if `def` had made them: a subtype of CPython's function type.
//!
//! `types.FunctionType` can't be subclassed in Python, but a static type may have it as its base. An instance is a
//! complete `PyFunctionObject`, so `inspect`, `unittest.mock`, `pickle` and other users of a function's attributes
//! find all of them. The fields behind it say which native method to call. The interpreter's fast paths for functions
//! only accept exactly its own type, so it uses the vector call of these, and makes no frame.
//!
//! `__code__`, `__defaults__` and `__kwdefaults__` are made when they are first read, by compiling a function of the
//! same signature that calls the native method. So an import doesn't pay for them. If a program puts other code into
//! the function (as tracers do), that code runs.
//!
//! Invariant: a function lives until the process ends, and so does what its call needs.

use std::ffi::{CStr, c_int, c_void};
use std::mem;
use std::ptr;
use std::slice;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::sync::critical_section::with_critical_section;
use pyo3::types::{IntoPyDict, PyCFunction, PyDict, PyString, PyTuple, PyType};

use super::fastcall::Quick;
use super::immortal;
use crate::base::functions;

/// What follows the `PyFunctionObject`.
#[repr(C)]
struct Native {
    method: ffi::PyMethodDefPointer,
    /// The class whose instances a method takes; null for a function of the module.
    class: *mut ffi::PyTypeObject,
    /// What a function of the module gets instead of `self`.
    module: *mut ffi::PyObject,
    /// The object that PyO3 made: a method descriptor, a slot's wrapper or a built-in function.
    original: *mut ffi::PyObject,
    /// The vector call that reaches the method: the fast path, if there is one.
    call: ffi::vectorcallfunc,
    /// The vector call that takes every call.
    general: ffi::vectorcallfunc,
    /// How a function runs its `__code__`.
    interpreted: Option<ffi::vectorcallfunc>,
    /// A tuple of the values of `MADE_LATE`. Null until one of them is read.
    made: AtomicPtr<ffi::PyObject>,
    coroutine: bool,
}

/// The attributes that are made when they are first read.
const MADE_LATE: [&CStr; 3] = [c"__code__", c"__defaults__", c"__kwdefaults__"];

impl Native {
    fn by(self, call: ffi::vectorcallfunc) -> Self {
        Self { call, general: call, ..self }
    }
}

/// How a function looks to Python.
pub(crate) struct Look<'a, 'py> {
    pub(crate) name: &'a Bound<'py, PyString>,
    pub(crate) qualname: &'a str,
    pub(crate) module: &'a Bound<'py, PyAny>,
    /// Whether it is `async def`.
    pub(crate) coroutine: bool,
}

/// The type with room for fields that a newer CPython may have at its end.
#[repr(C)]
struct Room {
    class: ffi::PyTypeObject,
    _more: [usize; 16],
}

/// The type of these functions.
static CLASS: AtomicPtr<ffi::PyTypeObject> = AtomicPtr::new(ptr::null_mut());

/// Makes a function of a method descriptor, a slot's wrapper or a built-in function. `globals` are the names of the
/// extension module, in which its code would run. Calls that `quick` accepts go there.
pub(crate) fn make<'py>(
    original: &Bound<'py, PyAny>,
    look: &Look<'_, 'py>,
    quick: Option<&Quick>,
    globals: &Bound<'py, PyDict>,
) -> PyResult<Bound<'py, PyAny>> {
    let py = original.py();
    let class = class(py)?;
    let native = native_of(original, look.coroutine);
    // A fast path relies on the function having been made for its class.
    let native = match quick {
        Some(quick) if quick.class.map_or(ptr::null_mut(), |class| class(py)) == native.class => {
            Native { call: quick.call, ..native }
        }
        _ => native,
    };
    let code = no_code(py, look.coroutine)?;
    let qualname = PyString::new(py, look.qualname);
    // SAFETY: attached; these are a code object, a dict and a string.
    let plain = unsafe {
        let function = ffi::PyFunction_NewWithQualName(code.as_ptr(), globals.as_ptr(), qualname.as_ptr());
        Bound::from_owned_ptr_or_err(py, function)?
    };
    plain.setattr(intern!(py, "__name__"), look.name)?;
    plain.setattr(intern!(py, "__module__"), look.module)?;
    plain.setattr(intern!(py, "__doc__"), original.getattr(intern!(py, "__doc__"))?)?;
    // SAFETY: `class` is ready, and its instances begin with a complete function; nothing else refers to the new one.
    // Pointers and numbers are copied from the plain function. The traversal names every object that they refer to,
    // so each is counted once more. There is no weak reference to the plain function that would be copied.
    unsafe {
        let function = Bound::from_owned_ptr_or_err(py, ffi::PyType_GenericAlloc(class, 0))?;
        let base = &raw mut ffi::PyFunction_Type;
        let head = mem::size_of::<ffi::PyObject>();
        let size = usize::try_from((*base).tp_basicsize).unwrap_or(head) - head;
        ptr::copy_nonoverlapping(
            plain.as_ptr().byte_add(head).cast::<u8>(),
            function.as_ptr().byte_add(head).cast::<u8>(),
            size,
        );
        if let Some(traverse) = (*base).tp_traverse {
            traverse(plain.as_ptr(), count, ptr::null_mut());
        }
        let vectorcall = vectorcall_of(function.as_ptr());
        native_part(function.as_ptr()).write(Native { interpreted: *vectorcall, ..native });
        *vectorcall = Some(native.call);
        // The one reference that lasts until the process ends.
        ffi::Py_INCREF(function.as_ptr());
        immortal::object(&function);
        Ok(function)
    }
}

/// A function's code until it is first read. It is of the right kind, because CPython warns if that changes.
fn no_code(py: Python<'_>, coroutine: bool) -> PyResult<&Bound<'_, PyAny>> {
    static CODE: [PyOnceLock<Py<PyAny>>; 2] = [PyOnceLock::new(), PyOnceLock::new()];
    let code = CODE[usize::from(coroutine)].get_or_try_init(py, || {
        // SAFETY: attached; the names are strings.
        let code = unsafe {
            let code = ffi::PyCode_NewEmpty(functions::FILE.as_ptr(), c"".as_ptr(), 1);
            Bound::from_owned_ptr_or_err(py, code.cast())?
        };
        let flags = ffi::CO_OPTIMIZED | ffi::CO_NEWLOCALS | if coroutine { ffi::CO_COROUTINE } else { 0 };
        let replaced = [("co_flags", flags)].into_py_dict(py)?;
        code.call_method(intern!(py, "replace"), (), Some(&replaced)).map(Bound::unbind)
    })?;
    Ok(code.bind(py))
}

unsafe extern "C" fn count(object: *mut ffi::PyObject, _: *mut c_void) -> c_int {
    // SAFETY: a traversal passes live references.
    unsafe { ffi::Py_INCREF(object) };
    0
}

/// Whether `object` is one of these functions and runs natively: no program gave it other code.
pub(crate) fn is_native(object: &Bound<'_, PyAny>) -> bool {
    let class = CLASS.load(Ordering::Acquire);
    // SAFETY: attached; it is one of these functions when the fields are read.
    unsafe {
        let pointer = object.as_ptr();
        ffi::Py_TYPE(pointer) == class
            && (*vectorcall_of(pointer))
                .is_some_and(|call| ptr::fn_addr_eq(call, (*native_part(pointer)).call))
    }
}

/// Where `function` keeps its vector call.
///
/// # Safety
/// It must be one of these functions.
unsafe fn vectorcall_of(function: *mut ffi::PyObject) -> *mut Option<ffi::vectorcallfunc> {
    // SAFETY: the offset is that of a field of every function.
    unsafe { function.byte_offset(ffi::PyFunction_Type.tp_vectorcall_offset).cast() }
}

/// What follows the `PyFunctionObject`.
///
/// # Safety
/// It must be one of these functions.
#[inline]
unsafe fn native_part(function: *mut ffi::PyObject) -> *mut Native {
    // SAFETY: an instance is this much longer than a function; CPython aligns both to words.
    unsafe { function.byte_offset(ffi::PyFunction_Type.tp_basicsize).cast() }
}

/// The vector call for the kind of `original`, and what it needs.
fn native_of(original: &Bound<'_, PyAny>, coroutine: bool) -> Native {
    const NO_ARGUMENTS: c_int = ffi::METH_NOARGS;
    const ONE: c_int = ffi::METH_O;
    const FAST: c_int = ffi::METH_FASTCALL | ffi::METH_KEYWORDS;
    let object = original.as_ptr();
    let forwarded = ffi::PyMethodDef::zeroed().ml_meth;
    let native = Native {
        method: forwarded,
        class: ptr::null_mut(),
        module: ptr::null_mut(),
        original: original.clone().into_ptr(),
        call: forward,
        general: forward,
        interpreted: None,
        made: AtomicPtr::new(ptr::null_mut()),
        coroutine,
    };
    // SAFETY: attached; the type is checked before the object is used as one of it. Definitions live as long as the
    // objects that refer to them, and the original lives until the process ends.
    unsafe {
        if ffi::PyObject_TypeCheck(object, &raw mut ffi::PyMethodDescr_Type) != 0 {
            let descriptor = object.cast::<ffi::PyMethodDescrObject>();
            let definition = (*descriptor).d_method;
            let native =
                Native { method: (*definition).ml_meth, class: (*descriptor).d_common.d_type, ..native };
            return match (*definition).ml_flags {
                NO_ARGUMENTS => native.by(method_without_arguments),
                ONE => native.by(method_of_one),
                FAST => native.by(method),
                _ => native,
            };
        }
        if original.is_instance_of::<PyCFunction>() {
            let builtin = object.cast::<ffi::PyCFunctionObject>();
            let definition = (*builtin).m_ml;
            let native = Native { method: (*definition).ml_meth, module: (*builtin).m_self, ..native };
            return match (*definition).ml_flags {
                FAST => native.by(function),
                _ => native,
            };
        }
    }
    native
}

/// Whether `slf` is of the class for which the function was made.
///
/// # Safety
/// `object` must be one of these functions, made from a method, and `slf` a live reference.
#[inline]
pub(super) unsafe fn is_applicable(object: *mut ffi::PyObject, slf: *mut ffi::PyObject) -> bool {
    // SAFETY: by the contract.
    unsafe { ffi::PyObject_TypeCheck(slf, (*native_part(object)).class) != 0 }
}

/// Whether `slf` is of that class or one that begins with it, which is quicker to say than for every subclass.
///
/// # Safety
/// As for `is_applicable`.
#[inline(always)]
pub(super) unsafe fn is_plainly_applicable(object: *mut ffi::PyObject, slf: *mut ffi::PyObject) -> bool {
    // SAFETY: by the contract.
    unsafe {
        let (class, wanted) = (ffi::Py_TYPE(slf), (*native_part(object)).class);
        class == wanted || (*class).tp_base == wanted
    }
}

/// Calls the function through the vector call that takes every call.
///
/// # Safety
/// `object` must be one of these functions; the rest is as for a vector call, attached.
#[cold]
pub(super) unsafe fn otherwise(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: by the contract.
    unsafe { ((*native_part(object)).general)(object, values, flagged, names) }
}

unsafe extern "C" fn method(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached, one of these functions, with this many references; the method has the flags by
    // which this vector call was chosen, and its `self` is of the class.
    unsafe {
        let native = native_part(object);
        let positional = ffi::PyVectorcall_NARGS(flagged);
        if positional < 1 || !is_applicable(object, *values) {
            return forward(object, values, flagged, names);
        }
        ((*native).method.PyCFunctionFastWithKeywords)(*values, values.add(1), positional - 1, names)
    }
}

unsafe extern "C" fn method_without_arguments(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as for `method`.
    unsafe {
        let native = native_part(object);
        let positional = ffi::PyVectorcall_NARGS(flagged);
        if positional != 1 || !names.is_null() || !is_applicable(object, *values) {
            return forward(object, values, flagged, names);
        }
        ((*native).method.PyCFunction)(*values, ptr::null_mut())
    }
}

unsafe extern "C" fn method_of_one(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as for `method`.
    unsafe {
        let native = native_part(object);
        let positional = ffi::PyVectorcall_NARGS(flagged);
        if positional != 2 || !names.is_null() || !is_applicable(object, *values) {
            return forward(object, values, flagged, names);
        }
        ((*native).method.PyCFunction)(*values, *values.add(1))
    }
}

unsafe extern "C" fn function(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: as for `method`; here the module takes the place of `self`.
    unsafe {
        let native = native_part(object);
        let positional = ffi::PyVectorcall_NARGS(flagged);
        ((*native).method.PyCFunctionFastWithKeywords)((*native).module, values, positional, names)
    }
}

/// Any other call: goes to the original, which raises the right error.
unsafe extern "C" fn forward(
    object: *mut ffi::PyObject,
    values: *const *mut ffi::PyObject,
    flagged: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached, one of these functions, with this many references, which are passed on
    // unchanged; the original lives as long as the function.
    unsafe {
        let original = (*native_part(object)).original;
        let positional = ffi::PyVectorcall_NARGS(flagged);
        let positional = usize::try_from(positional).unwrap_or(0);
        if positional > 0 || names.is_null() {
            return ffi::PyObject_Vectorcall(original, values, flagged, names);
        }
        // A method called with `self=` and no positional argument.
        let py = Python::assume_attached();
        let names = Bound::from_borrowed_ptr(py, names).cast_into_unchecked::<PyTuple>();
        let values = slice::from_raw_parts(values, names.len());
        let keywords = PyDict::new(py);
        let mut own = Vec::new();
        let outcome = names.iter().zip(values).try_for_each(|(name, value)| {
            let value = Bound::from_borrowed_ptr(py, *value);
            if name.eq("self")? && (*native_part(object)).module.is_null() {
                own.push(value);
                return Ok(());
            }
            keywords.set_item(name, value)
        });
        let original = Bound::from_borrowed_ptr(py, original);
        match outcome.and_then(|()| original.call(PyTuple::new(py, own)?, Some(&keywords))) {
            Ok(value) => value.into_ptr(),
            Err(failure) => {
                failure.restore(py);
                ptr::null_mut()
            }
        }
    }
}

/// The type, made at the first call.
fn class(py: Python<'_>) -> PyResult<*mut ffi::PyTypeObject> {
    let made = CLASS.load(Ordering::Acquire);
    if !made.is_null() {
        return Ok(made);
    }
    // SAFETY: in a type, zero means that the slot is inherited; the type, its methods and attributes are never freed.
    // The base is CPython's, and ready.
    unsafe {
        let room = Box::leak(Box::new(mem::zeroed::<Room>()));
        let class = &raw mut room.class;
        let base = &raw mut ffi::PyFunction_Type;
        let size = isize::try_from(mem::size_of::<Native>()).unwrap_or(isize::MAX);
        (*class).ob_base.ob_base = ffi::PyObject_HEAD_INIT;
        (*class).tp_name = c"function".as_ptr();
        (*class).tp_base = base;
        (*class).tp_basicsize = (*base).tp_basicsize + size;
        let flags =
            ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_VECTORCALL | ffi::Py_TPFLAGS_METHOD_DESCRIPTOR;
        #[cfg(not(Py_GIL_DISABLED))]
        {
            (*class).tp_flags = flags;
        }
        #[cfg(Py_GIL_DISABLED)]
        (*class).tp_flags.store(flags, Ordering::Relaxed);
        // A type with that last flag needs this before it inherits; only a Python with assertions says so.
        (*class).tp_descr_get = (*base).tp_descr_get;
        (*class).tp_vectorcall_offset = (*base).tp_vectorcall_offset;
        (*class).tp_call = Some(ffi::PyVectorcall_Call);
        (*class).tp_doc = (*base).tp_doc;
        (*class).tp_methods = Box::leak(Box::new([
            ffi::PyMethodDef {
                ml_name: c"__reduce__".as_ptr(),
                ml_meth: ffi::PyMethodDefPointer { PyCFunction: reduce },
                ml_flags: ffi::METH_NOARGS,
                ml_doc: ptr::null(),
            },
            ffi::PyMethodDef::zeroed(),
        ]))
        .as_mut_ptr();
        let attribute = |name: &'static CStr| ffi::PyGetSetDef {
            name: name.as_ptr(),
            get: Some(attribute),
            set: Some(set_attribute),
            doc: ptr::null(),
            closure: name.as_ptr().cast_mut().cast(),
        };
        (*class).tp_getset = Box::leak(Box::new([
            attribute(MADE_LATE[0]),
            attribute(MADE_LATE[1]),
            attribute(MADE_LATE[2]),
            mem::zeroed(),
        ]))
        .as_mut_ptr();
        if ffi::PyType_Ready(class) != 0 {
            return Err(PyErr::fetch(py));
        }
        // The type's own documentation would hide the descriptor for the function's.
        if ffi::PyDict_DelItemString((*class).tp_dict, c"__doc__".as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        CLASS.store(class, Ordering::Release);
        Ok(class)
    }
}

/// Replaces the method of `class` from which `function` was made. The slots stay as they are: the interpreter uses a
/// slot without looking up the name.
pub(crate) fn replace(
    class: &Bound<'_, PyType>,
    name: &Bound<'_, PyAny>,
    function: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = class.py();
    // SAFETY: attached; a heap type has its dict there in every version. The function keeps the previous value alive,
    // and caches of the class are invalidated.
    unsafe {
        let class = class.as_type_ptr();
        if ffi::PyDict_SetItem((*class).tp_dict, name.as_ptr(), function.as_ptr()) != 0 {
            return Err(PyErr::fetch(py));
        }
        ffi::PyType_Modified(class);
    }
    Ok(())
}

/// Makes the late attributes, if they don't exist yet.
fn complete(function: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = function.py();
    // SAFETY: it is one of these functions; what is read here never changes.
    let (made, original, coroutine) = unsafe {
        let native = native_part(function.as_ptr());
        (&(*native).made, Bound::from_borrowed_ptr(py, (*native).original), (*native).coroutine)
    };
    with_critical_section(function, || {
        if !made.load(Ordering::Acquire).is_null() {
            return Ok(());
        }
        let compiled = functions::compile(function, &original, coroutine)?;
        let mut values = Vec::new();
        for name in MADE_LATE {
            let value = compiled.getattr(&*name.to_string_lossy())?;
            inherited(py, name)?.call_method1(intern!(py, "__set__"), (function, &value))?;
            values.push(value);
        }
        // The reference lasts as long as the function.
        made.store(PyTuple::new(py, values)?.into_ptr(), Ordering::Release);
        Ok(())
    })
}

/// Whether the late attributes are still those that were made for it.
fn is_as_made(function: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = function.py();
    // SAFETY: it is one of these functions, and complete: there is a tuple, which stays.
    let made = unsafe {
        let made = (*native_part(function.as_ptr())).made.load(Ordering::Acquire);
        Bound::from_borrowed_ptr(py, made).cast_into_unchecked::<PyTuple>()
    };
    for (name, value) in MADE_LATE.into_iter().zip(made) {
        if !inherited(py, name)?.call_method1(intern!(py, "__get__"), (function,))?.is(&value) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A function is pickled and copied by its name.
unsafe extern "C" fn reduce(function: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached, with a function.
    unsafe { ffi::PyObject_GetAttrString(function, c"__qualname__".as_ptr()) }
}

/// CPython's own descriptor for `name`, which ours hides.
fn inherited<'py>(py: Python<'py>, name: &CStr) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: attached; the type is CPython's own.
    let base = unsafe { Bound::from_borrowed_ptr(py, (&raw mut ffi::PyFunction_Type).cast()) };
    base.getattr(intern!(py, "__dict__"))?.get_item(name.to_string_lossy())
}

unsafe extern "C" fn attribute(object: *mut ffi::PyObject, name: *mut c_void) -> *mut ffi::PyObject {
    // SAFETY: CPython calls attached, with one of these functions and the closure that the attribute has.
    unsafe {
        let py = Python::assume_attached();
        let function = Bound::from_borrowed_ptr(py, object);
        let name = CStr::from_ptr(name.cast());
        let value = complete(&function)
            .and_then(|()| inherited(py, name))
            .and_then(|inherited| inherited.call_method1(intern!(py, "__get__"), (function,)));
        match value {
            Ok(value) => value.into_ptr(),
            Err(failure) => {
                failure.restore(py);
                ptr::null_mut()
            }
        }
    }
}

unsafe extern "C" fn set_attribute(
    object: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    name: *mut c_void,
) -> c_int {
    // SAFETY: as for `attribute`; a null value means that the attribute is deleted. The function is CPython's in all
    // but its type, so CPython's own vector call can run it.
    unsafe {
        let py = Python::assume_attached();
        let function = Bound::from_borrowed_ptr(py, object);
        let value = Bound::from_borrowed_ptr_or_opt(py, value);
        let name = CStr::from_ptr(name.cast());
        let outcome =
            complete(&function).and_then(|()| inherited(py, name)).and_then(|inherited| match value {
                Some(value) => inherited.call_method1(intern!(py, "__set__"), (&function, value)),
                None => inherited.call_method1(intern!(py, "__delete__"), (&function,)),
            });
        match outcome.and_then(|_| is_as_made(&function)) {
            Ok(as_made) => {
                let native = native_part(object);
                *vectorcall_of(object) = if as_made { Some((*native).call) } else { (*native).interpreted };
                0
            }
            Err(failure) => {
                failure.restore(py);
                -1
            }
        }
    }
}
