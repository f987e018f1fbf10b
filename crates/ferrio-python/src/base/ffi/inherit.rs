//! ferrio's classes below asyncio's: `issubclass(ferrio.Task, asyncio.Task)`.
//!
//! The class of a `#[pyclass]` has one base, which PyO3 lays out. What a class is an instance of is said by its method
//! resolution order alone, so asyncio's classes are put in there, behind ferrio's own: `(ferrio.Task, ferrio.Future,
//! asyncio.Task, asyncio.Future, object)`. Classes that programs derive take them over.
//!
//! Invariant: a class is put in only where its fields fit into the room at the beginning of the instances (`room`), so
//! that whatever its methods do to one of ours, they find zeroes and disturb nothing.

use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// Puts `standard` and what it is derived from into the order of `class`, which no class has been derived from in
/// Python and which has no instance. ferrio's classes above it must be done already.
pub(crate) fn inherit(class: &Bound<'_, PyType>, standard: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let object = py.get_type::<PyAny>();
    let mut order = Vec::new();
    let mut room = 0;
    let mut next = class.clone();
    while !next.is(&object) {
        // The lowest base is the room itself, if there is one: no class that anybody should see.
        let base = base_of(&next);
        if base.is(&object) && !order.is_empty() && next.name()? == "_Room" {
            room = fields_end(&next) - fields_end(&object);
            break;
        }
        order.push(next);
        next = base;
    }
    let own_base = order.get(1).cloned();
    for candidate in standard.mro() {
        let candidate = candidate.cast_into::<PyType>()?;
        let fits = fields_end(&candidate) - fields_end(&object) <= room;
        if fits && !candidate.is(&object) && !order.iter().any(|known| known.is(&candidate)) {
            order.push(candidate);
        }
    }
    order.push(object);
    if !order.iter().any(|known| known.is(standard)) {
        return Err(PyTypeError::new_err(format!("{standard} has more fields than {class} has room for")));
    }
    let bases = own_base.into_iter().chain([standard.clone()]);
    let bases = PyTuple::new(py, bases.collect::<Vec<_>>())?;
    set_order(class, PyTuple::new(py, order)?, bases);
    note_subclass(standard, class)
}

/// The class whose instances are the beginning of those of `class`; the room is seen here alone.
fn base_of<'py>(class: &Bound<'py, PyType>) -> Bound<'py, PyType> {
    let py = class.py();
    // SAFETY: attached; only `object` has no base, which isn't asked.
    unsafe {
        let base = (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_base;
        Bound::from_borrowed_ptr(py, base.cast()).cast_into_unchecked()
    }
}

/// Where the fields of an instance end: its size without a dictionary and a list of weak references at the end, which are
/// reached by the class of the instance, not by that of the method.
fn fields_end(class: &Bound<'_, PyType>) -> isize {
    // SAFETY: attached, a live class.
    let class = unsafe { &*class.as_ptr().cast::<ffi::PyTypeObject>() };
    let pointer = size_of::<*mut ()>().cast_signed();
    let mut end = class.tp_basicsize;
    while end - pointer == class.tp_dictoffset || end - pointer == class.tp_weaklistoffset {
        end -= pointer;
    }
    end
}

fn set_order(class: &Bound<'_, PyType>, order: Bound<'_, PyTuple>, bases: Bound<'_, PyTuple>) {
    let class = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: attached, while the module is made: no other thread knows the class. The tuples before may be borrowed
    // somewhere in the interpreter, so they are kept.
    unsafe {
        (*class).tp_mro = order.into_ptr();
        (*class).tp_bases = bases.into_ptr();
        ffi::PyType_Modified(class);
    }
}

/// Makes a change of `standard` known to what the interpreter remembers of `class`.
fn note_subclass(standard: &Bound<'_, PyType>, class: &Bound<'_, PyType>) -> PyResult<()> {
    if cfg!(Py_GIL_DISABLED) {
        // Only the interpreter itself may take the lock of classes. What a program adds to a class of asyncio's after it
        // looked for it in one of ours isn't found there.
        return Ok(());
    }
    let py = class.py();
    let standard = standard.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: attached. The dictionary has for the address of each subclass a weak reference to it, in every version; it
    // is made when it is needed. Classes of extension modules are none of the interpreter's own static ones, which keep
    // theirs elsewhere.
    unsafe {
        if (*standard).tp_subclasses.is_null() {
            (*standard).tp_subclasses = ffi::PyDict_New().cast();
        }
        let subclasses = Bound::from_borrowed_ptr_or_err(py, (*standard).tp_subclasses.cast())?;
        let key = Bound::from_owned_ptr_or_err(py, ffi::PyLong_FromVoidPtr(class.as_ptr().cast()))?;
        let reference =
            Bound::from_owned_ptr_or_err(py, ffi::PyWeakref_NewRef(class.as_ptr(), ptr::null_mut()))?;
        subclasses.set_item(key, reference)
    }
}
