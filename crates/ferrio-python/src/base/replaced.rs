//! Notices that a program replaced a method of a class, or only the method's code.
//!
//! Tracers do that to methods of asyncio's classes through which everything passes. What was seen at the last look is
//! kept here. What follows from a replaced method is up to the caller.
//!
//! Invariant: as long as nothing changed, a look reads a few words and calls nothing.
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::base::ffi::class_version;
use crate::base::ffi::function_code::WithCode;
use crate::base::gc::gc;

/// A method as it was at the last look.
#[derive(Default)]
pub(crate) struct Seen {
    version: u32,
    method: Option<WithCode>,
    is_replaced: bool,
}

gc!(Seen { method } not { version, is_replaced });

impl Seen {
    /// Looks at the method `name` of `class`; `is_original` says whether that is the class's own.
    pub(crate) fn look<'py>(
        class: &Bound<'py, PyType>,
        name: &str,
        is_original: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<bool>,
    ) -> PyResult<Self> {
        let method = class.getattr(name)?;
        let is_replaced = !is_original(&method)?;
        // Read last: the look-up itself may give the class a new number.
        Ok(Self { version: class_version::of(class), method: Some(WithCode::new(&method)), is_replaced })
    }

    /// Whether nothing changed since.
    #[inline]
    pub(crate) fn is_current(&self, class: &Bound<'_, PyType>) -> bool {
        let version = class_version::of(class);
        version != 0
            && version == self.version
            && self.method.as_ref().is_some_and(|method| method.is_unchanged(class.py()))
    }

    /// What a program put in the method's place, if it did.
    pub(crate) fn replacement(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let method = self.method.as_ref().filter(|_| self.is_replaced)?;
        Some(method.object(py))
    }

    /// Whether a program put something in the method's place.
    pub(crate) fn is_replaced(&self) -> bool {
        self.is_replaced
    }
}

/// Whether `method` is the one that the class's own module defines, with the code that it was written with. That code
/// looks up the name `mark`; the code of a tracer, which goes by the same name, doesn't.
pub(crate) fn is_as_written(
    class: &Bound<'_, PyType>,
    method: &Bound<'_, PyAny>,
    mark: &str,
) -> PyResult<bool> {
    let py = class.py();
    let Some(globals) = method.getattr_opt(intern!(py, "__globals__"))? else { return Ok(false) };
    let home = globals.call_method1(intern!(py, "get"), (intern!(py, "__name__"),))?;
    Ok(home.eq(class.getattr(intern!(py, "__module__"))?)?
        && method.getattr(intern!(py, "__code__"))?.getattr(intern!(py, "co_names"))?.contains(mark)?)
}
