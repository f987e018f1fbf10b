//! Whether system calls may replace calls of a socket's methods.
//!
//! Test suites replace methods of `socket.socket`, and programs bring subclasses and mocks. Then the methods are
//! called, as in asyncio. Only an instance of exactly `socket.socket`, unchanged from the standard library, is plain.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::base::ffi::{audit, class_version};
use crate::base::imports;

/// The methods that the class inherits from C.
const METHODS: [&str; 13] = [
    "recv",
    "recv_into",
    "recvfrom",
    "recvfrom_into",
    "send",
    "sendmsg",
    "sendto",
    "shutdown",
    "connect",
    "connect_ex",
    "getsockopt",
    "setblocking",
    "fileno",
];

/// The class's version when all methods were known to be the standard library's.
static UNCHANGED: AtomicU32 = AtomicU32::new(0);

/// Whether it is exactly a `socket.socket`, even if that class was changed.
#[inline]
pub(crate) fn is_exact(socket: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(socket.get_type().is(imports::SOCKET.get(socket.py())?))
}

/// Whether system calls may replace the methods of `socket`.
#[inline]
pub(crate) fn is_plain(socket: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(is_exact(socket)? && is_class_unchanged(socket.py())?)
}

/// The standard library's `socket.socket`.
static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Whether no method of `socket.socket` was replaced.
#[inline]
pub(crate) fn is_class_unchanged(py: Python<'_>) -> PyResult<bool> {
    let class = match CLASS.get(py) {
        Some(class) => class.bind(py),
        None => CLASS.get_or_try_init(py, || find_class(py))?.bind(py),
    };
    let version = class_version::of(class);
    if version != 0 && version == UNCHANGED.load(Ordering::Relaxed) {
        return Ok(true);
    }
    look_at_class(class, version)
}

/// Whether connections may be accepted without a Python socket, because no replaced class or audit hook needs to see
/// one.
pub(crate) fn accepts_natively(listener: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = listener.py();
    if !is_plain(listener)? || audit::is_watched(py) {
        return Ok(false);
    }
    // `accept` makes an instance of whatever class has this name in the module.
    let class = imports::MODULES.get(py)?.get_item(intern!(py, "socket"))?.getattr(intern!(py, "socket"))?;
    Ok(class.is(imports::SOCKET.get(py)?))
}

#[cold]
fn find_class(py: Python<'_>) -> PyResult<Py<PyType>> {
    Ok(imports::SOCKET.get(py)?.cast::<PyType>()?.clone().unbind())
}

#[cold]
fn look_at_class(class: &Bound<'_, PyType>, version: u32) -> PyResult<bool> {
    let py = class.py();
    let inherited = imports::C_SOCKET.get(py)?;
    for name in METHODS {
        if !class.getattr(name)?.is(&inherited.getattr(name)?) {
            return Ok(false);
        }
    }
    // Written in Python, so that there is no other copy to compare with.
    let module = imports::MODULES.get(py)?.get_item(intern!(py, "socket"))?;
    let globals = class.getattr(intern!(py, "accept"))?.getattr_opt(intern!(py, "__globals__"))?;
    if !globals.is_some_and(|globals| {
        module.getattr_opt("__dict__").ok().flatten().is_some_and(|dict| dict.is(&globals))
    }) {
        return Ok(false);
    }
    if version == class_version::of(class) {
        UNCHANGED.store(version, Ordering::Relaxed);
    }
    Ok(true)
}
