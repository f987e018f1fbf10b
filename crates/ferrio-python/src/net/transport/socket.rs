//! `SocketTransport`: the transport of a stream socket, TCP or Unix.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::net::Address;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView, PyTuple};

use super::channel::{self, Channel, Lent, Names};
use super::core::{Core, Order, Own, State, Transport};
use super::flow::Writes;
use super::host::Host;
use super::methods::{
    descriptor_methods, reading_methods, socket_methods, transport_methods, writing_methods,
};
use super::outgoing::Piece;
use super::state::{Connection, Ended};
use super::{lifetime, read, write};
use crate::base::class::{Class, Standard};
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::room::TransportRoom;
use crate::base::ffi::{context, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::sides;
use crate::core::future::watch;
use crate::net::plain_socket;

/// The transport of a connection over a stream socket: an `asyncio.Transport`.
///
/// Made by the loop's `create_connection`, `create_server` and others. Data is sent at the end of the loop's turn,
/// however many writes it came in.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct SocketTransport {
    pub(super) core: Core<Connection>,
    pub(super) fd: i32,
    /// Its socket is exactly a `socket.socket`. The methods of a subclass or a mock would have to be called.
    exact: bool,
    /// An attribute was set, perhaps a method: then native code calls the Python methods.
    altered: AtomicBool,
}

transport_methods!(SocketTransport);
descriptor_methods!(SocketTransport);
reading_methods!(SocketTransport);
writing_methods!(SocketTransport);
socket_methods!(SocketTransport);

impl Class for SocketTransport {
    const BELOW: Option<Standard> = Some(("asyncio.transports", "Transport"));
}

impl Functions for SocketTransport {
    const QUICK: &'static [Quick] = quick!(SocketTransport {
        "write" (1 to 1) |transport, given| write::write(transport, &given.get(0));
    });
}

/// A new connection, as a server accepts it.
pub(crate) struct Guest {
    pub(crate) connection: OwnedFd,
    pub(crate) peer: Address,
    /// The address of our end, if it is known without asking.
    pub(crate) own: Option<Arc<Address>>,
    /// Family, type and protocol of its socket.
    pub(crate) kind: Py<PyTuple>,
}

gc!(Guest { kind } not { connection, peer, own });

impl SocketTransport {
    /// The transport of the connected, non-blocking `socket`. In the next turn it tells the protocol, begins to read, and sets
    /// the result of the waiter.
    ///
    /// Raises `OSError` for a closed socket.
    pub(crate) fn create<'py>(
        order: &Order<'_, 'py>,
        socket: &Bound<'py, PyAny>,
        host: Option<Host>,
        scope: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = order.py();
        let extra = order.begin()?;
        let fd: i32 = socket.call_method0(intern!(py, "fileno"))?.extract()?;
        sides::require_no_transport(order.event_loop, fd, socket)?;
        channel::describe(&extra, socket)?;
        channel::set_nodelay(socket)?;
        let channel = Channel::Socket(socket.clone().unbind());
        let scope = context::given_or_copy(py, scope)?;
        let exact = plain_socket::is_exact(socket)?;
        Self::make(order, fd, exact, Connection::new(channel, None, host), extra, scope)
    }

    /// The transport of a connection that the server of `host` accepted. The protocol's methods run in `scope`;
    /// otherwise as `create`.
    pub(crate) fn accepted<'py>(
        order: &Order<'_, 'py>,
        guest: Guest,
        host: Host,
        scope: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fd = guest.connection.as_raw_fd();
        let channel = Channel::Descriptor(Lent::new(guest.connection), guest.kind);
        let names = Some(Box::new(Names::new(fd, &guest.peer, guest.own)));
        let own = Connection::new(channel, names, Some(host));
        Self::make(order, fd, true, own, PyDict::new(order.py()), scope)
    }

    fn make<'py>(
        order: &Order<'_, 'py>,
        fd: i32,
        exact: bool,
        own: Connection,
        extra: Bound<'py, PyDict>,
        scope: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = order.py();
        let accepted = own.host.is_some();
        let attaching = own.host.as_ref().map(|host| host.attaching(py));
        let core = Core::new(order, extra, scope, own)?;
        let transport = Bound::new(py, Self { core, fd, exact, altered: AtomicBool::new(false) })?;
        order
            .event_loop
            .get()
            .watch_natively(fd, transport.as_any(), read::on_event, None)
            .map_err(|failure| error::from_system(py, &failure))?;
        let traffic = order.event_loop.get().traffic();
        if accepted { &traffic.accepted } else { &traffic.made }.add(1);
        if let Some((server, attach)) = attaching {
            attach(&server, transport.as_any())?;
        }
        lifetime::begin(&transport, order.waiter)?;
        Ok(transport)
    }

    /// The Python socket if its methods must be called, because they aren't the standard library's; otherwise system
    /// calls are used.
    #[inline]
    pub(super) fn by_methods<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if slf.get().exact && plain_socket::is_class_unchanged(slf.py())? {
            return Ok(None);
        }
        channel::socket(slf).map(Some)
    }

    /// The context in which its protocol's methods run.
    pub(crate) fn scope(&self, py: Python<'_>) -> Py<PyAny> {
        self.core.context.clone_ref(py)
    }

    /// Whether an attribute was set on the instance, so that its methods may not be ours.
    #[inline]
    pub(crate) fn is_altered(&self) -> bool {
        self.altered.load(Ordering::Relaxed)
    }
}

