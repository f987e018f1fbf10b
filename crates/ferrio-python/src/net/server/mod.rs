//! `Server`: listening sockets and the connections accepted from them.
//!
//! This file has the class: its state, start and end. `accept.rs` accepts connections. `ferrio.base_events.Server`,
//! the class that programs see, has the coroutines (`serve_forever`, `wait_closed`).
//!
//! The server refers to connections weakly, so a transport that the program drops can warn that it is unclosed. The
//! server has ended when it is closed and its last connection is gone, in either order.

mod accept;
pub(crate) mod arrival;

use std::collections::HashMap;
use std::sync::Arc;

use ferrio_engine::net::{self, Address};
use ferrio_engine::reactor::Interest;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple, PyWeakrefMethods, PyWeakrefReference};

use crate::base::class::Class;
use crate::base::ffi::{Guarded, context};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::{error, imports};
use crate::core::event_loop::{Loop, LoopRef};
use crate::core::future;
use crate::net::transport::host::Host;

/// What `create_server` returns; `ferrio.base_events.Server` is this class as an `asyncio.AbstractServer`.
///
/// `sockets` is a list of bound stream sockets in non-blocking mode, `backlog` how many connections may wait in each.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct Server {
    state: Guarded<State>,
}

collected!(Server { state }, written by state, clear { state });

impl Class for Server {}

impl Functions for Server {}

#[derive(Default)]
struct State {
    setup: Option<Setup>,
    /// `None` after the server is closed.
    listeners: Option<Vec<Listener>>,
    serving: bool,
    /// Weak references, by the addresses of the transports.
    clients: HashMap<usize, Py<PyWeakrefReference>>,
    /// Connections that were attached without a transport, as before Python 3.13.
    unnamed: usize,
    waiters: Vec<Py<PyAny>>,
    ended: bool,
    cleanup: Option<Py<PyAny>>,
}

gc!(State { setup, listeners, clients, waiters, cleanup } not { serving, unnamed, ended });

/// What the server was made with.
struct Setup {
    event_loop: Py<Loop>,
    protocol_factory: Py<PyAny>,
    ssl_context: Py<PyAny>,
    backlog: i32,
    handshake_timeout: Py<PyAny>,
    shutdown_timeout: Py<PyAny>,
    /// Each connection gets a copy of it.
    context: Py<PyAny>,
}

gc!(Setup { event_loop, protocol_factory, ssl_context, handshake_timeout, shutdown_timeout, context } not { backlog });

/// A listening socket.
struct Listener {
    socket: Py<PyAny>,
    /// Its descriptor while it accepts connections, else -1.
    fd: i32,
    /// Family, type and protocol of the connections accepted from it.
    kind: Py<PyTuple>,
    /// Our own address of those connections, if it is the same for all.
    own: Option<Arc<Address>>,
    /// Descriptors or memory were short, this has been reported, and the shortage may last.
    short: bool,
}

gc!(Listener { socket, kind } not { fd, own, short });

