//! A stream transport's descriptor: its owner, and what `get_extra_info` knows about it.
//!
//! A connection that a server accepted gets a Python socket and Python addresses on demand, because most never need
//! either. The owner closes the descriptor, once. Making the Python socket runs Python code, which may ask for the
//! socket too, raise, or end the connection; other threads may do the same meanwhile. So the descriptor is lent to
//! each socket that is being made, and stays open until the last of them is made. The first complete one keeps it.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::net::{self, Address, Parts};
use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::address;
use super::socket::SocketTransport;
use crate::base::gc::gc;
use crate::base::imports;

/// The owner of the descriptor.
pub(super) enum Channel {
    Closed,
    Socket(Py<PyAny>),
    /// Ours, with the family, type and protocol for a Python socket.
    Descriptor(Arc<Lent>, Py<PyTuple>),
}

gc!(match Channel {
    Self::Closed => (),
    Self::Socket(socket) => (socket),
    Self::Descriptor(_, kind) => (kind),
});

/// A descriptor that is closed with the last reference to it, unless it was given away.
pub(super) struct Lent {
    fd: Option<OwnedFd>,
    given_away: AtomicBool,
}

impl Lent {
    pub(super) fn new(fd: OwnedFd) -> Arc<Self> {
        Arc::new(Self { fd: Some(fd), given_away: AtomicBool::new(false) })
    }

    fn number(&self) -> RawFd {
        self.fd.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if *self.given_away.get_mut()
            && let Some(fd) = self.fd.take()
        {
            // The Python socket closes it.
            let _ = fd.into_raw_fd();
        }
    }
}

impl Channel {
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Closes it; a Python socket through its method.
    pub(super) fn close(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Socket(socket) => socket.bind(py).call_method0(intern!(py, "close")).map(drop),
            Self::Closed | Self::Descriptor(..) => Ok(()),
        }
    }

    /// Takes it, to be closed; `None` if that was done already.
    pub(super) fn take(&mut self) -> Option<Self> {
        Some(std::mem::replace(self, Self::Closed)).filter(|taken| !taken.is_closed())
    }
}

/// The address of one end, in little memory.
#[derive(Clone, Default)]
enum Name {
    #[default]
    Unknown,
    V4(Ipv4Addr, u16),
    Other(Box<Address>),
    Shared(Arc<Address>),
}

impl Name {
    fn new(address: &Address) -> Self {
        match address.parts() {
            Parts::V4(host, port) => Self::V4(host, port),
            _ => Self::Other(Box::new(*address)),
        }
    }

    fn to_python<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::Unknown => Ok(py.None().into_bound(py)),
            Self::V4(host, port) => address::to_python(py, &Address::v4(*host, *port)),
            Self::Other(other) => address::to_python(py, other),
            Self::Shared(shared) => address::to_python(py, shared),
        }
    }
}

/// The addresses of both ends of an accepted connection.
pub(super) struct Names {
    fd: RawFd,
    peer: Name,
    /// Looked up when it is needed, at the latest before the descriptor is closed.
    own: Name,
}

impl Names {
    /// The names of `fd`; `own` is our own address if it is known without asking.
    pub(super) fn new(fd: RawFd, peer: &Address, own: Option<Arc<Address>>) -> Self {
        Self { fd, peer: Name::new(peer), own: own.map_or(Name::Unknown, Name::Shared) }
    }

    /// Looks up what can't be asked after the descriptor is closed.
    pub(super) fn learn(&mut self) {
        if let Name::Unknown = self.own
            && let Ok(address) = net::local_address(self.fd)
        {
            self.own = Name::new(&address);
        }
    }
}

/// Fills in what `get_extra_info` knows about a Python socket; an existing peer's name stays.
pub(super) fn describe(extra: &Bound<'_, PyDict>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    extra.set_item(intern!(py, "socket"), imports::TRANSPORT_SOCKET.get(py)?.call1((socket,))?)?;
    extra.set_item(
        intern!(py, "sockname"),
        unless_refused(py, socket.call_method0(intern!(py, "getsockname")))?,
    )?;
    if !extra.contains(intern!(py, "peername"))? {
        let peer = unless_refused(py, socket.call_method0(intern!(py, "getpeername")))?;
        extra.set_item(intern!(py, "peername"), peer)?;
    }
    Ok(())
}

