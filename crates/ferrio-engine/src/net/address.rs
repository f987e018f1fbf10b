//! Socket addresses in the kernel's format, compared as bytes. Known families can be taken apart and put together.
//!
//! A received address can be used for sending as it is; an echo server parses nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::sys::address::{LARGEST_PATH, UNIX_PATH, family, set_family};
use crate::sys::datagram::{AddressBytes, LARGEST_ADDRESS};

/// A socket's address. The default is no address, as for an unnamed Unix socket.
#[derive(Clone, Copy)]
pub struct Address {
    pub(super) bytes: AddressBytes,
    pub(super) length: usize,
}

/// The parts of an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Parts<'a> {
    /// No address: the peer has no name.
    Absent,
    /// IPv4: host and port.
    V4(Ipv4Addr, u16),
    /// IPv6.
    V6 {
        /// The host.
        host: Ipv6Addr,
        /// The port.
        port: u16,
        /// Twenty bits of flow label, in the machine's byte order.
        flow: u32,
        /// The number of the interface, for a link-local host.
        scope: u32,
    },
    /// A Unix socket's path, without the final zero.
    Path(&'a [u8]),
    /// An abstract Unix socket's name, which begins with a zero.
    Abstract(&'a [u8]),
    /// An address of another family.
    Other,
}

impl Default for Address {
    fn default() -> Self {
        Self { bytes: AddressBytes([0; LARGEST_ADDRESS]), length: 0 }
    }
}

impl PartialEq for Address {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.length == other.length && self.bytes.0[..self.length] == other.bytes.0[..other.length]
    }
}

impl Eq for Address {}

impl std::fmt::Debug for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.parts().fmt(formatter)
    }
}

impl Address {
    /// The address of an IPv4 host.
    #[must_use]
    pub fn v4(host: Ipv4Addr, port: u16) -> Self {
        let mut address = Self::of_family(libc::AF_INET, size_of::<libc::sockaddr_in>());
        address.put(2, &port.to_be_bytes());
        address.put(4, &host.octets());
        address
    }

    /// The address of an IPv6 host; `flow` has twenty bits.
    #[must_use]
    pub fn v6(host: Ipv6Addr, port: u16, flow: u32, scope: u32) -> Self {
        let mut address = Self::of_family(libc::AF_INET6, size_of::<libc::sockaddr_in6>());
        address.put(2, &port.to_be_bytes());
        address.put(4, &flow.to_be_bytes());
        address.put(8, &host.octets());
        address.put(24, &scope.to_ne_bytes());
        address
    }

    /// The address of a Unix socket. A name that begins with a zero is abstract, any other is a path. `None` if the name is
    /// empty, too long, or a path with a zero in it.
    #[must_use]
    pub fn unix(name: &[u8]) -> Option<Self> {
        let is_path = *name.first()? != 0;
        let length = name.len() + usize::from(is_path);
        if length > LARGEST_PATH || is_path && name.contains(&0) {
            return None;
        }
        let mut address = Self::of_family(libc::AF_UNIX, UNIX_PATH + length);
        address.put(UNIX_PATH, name);
        Some(address)
    }

    /// Takes it apart.
    #[must_use]
    pub fn parts(&self) -> Parts<'_> {
        let bytes = &self.bytes.0;
        if self.length < UNIX_PATH {
            return Parts::Absent;
        }
        let port = u16::from_be_bytes(self.take(2));
        match family(bytes) {
            libc::AF_INET => Parts::V4(Ipv4Addr::from(self.take::<4>(4)), port),
            libc::AF_INET6 => Parts::V6 {
                host: Ipv6Addr::from(self.take::<16>(8)),
                port,
                flow: u32::from_be_bytes(self.take(4)),
                scope: u32::from_ne_bytes(self.take(24)),
            },
            libc::AF_UNIX if self.length > UNIX_PATH && bytes[UNIX_PATH] == 0 => {
                Parts::Abstract(&bytes[UNIX_PATH..self.length])
            }
            libc::AF_UNIX => {
                let path = &bytes[UNIX_PATH..self.length];
                let end = path.iter().position(|byte| *byte == 0).unwrap_or(path.len());
                Parts::Path(&path[..end])
            }
            _ => Parts::Other,
        }
    }

    fn of_family(number: i32, length: usize) -> Self {
        let mut address = Self { length, ..Self::default() };
        set_family(&mut address.bytes.0, number);
        address
    }

    fn put(&mut self, at: usize, part: &[u8]) {
        self.bytes.0[at..at + part.len()].copy_from_slice(part);
    }

    #[inline]
    fn take<const SIZE: usize>(&self, at: usize) -> [u8; SIZE] {
        let mut part = [0; SIZE];
        part.copy_from_slice(&self.bytes.0[at..at + SIZE]);
        part
    }
}