#[pymethods]
impl Server {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(loop, sockets, protocol_factory, ssl_context, backlog, ssl_handshake_timeout, ssl_shutdown_timeout=None)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: Guarded::new(State::default()) }
    }

    #[pyo3(signature = (
        r#loop, sockets, protocol_factory, ssl_context, backlog, ssl_handshake_timeout, ssl_shutdown_timeout = None
    ))]
    #[allow(clippy::too_many_arguments, reason = "asyncio's signature")]
    fn __init__(
        slf: &Bound<'_, Self>,
        r#loop: Bound<'_, Loop>,
        sockets: Vec<Py<PyAny>>,
        protocol_factory: Py<PyAny>,
        ssl_context: Py<PyAny>,
        backlog: i32,
        ssl_handshake_timeout: Py<PyAny>,
        ssl_shutdown_timeout: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        let setup = Setup {
            event_loop: r#loop.unbind(),
            protocol_factory,
            ssl_context,
            backlog,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout.unwrap_or_else(|| py.None()),
            context: context::copy_current(py)?.unbind(),
        };
        let nothing = PyTuple::empty(py);
        let listener =
            |socket| Listener { socket, fd: -1, kind: nothing.clone().unbind(), own: None, short: false };
        let listeners = sockets.into_iter().map(listener).collect();
        let fresh = State { setup: Some(setup), listeners: Some(listeners), ..State::default() };
        let old = slf.get().state.with(py, |state| std::mem::replace(state, fresh));
        drop(old);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let sockets = slf.getattr(intern!(slf.py(), "sockets"))?;
        Ok(format!("<{} sockets={}>", slf.get_type().name()?, sockets.repr()?))
    }

    /// Return the event loop that the server is part of.
    fn get_loop(&self, py: Python<'_>) -> PyResult<Py<Loop>> {
        self.of_setup(py, |setup| setup.event_loop.clone_ref(py))
    }

    /// Return whether connections are accepted.
    fn is_serving(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.serving)
    }

    /// The listening sockets, a tuple of `asyncio.trsock.TransportSocket`; empty after the server is closed.
    #[getter]
    fn sockets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let wrap = imports::TRANSPORT_SOCKET.get(py)?;
        let shown: Vec<_> = self
            .plain_sockets(py)
            .unwrap_or_default()
            .iter()
            .map(|socket| wrap.call1((socket,)))
            .collect::<PyResult<_>>()?;
        PyTuple::new(py, shown)
    }

    /// Close the listening sockets; connections stay open.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let (listeners, cleanup) = slf.get().state.with(py, |state| {
            state.serving = false;
            (state.listeners.take(), state.cleanup.take())
        });
        let Some(listeners) = listeners else { return Ok(()) };
        let event_loop = slf.get().get_loop(py)?;
        let mut outcome = Ok(());
        for listener in listeners {
            if listener.fd >= 0 {
                event_loop.get().unwatch_natively(py, listener.fd);
            }
            outcome = outcome.and(listener.socket.call_method0(py, intern!(py, "close")).map(drop));
        }
        if let Some(cleanup) = cleanup {
            outcome = outcome.and(cleanup.call0(py).map(drop));
        }
        end_if_over(slf)?;
        outcome
    }

    /// Close every connection of this server, as `transport.close()` does.
    fn close_clients(slf: &Bound<'_, Self>) -> PyResult<()> {
        for client in slf.get().living_clients(slf.py()) {
            client.call_method0(intern!(slf.py(), "close"))?;
        }
        Ok(())
    }

    /// Close every connection of this server, as `transport.abort()` does.
    fn abort_clients(slf: &Bound<'_, Self>) -> PyResult<()> {
        for client in slf.get().living_clients(slf.py()) {
            client.call_method0(intern!(slf.py(), "abort"))?;
        }
        Ok(())
    }

    /// Begin to accept connections; does nothing if it has begun already.
    fn _start_serving(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let Some(sockets) = slf.get().plain_sockets(py) else {
            return Err(PyRuntimeError::new_err(format!("server {} is closed", slf.repr()?)));
        };
        if slf.get().state.with(py, |state| std::mem::replace(&mut state.serving, true)) {
            return Ok(());
        }
        let backlog = slf.get().of_setup(py, |setup| setup.backlog)?;
        let outcome = sockets.iter().try_for_each(|socket| {
            socket.call_method1(py, intern!(py, "listen"), (backlog,))?;
            listen(slf, socket.bind(py))
        });
        if outcome.is_err() {
            slf.get().state.with(py, |state| state.serving = false);
        }
        outcome
    }

    /// Note a connection; `wait_closed()` waits for it.
    #[pyo3(name = "_attach", signature = (transport = None))]
    fn py_attach(slf: &Bound<'_, Self>, transport: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(transport) = transport else {
            slf.get().state.with(slf.py(), |state| state.unnamed += 1);
            return Ok(());
        };
        attach(slf, &transport)
    }

    /// Note that a connection has ended.
    #[pyo3(name = "_detach", signature = (transport = None))]
    fn py_detach(slf: &Bound<'_, Self>, transport: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let Some(transport) = transport else {
            slf.get().state.with(slf.py(), |state| state.unnamed = state.unnamed.saturating_sub(1));
            return end_if_over(slf);
        };
        detach(slf, &transport)
    }

    /// A future that is done when the server has ended; `None` if it has.
    fn _waiter_for_end<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if self.state.with(py, |state| state.ended) {
            return Ok(None);
        }
        let event_loop = LoopRef::Native(self.get_loop(py)?);
        let waiter = future::create(py, event_loop)?.into_any();
        let entry = waiter.clone().unbind();
        self.state.with(py, |state| state.waiters.push(entry));
        Ok(Some(waiter))
    }

    /// Accept connections on `sock` again, after descriptors were short.
    fn _accept_again(slf: &Bound<'_, Self>, sock: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().is_serving(py) { listen(slf, sock) } else { Ok(()) }
    }

    /// Whether connections are accepted.
    #[getter]
    fn _serving(&self, py: Python<'_>) -> bool {
        self.is_serving(py)
    }

    #[getter]
    fn _loop(&self, py: Python<'_>) -> PyResult<Py<Loop>> {
        self.get_loop(py)
    }

    #[getter]
    fn _sockets(&self, py: Python<'_>) -> Option<Vec<Py<PyAny>>> {
        self.plain_sockets(py)
    }

    /// The futures that wait for the end, a copy of the list; `None` after the end.
    #[getter]
    fn _waiters<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyList>>> {
        let waiters = self.state.with(py, |state| {
            (!state.ended)
                .then(|| state.waiters.iter().map(|waiter| waiter.clone_ref(py)).collect::<Vec<_>>())
        });
        waiters.map(|waiters| PyList::new(py, waiters)).transpose()
    }

    /// The transports of the connections, a copy of the set.
    #[getter]
    fn _clients<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        imports::WEAK_SET.get(py)?.call1((self.living_clients(py),))
    }

    #[getter]
    fn _protocol_factory(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.of_setup(py, |setup| setup.protocol_factory.clone_ref(py))
    }

    #[getter]
    fn _ssl_context(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.of_setup(py, |setup| setup.ssl_context.clone_ref(py))
    }

    #[getter]
    fn _backlog(&self, py: Python<'_>) -> PyResult<i32> {
        self.of_setup(py, |setup| setup.backlog)
    }

    #[getter]
    fn _ssl_handshake_timeout(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.of_setup(py, |setup| setup.handshake_timeout.clone_ref(py))
    }

    #[getter]
    fn _ssl_shutdown_timeout(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.of_setup(py, |setup| setup.shutdown_timeout.clone_ref(py))
    }

    /// Called without arguments after the listening sockets are closed; `None` for nothing.
    #[getter]
    fn _cleanup(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.cleanup.as_ref().map(|cleanup| cleanup.clone_ref(py)))
    }

    #[setter(_cleanup)]
    fn set_cleanup(&self, py: Python<'_>, cleanup: Option<Py<PyAny>>) {
        let old = self.state.with(py, |state| std::mem::replace(&mut state.cleanup, cleanup));
        drop(old);
    }
}

