//! How the loop makes transports; the names are those of asyncio's own loops.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::base::arguments::truth;
use crate::core::event_loop::Loop;
use crate::net::process::launch::Launch;
use crate::net::process::transport::SubprocessTransport;
use crate::net::tls;
use crate::net::tls::protocol::Settings;
use crate::net::tls::transport::SSLTransport;
use crate::net::transport::core::Order;
use crate::net::transport::datagram::DatagramTransport;
use crate::net::transport::host::Host;
use crate::net::transport::read_pipe::ReadPipeTransport;
use crate::net::transport::socket::SocketTransport;
use crate::net::transport::write_pipe::WritePipeTransport;

#[pymethods]
impl Loop {
    /// Return the transport of the connected, non-blocking stream socket `sock`.
    ///
    /// In the next turn `protocol.connection_made(transport)` is called; then the transport begins to read, and the
    /// future `waiter` gets its result. `extra` is added to what `get_extra_info` knows; `server` is told about the
    /// transport. The protocol's methods run in `context`, or in a copy of the current one.
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
        let order = Order { event_loop: slf, protocol, waiter, extra };
        SocketTransport::create(&order, sock, server.map(Host::by_methods), context)
    }

    /// Return the transport of the non-blocking datagram socket `sock`.
    ///
    /// Otherwise as `_make_socket_transport`. If `address` is given, everything is sent there.
    #[pyo3(signature = (sock, protocol, address = None, waiter = None, extra = None))]
    fn _make_datagram_transport<'py>(
        slf: &Bound<'py, Self>,
        sock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, DatagramTransport>> {
        DatagramTransport::create(&Order { event_loop: slf, protocol, waiter, extra }, sock, address)
    }

    /// Return the transport that reads from the file object `pipe`: a pipe, a FIFO, a socket or a terminal.
    ///
    /// Otherwise as `_make_socket_transport`. Raises `ValueError` for another kind of file.
    #[pyo3(signature = (pipe, protocol, waiter = None, extra = None))]
    fn _make_read_pipe_transport<'py>(
        slf: &Bound<'py, Self>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, ReadPipeTransport>> {
        ReadPipeTransport::create(&Order { event_loop: slf, protocol, waiter, extra }, pipe)
    }

    /// Return the transport that writes to the file object `pipe`: a pipe, a FIFO, a socket or a terminal.
    ///
    /// Otherwise as `_make_socket_transport`. Raises `ValueError` for another kind of file.
    #[pyo3(signature = (pipe, protocol, waiter = None, extra = None))]
    fn _make_write_pipe_transport<'py>(
        slf: &Bound<'py, Self>,
        pipe: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, WritePipeTransport>> {
        WritePipeTransport::create(&Order { event_loop: slf, protocol, waiter, extra }, pipe)
    }

    /// Return the TLS transport over the connected, non-blocking stream socket `sock`.
    ///
    /// In the next turn the handshake begins. When it is over, `protocol.connection_made(transport)` is called; then
    /// the future `waiter` gets its result. `sslcontext` is an `ssl.SSLContext` or, for a client, `None`; the
    /// timeouts are in seconds.
    #[allow(clippy::too_many_arguments, reason = "asyncio's signature")]
    #[pyo3(signature = (
        rawsock, protocol, sslcontext, waiter = None, *, server_side = false, server_hostname = None, extra = None,
        server = None, ssl_handshake_timeout = None, ssl_shutdown_timeout = None, call_connection_made = true,
        context = None
    ))]
    fn _make_ssl_transport<'py>(
        slf: &Bound<'py, Self>,
        rawsock: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        sslcontext: Option<Bound<'py, PyAny>>,
        waiter: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = truth)] server_side: bool,
        server_hostname: Option<Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
        server: Option<&Bound<'py, PyAny>>,
        ssl_handshake_timeout: Option<Bound<'py, PyAny>>,
        ssl_shutdown_timeout: Option<Bound<'py, PyAny>>,
        #[pyo3(from_py_with = truth)] call_connection_made: bool,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, SSLTransport>> {
        let settings = Settings {
            context: sslcontext,
            server_side,
            server_hostname,
            call_connection_made,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        tls::over_socket(
            slf,
            rawsock,
            protocol,
            waiter,
            settings,
            extra,
            server.map(Host::by_methods),
            context,
        )
    }

    /// Return the transport of the child process that `popen`, a `subprocess.Popen` without buffers, has started.
    ///
    /// If `launch` is given, it has started the child instead of `popen`. Otherwise as `_make_socket_transport`.
    /// Raises `OSError` when the process is out of descriptors.
    #[pyo3(signature = (popen, protocol, waiter = None, extra = None, launch = None))]
    fn _attach_subprocess<'py>(
        slf: &Bound<'py, Self>,
        popen: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
        launch: Option<&Bound<'py, Launch>>,
    ) -> PyResult<Bound<'py, SubprocessTransport>> {
        SubprocessTransport::create(&Order { event_loop: slf, protocol, waiter, extra }, popen, launch)
    }
}
