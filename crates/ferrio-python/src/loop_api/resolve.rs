//! Names and addresses: `getaddrinfo`, `getnameinfo`, and numeric addresses, which need no name server.
//!
//! Only a name that must be looked up goes to a thread.

use std::net::{Ipv4Addr, Ipv6Addr};

use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyString, PyTuple};

use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::gc::gc;
use crate::base::{imports, slice};
use crate::core::event_loop::Loop;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

#[pymethods]
impl Loop {
    /// Look up `host` and `port`; return the list of `(family, type, proto, canonname, sockaddr)` of
    /// `socket.getaddrinfo`.
    ///
    /// Return an awaitable. Unless host and port are numbers, a thread of the default executor does it. Raises what
    /// `socket.getaddrinfo` raises.
    #[pyo3(signature = (host, port, *, family = 0, r#type = 0, proto = 0, flags = 0))]
    fn getaddrinfo(
        slf: &Bound<'_, Self>,
        host: Bound<'_, PyAny>,
        port: Bound<'_, PyAny>,
        family: i32,
        r#type: i32,
        proto: i32,
        flags: i32,
    ) -> PyResult<Unawaited> {
        let py = slf.py();
        let at_once = is_numeric_host(&host) && is_numeric_port(&port);
        let arguments = (host, port, family, r#type, proto, flags).into_pyobject(py)?;
        Ok(lookup(slf, "getaddrinfo", arguments, at_once))
    }

    /// The address, as in `getaddrinfo`'s list, if `address` is numeric already; else `None`.
    #[pyo3(signature = (address, family, kind, proto))]
    fn _known_address<'py>(
        &self,
        address: Bound<'py, PyAny>,
        family: Bound<'py, PyAny>,
        kind: Bound<'py, PyAny>,
        proto: Bound<'py, PyAny>,
    ) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (host, port) = host_and_port(&address)?;
        known(&address, &host, &port, &family, &kind, &proto)
    }

    /// Look up the host and service names of `sockaddr`; return the pair of `socket.getnameinfo`.
    ///
    /// Return an awaitable. Unless the `flags` ask for numbers, a thread of the default executor does it. Raises what
    /// `socket.getnameinfo` raises.
    #[pyo3(signature = (sockaddr, flags = 0))]
    fn getnameinfo(slf: &Bound<'_, Self>, sockaddr: Bound<'_, PyAny>, flags: i32) -> PyResult<Unawaited> {
        let py = slf.py();
        let numbers: i32 = imports::NI_NUMERICHOST.get(py)?.extract::<i32>()?
            | imports::NI_NUMERICSERV.get(py)?.extract::<i32>()?;
        let arguments = (sockaddr, flags).into_pyobject(py)?;
        Ok(lookup(slf, "getnameinfo", arguments, flags & numbers == numbers))
    }
}

/// What is known about an address without a look-up.
pub(crate) enum Resolution<'py> {
    /// `(family, type, proto, canonname, sockaddr)`: the address was numeric.
    Known(Bound<'py, PyTuple>),
    /// An awaitable of a list of these.
    Wanted(Bound<'py, PyAny>),
}

/// The addresses of `address`, which is `(host, port)` or, for IPv6, `(host, port, flowinfo, scope_id)`.
///
/// Raises what the loop's `getaddrinfo` raises when it is called.
pub(crate) fn resolve<'py>(
    native: &Bound<'py, Loop>,
    address: &Bound<'py, PyAny>,
    family: &Bound<'py, PyAny>,
    kind: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<Resolution<'py>> {
    let py = native.py();
    let (host, port) = host_and_port(address)?;
    if let Some(info) = known(address, &host, &port, family, kind, protocol)? {
        return Ok(Resolution::Known(info));
    }
    let keywords = pyo3::types::PyDict::new(py);
    keywords.set_item(intern!(py, "family"), family)?;
    keywords.set_item(intern!(py, "type"), kind)?;
    keywords.set_item(intern!(py, "proto"), protocol)?;
    native.call_method(intern!(py, "getaddrinfo"), (host, port), Some(&keywords)).map(Resolution::Wanted)
}

/// The first two parts of an address.
///
/// Raises `ValueError` if it has fewer, `TypeError` if it has no parts at all.
fn host_and_port<'py>(address: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)> {
    let py = address.py();
    let hint =
        || -> PyResult<String> { Ok(format!("an address is a tuple (host, port), got {}", address.repr()?)) };
    if let (Ok(host), Ok(port)) = (address.get_item(0), address.get_item(1)) {
        return Ok((host, port));
    }
    match slice::part(address, 0, Some(2)) {
        Ok(_) => Err(PyValueError::new_err(hint()?)),
        Err(failure) if failure.is_instance_of::<PyTypeError>(py) => Err(PyTypeError::new_err(hint()?)),
        Err(failure) => Err(failure),
    }
}

/// What `getaddrinfo` would return for a numeric address; `None` if it must be asked.
///
/// Only clear cases are decided here. The standard library checks every other host, so an odd one raises the same
/// exceptions: with a NUL in the middle, with a lone surrogate, or not text at all.
fn known<'py>(
    address: &Bound<'py, PyAny>,
    host: &Bound<'py, PyAny>,
    port: &Bound<'py, PyAny>,
    family: &Bound<'py, PyAny>,
    kind: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = address.py();
    if address.as_exactly::<PyTuple>().is_some_and(|parts| parts.len() <= 4)
        && port.is_exact_instance_of::<PyInt>()
        && let Some(text) = host.as_exactly::<PyString>()
        && let Some(info) = in_numbers(address, text, port, family, kind, protocol)?
    {
        return Ok(Some(info));
    }
    let mut arguments = vec![host.clone(), port.clone(), family.clone(), kind.clone(), protocol.clone()];
    for part in slice::part(address, 2, None)?.try_iter()? {
        arguments.push(part?);
    }
    Ok(imports::IP_ADDRESS_INFO.get(py)?.call1(PyTuple::new(py, arguments)?)?.extract()?)
}