impl Transport for SocketTransport {
    type Own = Connection;

    #[inline]
    fn core(&self) -> &Core<Connection> {
        &self.core
    }

    #[inline]
    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let Some(interest) = this.core.state.with(py, State::changed_interest) else { return Ok(()) };
        let changed = this.core.event_loop.get().change_interest(py, this.fd, interest);
        changed.map_err(|failure| error::from_system(py, &failure))
    }

    fn close_resource(slf: &Bound<'_, Self>, ended: Ended) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let event_loop = this.core.event_loop.get();
        event_loop.traffic().closed.add(1);
        event_loop.unwatch_natively(py, this.fd);
        let woken = event_loop.wake_parked(py, this.fd);
        let mut outcome = woken.and(ended.channel.close(py));
        if let Some(host) = ended.host {
            outcome = outcome.and(host.detach(slf.as_any()));
        }
        if let Some(waiter) = ended.empty_waiter {
            watch::set_exception_unless_done(waiter.bind(py), &write::lost_while_sending())?;
        }
        outcome
    }
}

impl Writes for SocketTransport {
    #[inline]
    fn marks(own: &mut Connection) -> &mut Watermarks {
        &mut own.marks
    }

    #[inline]
    fn unsent(own: &Connection) -> usize {
        own.outgoing.size()
    }
}