/// Turns Nagle's algorithm off for a TCP socket, so that small writes leave at once.
pub(super) fn set_nodelay(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    if !socket.get_type().is(imports::SOCKET.get(py)?) {
        return imports::SET_NODELAY.get(py)?.call1((socket,)).map(drop);
    }
    // As that function does, but without the enumerations that a socket makes of its numbers.
    let tcp = imports::IPPROTO_TCP.get(py)?;
    if !socket.getattr(intern!(py, "proto"))?.eq(tcp)? {
        return Ok(());
    }
    let nodelay = imports::TCP_NODELAY.get(py)?;
    socket.call_method1(intern!(py, "setsockopt"), (tcp, nodelay, 1)).map(drop)
}

/// `None` for an `OSError`: the socket has no such address.
fn unless_refused<'py>(
    py: Python<'py>,
    address: PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    match address {
        Ok(address) => Ok(Some(address)),
        Err(failure) if failure.is_instance_of::<PyOSError>(py) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Adds to `extra` what is missing about an accepted connection's socket and addresses.
pub(super) fn complete(transport: &Bound<'_, SocketTransport>, extra: &Bound<'_, PyDict>) -> PyResult<()> {
    let py = transport.py();
    let names = transport.get().core.state.with(py, |state| {
        let open = !state.own.channel.is_closed();
        let names = state.own.names.as_mut()?;
        if open {
            names.learn();
        }
        Some((names.own.clone(), names.peer.clone()))
    });
    // A transport that was made on a Python socket knows everything from the start.
    let Some((own, peer)) = names else { return Ok(()) };
    let missing = |name| Ok::<_, PyErr>(!extra.contains(name)?);
    if missing(intern!(py, "socket"))? {
        extra.set_item(
            intern!(py, "socket"),
            imports::TRANSPORT_SOCKET.get(py)?.call1((socket(transport)?,))?,
        )?;
    }
    if missing(intern!(py, "sockname"))? {
        extra.set_item(intern!(py, "sockname"), own.to_python(py)?)?;
    }
    if missing(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), peer.to_python(py)?)?;
    }
    Ok(())
}

/// The Python socket, which owns the descriptor from now on; a closed one for a closed transport.
pub(super) fn socket<'py>(transport: &Bound<'py, SocketTransport>) -> PyResult<Bound<'py, PyAny>> {
    let py = transport.py();
    let (lent, kind) = match look(transport) {
        Found::Socket(socket) => return Ok(socket),
        Found::Nothing => return closed(py),
        Found::Descriptor(lent, kind) => (lent, kind),
    };
    let class = imports::SOCKET.get(py)?;
    let socket = class.call_method1(intern!(py, "__new__"), (class,))?;
    let made = adopt(&socket, &lent, &kind);
    let held = socket.clone().unbind();
    let before = transport.get().core.state.with(py, |state| match &state.own.channel {
        Channel::Descriptor(..) if made.is_ok() => {
            lent.given_away.store(true, Ordering::Relaxed);
            Ok(std::mem::replace(&mut state.own.channel, Channel::Socket(held)))
        }
        _ => Err(held),
    });
    let kept = before.is_ok();
    drop(before);
    if kept {
        return Ok(socket);
    }
    // This one must not close the descriptor, because making it was interrupted, or another thread was quicker.
    imports::C_SOCKET.get(py)?.call_method1(intern!(py, "detach"), (&socket,))?;
    match look(transport) {
        Found::Socket(socket) => Ok(socket),
        Found::Nothing => closed(py),
        Found::Descriptor(..) => made.map(|()| socket),
    }
}

/// Does what `socket.socket(..., fileno=...)` does, then switches to non-blocking mode.
fn adopt(socket: &Bound<'_, PyAny>, lent: &Lent, kind: &Bound<'_, PyTuple>) -> PyResult<()> {
    let py = socket.py();
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "fileno"), lent.number())?;
    socket.getattr(intern!(py, "__init__"))?.call(kind, Some(&keywords))?;
    socket.call_method1(intern!(py, "setblocking"), (false,)).map(drop)
}

enum Found<'py> {
    Socket(Bound<'py, PyAny>),
    Descriptor(Arc<Lent>, Bound<'py, PyTuple>),
    Nothing,
}

fn look<'py>(transport: &Bound<'py, SocketTransport>) -> Found<'py> {
    let py = transport.py();
    transport.get().core.state.with(py, |state| match &state.own.channel {
        Channel::Closed => Found::Nothing,
        Channel::Socket(socket) => Found::Socket(socket.bind(py).clone()),
        Channel::Descriptor(lent, kind) => Found::Descriptor(lent.clone(), kind.bind(py).clone()),
    })
}

fn closed(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let socket = imports::SOCKET.get(py)?.call0()?;
    socket.call_method0(intern!(py, "close"))?;
    Ok(socket)
}
