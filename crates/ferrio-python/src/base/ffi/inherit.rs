//! Makes ferrio's classes subclasses of asyncio's: `issubclass(ferrio.Task, asyncio.Task)`.
//!
//! A `#[pyclass]` has one base, which PyO3 lays out. But `isinstance` only looks at the method resolution order, so
//! asyncio's classes are inserted there, behind ferrio's own: `(ferrio.Task, ferrio.Future, asyncio.Task,
//! asyncio.Future, object)`. Subclasses that programs define inherit this order.
//!
//! Invariant: a class is inserted only if its fields fit into the room at the beginning of the instances (`room`).
//! Whatever its methods do to one of our instances, they find zeroes there and disturb nothing.

use std::ptr;

use pyo3::exceptions::PyTypeError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyTuple, PyType};

/// Inserts `standard` and its bases into the method resolution order of `class`, which has no Python subclass and no
/// instance yet. ferrio's own base classes of `class` must be done first.
pub(crate) fn inherit(class: &Bound<'_, PyType>, standard: &Bound<'_, PyType>) -> PyResult<()> {
    let py = class.py();
    let object = py.get_type::<PyAny>();
    let mut order = Vec::new();
    let mut room = 0;
    let mut next = class.clone();
    while !next.is(&object) {
        // The lowest base is the room itself, if there is one; programs shouldn't see that class.
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

/// The class whose layout `class` extends. This is the only place where the room is visible.
fn base_of<'py>(class: &Bound<'py, PyType>) -> Bound<'py, PyType> {
    let py = class.py();
    // SAFETY: attached; only `object` has no base, which isn't asked.
    unsafe {
        let base = (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_base;
        Bound::from_borrowed_ptr(py, base.cast()).cast_into_unchecked()
    }
}

/// Where an instance's fields end. A dictionary and a list of weak references at the end don't count: they are found
/// through the class of the instance, not through that of the method.
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
    // SAFETY: attached, while the module is made: no other thread knows the class. The old tuples may be borrowed
    // somewhere in the interpreter, so they are kept.
    unsafe {
        (*class).tp_mro = order.into_ptr();
        (*class).tp_bases = bases.into_ptr();
        ffi::PyType_Modified(class);
    }
}

/// Tells the interpreter's caches for `class` when `standard` changes.
fn note_subclass(standard: &Bound<'_, PyType>, class: &Bound<'_, PyType>) -> PyResult<()> {
    if cfg!(Py_GIL_DISABLED) {
        // Only the interpreter itself may take the lock of classes. So an attribute that a program adds to a class of
        // asyncio's isn't found in ours after a failed look-up.
        return Ok(());
    }
    let py = class.py();
    let standard = standard.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: attached. In every version, the dictionary maps the address of each subclass to a weak reference to it,
    // and is created on demand. Static builtin classes keep theirs elsewhere, but classes of extension modules aren't
    // among them.
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
