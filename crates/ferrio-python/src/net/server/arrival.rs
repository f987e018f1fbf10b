//! `Arrival`: a connection that was accepted in a busy turn and gets its protocol and transport in the next one.
//!
//! If the loop or the server is closed first, dropping the `Arrival` closes the connection.

use pyo3::prelude::*;

use super::Server;
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::gc::{collected, gc};
use crate::net::transport::socket::Guest;

/// A connection that was accepted.
pub(super) enum Visitor {
    Guest(Guest),
    /// Accepted with the listening socket's method: its socket, and the peer's address.
    Socket(Py<PyAny>, Py<PyAny>),
}

gc!(match Visitor {
    Self::Guest(guest) => (guest),
    Self::Socket(socket, peer) => (socket, peer),
});

/// What the ready queue holds of it.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Arrival {
    pub(super) server: Py<Server>,
    pub(super) visitor: Guarded<Option<Visitor>>,
}

collected!(Arrival { server, visitor }, clear { visitor });

impl Class for Arrival {}

impl Arrival {
    pub(super) fn new(server: &Bound<'_, Server>, visitor: Visitor) -> Self {
        Self { server: server.clone().unbind(), visitor: Guarded::new(Some(visitor)) }
    }
}

#[pymethods]
impl Arrival {}
