//! `Host`: the server that accepted a connection, as its transport knows it.
//!
//! A server of ours says how it is told about the connection's end. Any other object has asyncio's methods for that,
//! `_attach` and `_detach`.

use crate::base::gc::gc;
use pyo3::prelude::*;

/// Called with the server and the transport.
pub(crate) type Tell = for<'py> fn(&Bound<'py, PyAny>, &Bound<'py, PyAny>) -> PyResult<()>;

/// A server that is told when the transport begins and ends.
pub(crate) struct Host {
    pub(super) server: Py<PyAny>,
    attach: Tell,
    detach: Tell,
}

gc!(Host { server } not { attach, detach });

impl Host {
    /// One of ours, with the functions that note a transport's start and end.
    pub(crate) fn native(server: &Bound<'_, PyAny>, attach: Tell, detach: Tell) -> Self {
        Self { server: server.clone().unbind(), attach, detach }
    }

    /// Any server, told through its methods.
    pub(crate) fn by_methods(server: &Bound<'_, PyAny>) -> Self {
        Self::native(
            server,
            |server, transport| server.call_method1(intern!(server.py(), "_attach"), (transport,)).map(drop),
            |server, transport| server.call_method1(intern!(server.py(), "_detach"), (transport,)).map(drop),
        )
    }

    /// What to call, with the server, after the transport has begun.
    pub(super) fn attaching<'py>(&self, py: Python<'py>) -> (Bound<'py, PyAny>, Tell) {
        (self.server.bind(py).clone(), self.attach)
    }

    /// Tells the server that `transport` is gone.
    pub(super) fn detach(self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        (self.detach)(self.server.bind(transport.py()), transport)
    }
}