/// As `known`, for a host that is exactly a `str` and a port that is exactly an `int`.
fn in_numbers<'py>(
    address: &Bound<'py, PyAny>,
    host: &Bound<'py, PyString>,
    port: &Bound<'py, PyAny>,
    family: &Bound<'py, PyAny>,
    kind: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyTuple>>> {
    let py = address.py();
    let (tcp, udp) = (imports::IPPROTO_TCP.get(py)?, imports::IPPROTO_UDP.get(py)?);
    if !protocol.eq(0)? && !protocol.eq(tcp)? && !protocol.eq(udp)? {
        return Ok(None);
    }
    let protocol = if kind.eq(imports::SOCK_STREAM.get(py)?)? {
        tcp
    } else if kind.eq(imports::SOCK_DGRAM.get(py)?)? {
        udp
    } else {
        return Ok(None);
    };
    let Ok(text) = host.to_str() else { return Ok(None) };
    let (inet, inet6) = (imports::AF_INET.get(py)?, imports::AF_INET6.get(py)?);
    let any = family.eq(0)?;
    if (any || family.eq(inet)?) && text.parse::<Ipv4Addr>().is_ok() {
        let sockaddr = (host, port).into_pyobject(py)?;
        return Ok(Some((inet, kind, protocol, "", sockaddr).into_pyobject(py)?));
    }
    if (any || family.eq(inet6)?) && text.parse::<Ipv6Addr>().is_ok() {
        let mut sockaddr = vec![host.clone().into_any(), port.clone()];
        for index in 2..4 {
            sockaddr.push(match address.get_item(index) {
                Ok(given) => given,
                Err(_) => PyInt::new(py, 0_i32).into_any(),
            });
        }
        let sockaddr = PyTuple::new(py, sockaddr)?;
        return Ok(Some((inet6, kind, protocol, "", sockaddr).into_pyobject(py)?));
    }
    Ok(None)
}

/// Whether no name server is needed: the address is numeric, or there is none (all interfaces, or this machine).
fn is_numeric_host(host: &Bound<'_, PyAny>) -> bool {
    let is_address = |text: &str| text.parse::<Ipv4Addr>().is_ok() || text.parse::<Ipv6Addr>().is_ok();
    match host.extract::<&str>() {
        Ok(text) => is_address(text),
        Err(_) => {
            host.is_none()
                || host.extract::<&[u8]>().is_ok_and(|bytes| std::str::from_utf8(bytes).is_ok_and(is_address))
        }
    }
}

/// Whether the port can be used without the table of services.
fn is_numeric_port(port: &Bound<'_, PyAny>) -> bool {
    let is_number = |bytes: &[u8]| bytes.iter().all(u8::is_ascii_digit);
    port.is_none()
        || port.is_instance_of::<PyInt>()
        || port.extract::<&str>().is_ok_and(|text| is_number(text.as_bytes()))
        || port.extract::<&[u8]>().is_ok_and(is_number)
}

fn lookup(
    native: &Bound<'_, Loop>,
    function: &'static str,
    arguments: Bound<'_, PyTuple>,
    at_once: bool,
) -> Unawaited {
    let state = if at_once { LookUp::AtOnce } else { LookUp::Wanted };
    Unawaited::new(Lookup { home: native.clone().unbind(), function, arguments: arguments.unbind(), state })
}

/// A call of the `socket` module that may take long.
struct Lookup {
    home: Py<Loop>,
    function: &'static str,
    arguments: Py<PyTuple>,
    state: LookUp,
}

gc!(Lookup { home, arguments, state } not { function });

enum LookUp {
    AtOnce,
    Wanted,
    /// The iterator of the executor's future.
    Asked(Py<PyAny>),
}

gc!(match LookUp {
    Self::Asked(inner) => (inner),
    Self::AtOnce | Self::Wanted => (),
});

impl Run for Lookup {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let inner = match (&self.state, &resume) {
            (LookUp::Asked(inner), _) => inner.bind(py).clone(),
            (_, Resume::Throw(exception)) => return Err(PyErr::from_value(exception.clone())),
            (state, Resume::Send) => {
                // Taken from the module now, because a program may have replaced it.
                let function = imports::SOCKET_MODULE.get(py)?.getattr(self.function)?;
                if let LookUp::AtOnce = state {
                    return function.call1(self.arguments.bind(py)).map(Progress::Ready);
                }
                let mut arguments = vec![py.None().into_bound(py), function];
                arguments.extend(self.arguments.bind(py).iter());
                let arguments = PyTuple::new(py, arguments)?;
                let future = self.home.bind(py).call_method1(intern!(py, "run_in_executor"), arguments)?;
                let inner = operation::start_awaiting(&future)?;
                self.state = LookUp::Asked(inner.clone().unbind());
                inner
            }
        };
        match operation::forward(&inner, resume) {
            Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
            Sent::Returned(found) => Ok(Progress::Ready(found)),
            Sent::Raised(failure) => Err(failure),
        }
    }

    fn name(&self) -> &'static str {
        if self.function == "getaddrinfo" { "BaseEventLoop.getaddrinfo" } else { "BaseEventLoop.getnameinfo" }
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.state {
            LookUp::Asked(inner) => Some(inner.bind(py).clone()),
            LookUp::AtOnce | LookUp::Wanted => None,
        }
    }
}