#[pymethods]
impl SocketTransport {
    /// Send `data` (`bytes`, `bytearray` or `memoryview`), at the end of the loop's turn or when the socket has room;
    /// never blocks. After the end of the connection `data` is dropped.
    ///
    /// Raises `TypeError` for anything else, `RuntimeError` after `write_eof()` and while `loop.sendfile()` runs.
    #[pyo3(signature = (data))]
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        write::write(slf, data)
    }

    /// Send every item of the iterable `list_of_data`, as `write` would.
    #[pyo3(signature = (list_of_data))]
    fn writelines(slf: &Bound<'_, Self>, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut pieces = Vec::new();
        for data in list_of_data.try_iter()? {
            let data = data?;
            let piece = match Piece::new(&data) {
                Err(_) => Piece::copy_of(&data)?,
                Ok(piece) => piece,
            };
            pieces.extend(piece);
        }
        write::write_several(slf, pieces)
    }

    /// Close the sending direction after everything written is sent; reading goes on.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let state = &slf.get().core.state;
        if state.with(py, |state| state.closing || state.own.output_ended) {
            return Ok(());
        }
        write::send_gathered(slf)?;
        let now = state.with(py, |state| {
            state.own.output_ended = true;
            state.own.outgoing.is_empty() && !state.ended
        });
        if now { write::shut_down(slf) } else { Ok(()) }
    }

    /// Return `True`: a stream socket can close one direction.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close: what was written is sent, nothing more is read, then the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Close at once: what the socket hasn't accepted is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::_force_close(slf, None)
    }

    /// Close at once; the protocol's `connection_lost` gets the exception `exc`, or `None`.
    #[pyo3(signature = (exc))]
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        // In asyncio, what a program wrote in this turn would have been sent already.
        if exc.is_none() {
            write::send_gathered(slf)?;
        }
        lifetime::force_close(slf, exc)
    }

    /// Report the exception `exc` and close with it.
    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        lifetime::fatal(slf, &PyErr::from_value(exc), message)
    }

    /// Forbid writing and return a future that is done when nothing waits to be sent.
    fn _make_empty_waiter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        write::send_gathered(slf)?;
        let waiter = slf.get().core.event_loop.bind(py).call_method0(intern!(py, "create_future"))?;
        let held = waiter.clone().unbind();
        let (taken, empty) = slf.get().core.state.with(py, |state| {
            if state.own.empty_waiter.is_some() {
                return (false, false);
            }
            state.own.empty_waiter = Some(held);
            (true, state.own.outgoing.is_empty())
        });
        if !taken {
            return Err(PyRuntimeError::new_err("Empty waiter is already set"));
        }
        if empty {
            waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
        }
        Ok(waiter)
    }

    /// Allow writing again.
    fn _reset_empty_waiter(&self, py: Python<'_>) {
        let old = self.core.state.with(py, |state| state.own.empty_waiter.take());
        drop(old);
    }

    #[getter]
    fn _sock<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if !slf.get().core.is_open(slf.py()) {
            return Ok(None);
        }
        channel::socket(slf).map(Some)
    }

    #[getter]
    fn _server(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.state.with(py, |state| state.own.host.as_ref().map(|host| host.server.clone_ref(py)))
    }

    /// The dict for the inherited `get_extra_info`; for an accepted connection it is filled in on demand.
    #[getter]
    fn _extra(slf: &Bound<'_, Self>) -> PyResult<Py<PyDict>> {
        let extra = slf.get().core.extra.bind(slf.py());
        channel::complete(slf, extra)?;
        Ok(slf.get().core.extra.clone_ref(slf.py()))
    }

    /// `loop.start_tls()` works on it.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    /// `loop.sendfile()` may ask the system to send the file.
    #[classattr]
    fn _sendfile_compatible(py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports::SENDFILE_MODE.get(py)?.getattr("TRY_NATIVE")?.unbind())
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().altered.store(true, Ordering::Relaxed);
        interpreter::set_attribute(slf.as_any(), name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        interpreter::set_attribute(slf.as_any(), name, None)
    }

    /// Whether `write_eof()` was called.
    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.core.state.with(py, |state| state.own.output_ended)
    }

    /// What waits to be sent, in the type that the running Python's asyncio uses: a `deque` from 3.12 on, a
    /// `bytearray` before.
    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pieces = self.core.state.with(py, |state| state.own.outgoing.copy(py));
        if cfg!(Py_3_12) {
            let views = pieces.iter().map(|piece| PyMemoryView::from(&PyBytes::new(py, piece)));
            return imports::DEQUE.get(py)?.call1((views.collect::<PyResult<Vec<_>>>()?,));
        }
        Ok(PyByteArray::new(py, &pieces.concat()).into_any())
    }

    /// The future that waits for an empty buffer, if there is one.
    #[getter]
    fn _empty_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.state.with(py, |state| state.own.empty_waiter.as_ref().map(|waiter| waiter.clone_ref(py)))
    }
}

/// `transport.close()`: what was written is sent first.
pub(super) fn close(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    if transport.get().core.is_closing(transport.py()) {
        return Ok(());
    }
    write::send_gathered(transport)?;
    lifetime::close(transport)
}
