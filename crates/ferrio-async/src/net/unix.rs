//! UNIX stream sockets.

use std::io;
use std::net::Shutdown;
use std::os::unix::net::{self, SocketAddr};
use std::path::Path;

use socket2::{Domain, SockAddr};

use super::io::{Io, Side, connect, read_and_write};

/// A connection by a UNIX socket.
#[derive(Debug)]
pub struct UnixStream {
    io: Io<net::UnixStream>,
}

read_and_write!(UnixStream);

impl UnixStream {
    /// Connects to the socket at a path.
    ///
    /// # Errors
    ///
    /// The system's; or an error that says that no loop runs in this thread.
    pub async fn connect(path: impl AsRef<Path>) -> io::Result<Self> {
        let io = connect(Domain::UNIX, &SockAddr::unix(path)?).await?;
        Ok(Self { io })
    }

    /// Two sockets that are connected to each other.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn pair() -> io::Result<(Self, Self)> {
        let (one, other) = net::UnixStream::pair()?;
        Ok((Self::from_std(one)?, Self::from_std(other)?))
    }

    /// Takes over a connection of the standard library's, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn from_std(stream: net::UnixStream) -> io::Result<Self> {
        Ok(Self { io: Io::new(stream)? })
    }

    /// The standard library's socket, for its options; it is nonblocking.
    #[must_use]
    pub fn get_ref(&self) -> &net::UnixStream {
        self.io.socket()
    }

    /// The peer's address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().peer_addr()
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

/// A UNIX socket that accepts connections.
#[derive(Debug)]
pub struct UnixListener {
    io: Io<net::UnixListener>,
}

impl UnixListener {
    /// Listens at a path, which must not exist. It stays there when this is dropped.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_std(net::UnixListener::bind(path)?)
    }

    /// Takes over a listener of the standard library's, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn from_std(listener: net::UnixListener) -> io::Result<Self> {
        Ok(Self { io: Io::new(listener)? })
    }

    /// Waits for a connection; returns it and its peer's address.
    ///
    /// # Errors
    ///
    /// The system's; or an error that says that no loop runs in this thread.
    pub async fn accept(&self) -> io::Result<(UnixStream, SocketAddr)> {
        let (stream, address) = self.io.run(Side::Reading, net::UnixListener::accept).await?;
        Ok((UnixStream::from_std(stream)?, address))
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
