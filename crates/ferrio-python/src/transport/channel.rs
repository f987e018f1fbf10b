//! A stream transport's descriptor: who owns it, and what `get_extra_info` tells of it.
//!
//! A connection that a server accepted has no Python socket until somebody asks for one, nor addresses as Python writes
//! them: most never need either. Whoever owns the descriptor closes it, once.

use std::net::Ipv4Addr;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::Arc;

use ferrio_engine::net::{self, Address, Parts};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::address;
use super::socket::SocketTransport;
use crate::ffi::Cast;
use crate::imports;

/// The owner of the descriptor.
pub(super) enum Channel {
    Closed,
    Socket(Py<PyAny>),
    /// Ours, with the family, type and protocol that a Python socket of it has.
    Descriptor(OwnedFd, Py<PyTuple>),
}

impl Channel {
    pub(super) fn is_closed(&self) -> bool {
        matches!(self, Self::Closed)
    }

    /// Closes it: a Python socket by its method.
    pub(super) fn close(self, py: Python<'_>) -> PyResult<()> {
        match self {
            Self::Socket(socket) => socket.bind(py).call_method0(intern!(py, "close")).map(drop),
            Self::Closed | Self::Descriptor(..) => Ok(()),
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Closed => Ok(()),
            Self::Socket(socket) => visit.call(socket),
            Self::Descriptor(_, kind) => visit.call(kind),
        }
    }
}

/// One end's address, in little memory.
#[derive(Default)]
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
    peer: Name,
    /// Asked for when it is needed, at the latest before the descriptor is closed.
    own: Name,
}

impl Names {
    /// `own` is the address of our end if it is known without asking.
    pub(super) fn new(peer: &Address, own: Option<Arc<Address>>) -> Self {
        Self { peer: Name::new(peer), own: own.map_or(Name::Unknown, Name::Shared) }
    }

    /// Learns what can't be asked for any more once `fd` is closed.
    pub(super) fn learn(&mut self, fd: i32) {
        if let Name::Unknown = self.own
            && let Ok(address) = net::local_address(fd)
        {
            self.own = Name::new(&address);
        }
    }
}

/// Fills in what `get_extra_info` knows of a Python socket; a peer's name that is there stays.
pub(super) fn describe(extra: &Bound<'_, PyDict>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    extra.set_item(intern!(py, "socket"), imports::TRANSPORT_SOCKET.get(py)?.call1((socket,))?)?;
    extra.set_item(intern!(py, "sockname"), socket.call_method0(intern!(py, "getsockname")).ok())?;
    if !extra.contains(intern!(py, "peername"))? {
        extra.set_item(intern!(py, "peername"), socket.call_method0(intern!(py, "getpeername")).ok())?;
    }
    Ok(())
}

/// What is known of an accepted connection as `name`, kept in `extra` from then on; `None` for anything else.
pub(super) fn look_up<'py>(
    transport: &Bound<'py, SocketTransport>,
    extra: &Bound<'py, PyDict>,
    name: &Bound<'py, PyAny>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let py = transport.py();
    let Some(text) = name.as_instance::<PyString>() else { return Ok(None) };
    let fd = transport.get().fd;
    let address = |own: bool| {
        let name = transport.get().state.with(py, |state| {
            let open = !state.channel.is_closed();
            let names = state.names.as_mut()?;
            if own && open {
                names.learn(fd);
            }
            Some(std::mem::take(if own { &mut names.own } else { &mut names.peer }))
        });
        name.map(|name| name.to_python(py)).transpose()
    };
    let found = match text.to_str()? {
        "peername" => address(false)?,
        "sockname" => address(true)?,
        "socket" if transport.get().state.with(py, |state| state.names.is_some()) => {
            Some(imports::TRANSPORT_SOCKET.get(py)?.call1((socket(transport)?,))?)
        }
        _ => None,
    };
    if let Some(found) = &found {
        extra.set_item(name, found)?;
    }
    Ok(found)
}

/// The Python socket, which owns the descriptor from now on; a closed one for a closed transport.
pub(super) fn socket<'py>(transport: &Bound<'py, SocketTransport>) -> PyResult<Bound<'py, PyAny>> {
    let py = transport.py();
    let (kind, fd) = match transport.get().state.with(py, |state| match &state.channel {
        Channel::Closed => Err(None),
        Channel::Socket(socket) => Err(Some(socket.clone_ref(py))),
        Channel::Descriptor(fd, kind) => Ok((kind.clone_ref(py), fd.as_raw_fd())),
    }) {
        Ok(found) => found,
        Err(Some(socket)) => return Ok(socket.into_bound(py)),
        Err(None) => {
            let socket = imports::SOCKET.get(py)?.call0()?;
            socket.call_method0(intern!(py, "close"))?;
            return Ok(socket);
        }
    };
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "fileno"), fd)?;
    let socket = imports::SOCKET.get(py)?.call(kind.bind(py), Some(&keywords))?;
    let held = socket.clone().unbind();
    let before =
        transport.get().state.with(py, |state| std::mem::replace(&mut state.channel, Channel::Socket(held)));
    if let Channel::Descriptor(fd, _) = before {
        // The object owns it now.
        let _ = fd.into_raw_fd();
    }
    socket.call_method1(intern!(py, "setblocking"), (false,))?;
    Ok(socket)
}
