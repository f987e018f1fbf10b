//! TCP.

use std::io;
use std::net::{self, Shutdown, SocketAddr};

use pyo3::intern;
use pyo3::prelude::*;
use socket2::Domain;

use super::io::{Io, Side, connect, read_and_write};
use crate::home::running_loop;
use crate::{ffi, into_future};

/// A TCP connection.
#[derive(Debug)]
pub struct TcpStream {
    io: Io<net::TcpStream>,
}

read_and_write!(TcpStream);

impl TcpStream {
    /// Connects to an address.
    ///
    /// # Errors
    ///
    /// The system's; or an error that says that no loop runs in this thread.
    pub async fn connect(address: impl Into<SocketAddr>) -> io::Result<Self> {
        let address = address.into();
        let io = connect(Domain::for_address(address), &address.into()).await?;
        Ok(Self { io })
    }

    /// Connects to a host by its name, to the first of its addresses that answers. The loop's `getaddrinfo` looks the name up.
    ///
    /// # Errors
    ///
    /// What `getaddrinfo` raises, as an `io::Error`; else that of the last address.
    pub async fn connect_host(host: &str, port: u16) -> io::Result<Self> {
        let mut outcome = Err(io::Error::new(io::ErrorKind::NotFound, "the host has no address"));
        for address in look_up(host, port).await? {
            outcome = Self::connect(address).await;
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }

    /// Takes over a connection of the standard library's, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn from_std(stream: net::TcpStream) -> io::Result<Self> {
        Ok(Self { io: Io::new(stream)? })
    }

    /// The standard library's socket, for its options; it is nonblocking.
    #[must_use]
    pub fn get_ref(&self) -> &net::TcpStream {
        self.io.socket()
    }

    /// The own address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().local_addr()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().peer_addr()
    }

    /// Whether small packets are sent at once.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        self.get_ref().set_nodelay(nodelay)
    }

    /// Shuts one side down, or both.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.get_ref().shutdown(how)
    }
}

/// The addresses of a host, in the order in which to try them.
async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    if let Ok(address) = host.parse::<net::IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let failed = |failure: PyErr| io::Error::other(failure.to_string());
    let asked = ffi::if_attached(|py| {
        let Some(event_loop) = running_loop(py)? else { return Ok(None) };
        let stream = py.import(intern!(py, "socket"))?.getattr(intern!(py, "SOCK_STREAM"))?;
        let keywords = pyo3::types::PyDict::new(py);
        keywords.set_item(intern!(py, "type"), stream)?;
        let asked = event_loop.call_method(intern!(py, "getaddrinfo"), (host, port), Some(&keywords))?;
        into_future(asked).map(Some)
    });
    let Some(asked) = asked.transpose().map_err(failed)?.flatten() else {
        return Err(io::Error::other("no event loop runs in this thread"));
    };
    let found = asked.await.map_err(failed)?;
    Python::attach(|py| addresses(found.bind(py))).map_err(failed)
}

/// The addresses in what `getaddrinfo` has returned.
fn addresses(found: &Bound<'_, PyAny>) -> PyResult<Vec<SocketAddr>> {
    let mut addresses = Vec::new();
    for entry in found.try_iter()? {
        let address = entry?.get_item(4)?;
        let (host, port): (String, u16) = (address.get_item(0)?.extract()?, address.get_item(1)?.extract()?);
        let scope: u32 = if address.len()? == 4 { address.get_item(3)?.extract()? } else { 0 };
        // A scope may be part of the text too.
        let host = host.split_once('%').map_or(host.as_str(), |(host, _)| host);
        let mut parsed = SocketAddr::new(host.parse::<net::IpAddr>()?, port);
        if let SocketAddr::V6(address) = &mut parsed {
            address.set_scope_id(scope);
        }
        addresses.push(parsed);
    }
    Ok(addresses)
}

/// A TCP socket that accepts connections.
#[derive(Debug)]
pub struct TcpListener {
    io: Io<net::TcpListener>,
}

impl TcpListener {
    /// Listens at an address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind(address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::from_std(net::TcpListener::bind(address.into())?)
    }

    /// Takes over a listener of the standard library's, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn from_std(listener: net::TcpListener) -> io::Result<Self> {
        Ok(Self { io: Io::new(listener)? })
    }

    /// Waits for a connection; returns it and its peer's address.
    ///
    /// # Errors
    ///
    /// The system's; or an error that says that no loop runs in this thread.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, address) = self.io.run(Side::Reading, net::TcpListener::accept).await?;
        Ok((TcpStream::from_std(stream)?, address))
    }

    /// The address at which it listens.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.socket().local_addr()
    }
}
