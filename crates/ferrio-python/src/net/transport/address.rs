//! Converts the kernel's socket addresses to those of Python's `socket` module, and back.
//!
//! Only addresses that need no look-up are converted back: numeric hosts, paths. For everything else `from_python`
//! returns `None`, and the caller uses the Python socket, which knows names, every family and every error text.

use std::ffi::OsStr;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::ffi::OsStrExt;

use ferrio_engine::net::{Address, Parts};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString, PyTuple};

use crate::base::ffi::Cast;
use crate::base::ffi::interpreter::is_exactly;
use crate::base::imports;

/// The families whose addresses are known here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Family {
    V4,
    V6,
    Unix,
    /// Left to the Python socket.
    Other,
}

impl Family {
    /// The family of a plain `socket.socket`. For a subclass or a mock, whose methods must be called, it is `Other`.
    pub(crate) fn of(socket: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = socket.py();
        if !socket.get_type().is(imports::SOCKET.get(py)?) {
            return Ok(Self::Other);
        }
        let family = socket.getattr(intern!(py, "family"))?;
        for (import, known) in
            [(&imports::AF_INET, Self::V4), (&imports::AF_INET6, Self::V6), (&imports::AF_UNIX, Self::Unix)]
        {
            if family.eq(import.get(py)?)? {
                return Ok(known);
            }
        }
        Ok(Self::Other)
    }
}

/// The address as `socket.recvfrom` returns it; `None` if there is none, or its family isn't known here.
pub(crate) fn to_python<'py>(py: Python<'py>, address: &Address) -> PyResult<Bound<'py, PyAny>> {
    Ok(match address.parts() {
        Parts::Absent | Parts::Other => py.None().into_bound(py),
        Parts::V4(host, port) => (host_v4(py, host), port).into_pyobject(py)?.into_any(),
        Parts::V6 { host, port, flow, scope } => {
            (host_v6(py, host), port, flow, scope).into_pyobject(py)?.into_any()
        }
        Parts::Path(path) => OsStr::from_bytes(path).into_pyobject(py)?.into_any(),
        Parts::Abstract(name) => PyBytes::new(py, name).into_any(),
    })
}

/// The address that a program gave; `None` if the Python socket must handle it.
pub(crate) fn from_python(family: Family, given: &Bound<'_, PyAny>) -> Option<Address> {
    match family {
        Family::V4 => {
            let (host, rest) = host_and_rest(given, 2)?;
            Some(Address::v4(host.to_str().ok()?.parse::<Ipv4Addr>().ok()?, number(&rest.get_item(1).ok()?)?))
        }
        Family::V6 => {
            let (host, rest) = host_and_rest(given, 4)?;
            let host = host.to_str().ok()?.parse::<Ipv6Addr>().ok()?;
            let part = |at: usize| match rest.get_item(at) {
                Ok(part) => number::<u32>(&part),
                Err(_) => Some(0),
            };
            let (flow, scope) = (part(2)?, part(3)?);
            (flow < 1 << 20).then_some(Address::v6(host, number(&rest.get_item(1).ok()?)?, flow, scope))
        }
        Family::Unix => match given.as_exactly::<PyBytes>() {
            Some(name) => Address::unix(name.as_bytes()),
            // The encoding of other characters depends on the file system.
            None => {
                let name = given.as_exactly::<PyString>()?.to_str().ok()?;
                if name.is_ascii() { Address::unix(name.as_bytes()) } else { None }
            }
        },
        Family::Other => None,
    }
}

/// A tuple of two to `longest` parts whose first is the host.
fn host_and_rest<'py>(
    given: &Bound<'py, PyAny>,
    longest: usize,
) -> Option<(Bound<'py, PyString>, Bound<'py, PyTuple>)> {
    let parts = given.as_exactly::<PyTuple>()?;
    if !(2..=longest).contains(&parts.len()) {
        return None;
    }
    Some((parts.get_item(0).ok()?.cast_into_exact::<PyString>().ok()?, parts.clone()))
}

fn number<N>(given: &Bound<'_, PyAny>) -> Option<N>
where
    N: for<'a, 'py> FromPyObject<'a, 'py>,
{
    if is_exactly::<PyInt>(given) { given.extract().ok() } else { None }
}

fn host_v4(py: Python<'_>, host: Ipv4Addr) -> Bound<'_, PyString> {
    // Four numbers of up to three digits and three dots; `Display` would take a slower way.
    let (mut text, mut end) = ([0; 15], 0);
    for (index, octet) in host.octets().into_iter().enumerate() {
        if index > 0 {
            text[end] = b'.';
            end += 1;
        }
        for (least, digit) in [(100, octet / 100), (10, octet / 10 % 10), (0, octet % 10)] {
            if octet >= least {
                text[end] = b'0' + digit;
                end += 1;
            }
        }
    }
    PyString::new(py, std::str::from_utf8(&text[..end]).expect("digits and dots"))
}

fn host_v6(py: Python<'_>, host: Ipv6Addr) -> Bound<'_, PyString> {
    let parts = host.segments();
    // The C library's `inet_ntop` writes these old addresses with dots, but Rust doesn't.
    if parts[..6] == [0; 6] && parts[6] != 0 {
        let [.., a, b, c, d] = host.octets();
        return PyString::new(py, &format!("::{a}.{b}.{c}.{d}"));
    }
    PyString::new(py, &host.to_string())
}
