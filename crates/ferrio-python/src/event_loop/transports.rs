//! How the loop makes transports, under the names that asyncio's own loops have for it.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::Loop;
use crate::transport::socket::SocketTransport;

#[pymethods]
impl Loop {
    /// Return the transport of the connected, non-blocking stream socket `sock`.
    ///
    /// In the next turn `protocol.connection_made(transport)` is called, then the transport reads, then the future `waiter`
    /// gets its result. `extra` adds to what `get_extra_info` knows; `server` is told of the transport; the protocol's
    /// methods run in `context`, or in a copy of the current one.
    #[pyo3(signature = (sock, protocol, waiter = None, *, extra = None, server = None, context = None))]
    fn _make_socket_transport<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
        server: Option<&Bound<'py, PyAny>>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, SocketTransport>> {
        SocketTransport::create(slf, sock, protocol, waiter, extra, server, context)
    }
}
