//! What ferrio's own classes can do without a Python call; each class registers it.
//!
//! A protocol that takes bytes natively, or a transport that is written to natively, submits an entry beside its
//! class. Nothing here names those classes, so adding one changes no other file.
//!
//! Invariant: an entry is for exactly one class. A subclass has its own methods, which are called through Python.

use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Takes bytes that are valid only during the call.
pub(crate) type Take = for<'py> fn(&Bound<'py, PyAny>, &[u8]) -> PyResult<()>;

/// Takes an object of exactly the class `bytes`, which the protocol may keep.
pub(crate) type Keep = for<'py> fn(&Bound<'py, PyAny>, Bound<'py, PyBytes>) -> PyResult<()>;

/// Whether an object is of exactly the entry's class.
type IsOf = for<'py> fn(&Bound<'py, PyAny>) -> bool;

/// How a protocol's class takes what arrives.
pub(crate) struct NativeProtocol {
    is_of: IsOf,
    /// Called with what was received into the loop's own memory.
    pub(crate) take: Take,
    /// Set by a class that passes bytes on to the program: it gets a whole object.
    pub(crate) keep: Option<Keep>,
}

impl NativeProtocol {
    /// The entry of a class that only reads the bytes.
    pub(crate) const fn new(is_of: IsOf, take: Take) -> Self {
        Self { is_of, take, keep: None }
    }

    /// The entry of a class that passes bytes on.
    pub(crate) const fn keeping(self, keep: Keep) -> Self {
        Self { keep: Some(keep), ..self }
    }

    /// The entry of the class of `protocol`.
    pub(crate) fn find(protocol: &Bound<'_, PyAny>) -> Option<&'static Self> {
        inventory::iter::<Self>.into_iter().find(|entry| (entry.is_of)(protocol))
    }
}

inventory::collect!(NativeProtocol);

/// How a transport's class is used from native code.
pub(crate) struct NativeTransport {
    /// Whether an object is of exactly this class, and no attribute was set on it.
    pub(crate) is_plain: IsOf,
    /// `transport.write(data)`.
    pub(crate) write: for<'py> fn(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>,
    /// `transport.is_closing()`.
    pub(crate) is_closing: for<'py> fn(&Bound<'py, PyAny>) -> PyResult<bool>,
}

impl NativeTransport {
    /// The entry of the class of `transport`, unless an attribute was set on it.
    #[inline]
    pub(crate) fn find(transport: &Bound<'_, PyAny>) -> Option<&'static Self> {
        inventory::iter::<Self>.into_iter().find(|entry| (entry.is_plain)(transport))
    }
}

inventory::collect!(NativeTransport);