impl Server {
    /// Calls `look` with the setup. Raises `RuntimeError` if a subclass hasn't called `__init__`.
    fn of_setup<R>(&self, py: Python<'_>, look: impl FnOnce(&Setup) -> R) -> PyResult<R> {
        self.state
            .with(py, |state| state.setup.as_ref().map(look))
            .ok_or_else(|| PyRuntimeError::new_err("Server.__init__() was not called"))
    }

    /// Whether `close()` was called.
    fn is_closed(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.listeners.is_none())
    }

    /// The sockets themselves; `None` after the server is closed.
    fn plain_sockets(&self, py: Python<'_>) -> Option<Vec<Py<PyAny>>> {
        self.state.with(py, |state| {
            let listeners = state.listeners.as_ref()?;
            Some(listeners.iter().map(|listener| listener.socket.clone_ref(py)).collect())
        })
    }

    /// The transports of the connections that haven't ended.
    fn living_clients<'py>(&self, py: Python<'py>) -> Vec<Bound<'py, PyAny>> {
        let references: Vec<_> =
            self.state.with(py, |state| state.clients.values().map(|client| client.clone_ref(py)).collect());
        references.iter().filter_map(|client| client.bind(py).upgrade()).collect()
    }
}

/// The server as the transports of its connections know it.
fn host(server: &Bound<'_, Server>) -> Host {
    Host::native(
        server.as_any(),
        |server, transport| attach(server.cast::<Server>()?, transport),
        |server, transport| detach(server.cast::<Server>()?, transport),
    )
}

