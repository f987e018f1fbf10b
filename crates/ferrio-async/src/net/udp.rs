//! UDP.

use std::io;
use std::net::{self, SocketAddr};

use super::io::{Io, Side};

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket {
    io: Io<net::UdpSocket>,
}

impl UdpSocket {
    /// A socket at an address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn bind(address: impl Into<SocketAddr>) -> io::Result<Self> {
        Self::from_std(net::UdpSocket::bind(address.into())?)
    }

    /// Takes over a socket of the standard library's, and makes it nonblocking.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn from_std(socket: net::UdpSocket) -> io::Result<Self> {
        Ok(Self { io: Io::new(socket)? })
    }

    /// The standard library's socket, for its options; it is nonblocking.
    #[must_use]
    pub fn get_ref(&self) -> &net::UdpSocket {
        self.io.socket()
    }

    /// From now on it sends to this address with [`send`](Self::send), and receives from there alone.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn connect(&self, address: impl Into<SocketAddr>) -> io::Result<()> {
        self.get_ref().connect(address.into())
    }

    /// Sends a datagram to the address of [`connect`](Self::connect).
    ///
    /// # Errors
    ///
    /// The system's; or an error that says that no loop runs in this thread.
    pub async fn send(&self, data: &[u8]) -> io::Result<usize> {
        self.io.run(Side::Writing, |socket| socket.send(data)).await
    }

    /// Receives a datagram; what the buffer has no room for is lost.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn recv(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.io.run(Side::Reading, |socket| socket.recv(buffer)).await
    }

    /// Sends a datagram to an address.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn send_to(&self, data: &[u8], address: impl Into<SocketAddr>) -> io::Result<usize> {
        let address = address.into();
        self.io.run(Side::Writing, |socket| socket.send_to(data, address)).await
    }

    /// Receives a datagram and its sender's address.
    ///
    /// # Errors
    ///
    /// As [`send`](Self::send).
    pub async fn recv_from(&self, buffer: &mut [u8]) -> io::Result<(usize, SocketAddr)> {
        self.io.run(Side::Reading, |socket| socket.recv_from(buffer)).await
    }

    /// The own address.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.get_ref().local_addr()
    }
}
