//! `get_extra_info`: what TLS knows about a connection, then what the transport below knows.
//!
//! The peer's certificate is decoded on demand, and kept.
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::protocol::SSLProtocol;
use crate::base::ffi::Cast;

/// The value called `name`, or `default`.
pub(super) fn extra_info<'py>(
    protocol: &Bound<'py, SSLProtocol>,
    name: &Bound<'py, PyAny>,
    default: Option<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = protocol.py();
    if let Some(text) = name.as_instance::<PyString>()
        && let Some(found) = own(protocol, text.to_str()?)?
    {
        return Ok(Some(found));
    }
    match protocol.get().lower(py) {
        Some(lower) => lower.0.call_method1(intern!(py, "get_extra_info"), (name, default)).map(Some),
        None => Ok(default),
    }
}

pub(super) fn own<'py>(
    protocol: &Bound<'py, SSLProtocol>,
    name: &str,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = protocol.py();
    if name == "sslcontext" {
        return Ok(protocol.get()._sslcontext(py).map(|context| context.into_bound(py)));
    }
    if !matches!(name, "ssl_object" | "peercert" | "cipher" | "compression")
        || !protocol.get().state.with(py, |state| state.life.has_shaken())
    {
        return Ok(None);
    }
    let session = protocol.get().session(py)?;
    let object = session.object(py);
    if name == "ssl_object" {
        return Ok(Some(object.clone()));
    }
    let extra =
        protocol.get().state.with(py, |state| state.extra.as_ref().map(|extra| extra.bind(py).clone()));
    let extra = extra.unwrap_or_else(|| PyDict::new(py));
    if let Some(known) = extra.get_item(name)? {
        return Ok(Some(known));
    }
    let method = if name == "peercert" { "getpeercert" } else { name };
    let found = object.call_method0(method)?;
    extra.set_item(name, &found)?;
    let old = protocol.get().state.with(py, |state| state.extra.replace(extra.unbind()));
    drop(old);
    Ok(Some(found))
}