/// Notes a connection; `wait_closed` waits for it. Raises `TypeError` if the transport has no weak references.
fn attach(server: &Bound<'_, Server>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let reference = PyWeakrefReference::new(transport)?.unbind();
    // A transport that was dropped without detaching may have had this address.
    let old = server
        .get()
        .state
        .with(server.py(), |state| state.clients.insert(transport.as_ptr() as usize, reference));
    drop(old);
    Ok(())
}

/// Notes that a connection has ended; does nothing if it wasn't attached.
fn detach(server: &Bound<'_, Server>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let old =
        server.get().state.with(server.py(), |state| state.clients.remove(&(transport.as_ptr() as usize)));
    drop(old);
    end_if_over(server)
}

/// Wakes whatever waits for the server's end, if it has come.
fn end_if_over(server: &Bound<'_, Server>) -> PyResult<()> {
    let py = server.py();
    let state = &server.get().state;
    let closed = state.with(py, |state| state.listeners.is_none() && state.unnamed == 0 && !state.ended);
    if !closed || !server.get().living_clients(py).is_empty() {
        return Ok(());
    }
    let waiters = state.with(py, |state| {
        state.ended = true;
        std::mem::take(&mut state.waiters)
    });
    for waiter in waiters {
        let waiter = waiter.bind(py);
        if !future::watch::is_done(waiter)? {
            waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
    }
    Ok(())
}

/// Makes the loop report connections that wait in `socket`.
fn listen(server: &Bound<'_, Server>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = server.py();
    let event_loop = server.get().get_loop(py)?;
    event_loop.get().require_open()?;
    let fd = socket.call_method0(intern!(py, "fileno"))?.extract()?;
    let kind = ["family", "type", "proto"].map(|name| socket.getattr(name)?.extract::<i32>());
    let [family, kind, protocol] = kind;
    let kind = (family?, kind?, protocol?).into_pyobject(py)?.unbind();
    // Accepted sockets inherit it.
    imports::SET_NODELAY.get(py)?.call1((socket,))?;
    event_loop
        .get()
        .watch_natively(fd, server.as_any(), accept::connections_wait, Some(Interest::READABLE))
        .map_err(|failure| error::from_system(py, &failure))?;
    let own = net::address_of_accepted(fd).map(Arc::new);
    let old = server.get().state.with(py, |state| {
        let listener = state.listeners.iter_mut().flatten().find(|listener| listener.socket.is(socket))?;
        listener.fd = fd;
        listener.own = own;
        Some(std::mem::replace(&mut listener.kind, kind))
    });
    drop(old);
    Ok(())
}

/// Makes the loop report no more connections in the socket of `fd`, which stays open.
fn rest(server: &Bound<'_, Server>, fd: i32) {
    let py = server.py();
    let found = server.get().state.with(py, |state| {
        let listener = state.listeners.iter_mut().flatten().find(|listener| listener.fd == fd)?;
        listener.fd = -1;
        state.setup.as_ref().map(|setup| setup.event_loop.clone_ref(py))
    });
    if let Some(event_loop) = found {
        event_loop.get().unwatch_natively(py, fd);
    }
}
