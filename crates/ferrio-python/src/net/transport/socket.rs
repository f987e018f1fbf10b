//! `SocketTransport`: the transport of a stream socket, TCP or Unix.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use ferrio_engine::net::Address;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::channel::{self, Channel, Lent, Names};
use super::host::Host;
use super::outgoing::Piece;
use super::receiver::Receiver;
use super::state::State;
use super::{lifetime, read, report, write};
use crate::base::class::{Class, Standard};
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::finalize::Finalize;
use crate::base::ffi::room::TransportRoom;
use crate::base::ffi::{Guarded, context, interpreter};
use crate::base::functions::Functions;
use crate::base::whole::Whole;
use crate::base::{error, imports};
use crate::core::event_loop::{Item, Loop, sides};
use crate::net::plain_socket;

/// The transport of a connection over a stream socket: an `asyncio.Transport`.
///
/// Made by the loop's `create_connection`, `create_server` and their kin. What is written leaves at the end of the
/// loop's turn, however many writes it came in.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct SocketTransport {
    pub(super) home: Py<Loop>,
    pub(super) fd: i32,
    /// Its socket is a `socket.socket`, and no instance of a subclass or stand-in, whose methods count.
    exact: bool,
    /// The protocol's methods run in it when the loop calls them.
    pub(super) context: Py<PyAny>,
    pub(super) state: Guarded<State>,
    /// What `get_extra_info` knows.
    extra: Py<PyDict>,
    /// Somebody set an attribute, a method perhaps: native code goes through Python then.
    altered: AtomicBool,
}

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
    /// The address at our end, if it is known without asking.
    pub(crate) own: Option<Arc<Address>>,
    /// Family, type and protocol of its socket.
    pub(crate) kind: Py<PyTuple>,
}

impl SocketTransport {
    /// The transport of the connected, non-blocking `socket`. In the next turn it tells the protocol, begins to read, and sets
    /// the result of `waiter`.
    ///
    /// Raises `OSError` for a closed socket.
    pub(crate) fn create<'py>(
        native: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
        host: Option<Host>,
        scope: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = native.py();
        native.get().require_open()?;
        let fd: i32 = socket.call_method0(intern!(py, "fileno"))?.extract()?;
        sides::require_no_transport(native, fd, socket)?;
        let extra = match extra {
            Some(extra) => extra.copy()?,
            None => PyDict::new(py),
        };
        channel::describe(&extra, socket)?;
        lifetime::set_nodelay(socket)?;
        let channel = Channel::Socket(socket.clone().unbind());
        let scope = context::given_or_copy(py, scope)?;
        let exact = plain_socket::is_exact(socket)?;
        Self::make(native, fd, exact, channel, None, extra, protocol, waiter, host, scope)
    }

    /// The transport of a connection that the server of `host` accepted. The protocol's methods run in `scope`; the rest as in `create`.
    pub(crate) fn accepted<'py>(
        native: &Bound<'py, Loop>,
        guest: Guest,
        protocol: &Bound<'py, PyAny>,
        host: Host,
        scope: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let fd = guest.connection.as_raw_fd();
        let channel = Channel::Descriptor(Lent::new(guest.connection), guest.kind);
        let names = Some(Box::new(Names::new(&guest.peer, guest.own)));
        let extra = PyDict::new(native.py());
        Self::make(native, fd, true, channel, names, extra, protocol, None, Some(host), scope)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a transport, put together in one place")]
    fn make<'py>(
        native: &Bound<'py, Loop>,
        fd: i32,
        exact: bool,
        channel: Channel,
        names: Option<Box<Names>>,
        extra: Bound<'py, PyDict>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        host: Option<Host>,
        scope: Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = native.py();
        let attaching = host.as_ref().map(|host| host.attaching(py));
        let state = State::new(Receiver::of(protocol)?, channel, names, host);
        let transport = Bound::new(
            py,
            Self {
                home: native.clone().unbind(),
                fd,
                exact,
                context: scope.unbind(),
                state: Guarded::new(state),
                extra: extra.unbind(),
                altered: AtomicBool::new(false),
            },
        )?;
        native
            .get()
            .watch_natively(fd, transport.as_any(), read::on_event, None)
            .map_err(|failure| error::from_system(py, &failure))?;
        if let Some((server, attach)) = attaching {
            attach(&server, transport.as_any())?;
        }
        let waiter = waiter.map_or_else(|| py.None(), |waiter| waiter.clone().unbind());
        native.get().push(py, Item::Watch(transport.clone().into_any().unbind(), waiter, lifetime::start))?;
        Ok(transport)
    }

    /// The Python socket if its methods are to be called, since they aren't the standard library's; else the system is asked.
    #[inline]
    pub(super) fn by_methods<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if slf.get().exact && plain_socket::is_class_unchanged(slf.py())? {
            return Ok(None);
        }
        channel::socket(slf).map(Some)
    }

    /// The context in which its protocol's methods run.
    pub(crate) fn scope(&self, py: Python<'_>) -> Py<PyAny> {
        self.context.clone_ref(py)
    }

    /// Whether an attribute was set on the instance, so that its methods may not be ours.
    #[inline]
    pub(crate) fn is_altered(&self) -> bool {
        self.altered.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.receiver.protocol().map(|protocol| protocol.bind(py).clone()))
    }
}

#[pymethods]
impl SocketTransport {
    /// Send `data` (`bytes`, `bytearray` or `memoryview`), at the end of the loop's turn or when the socket has room; never
    /// blocks. After the end of the connection `data` is dropped.
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

    /// Close the sending direction once everything written is sent; reading goes on.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let native = slf.get().home.bind(py);
        if slf.get().state.with(py, |state| state.closing || state.output_ended) {
            return Ok(());
        }
        write::send_gathered(native, slf)?;
        let now = slf.get().state.with(py, |state| {
            state.output_ended = true;
            state.outgoing.is_empty() && state.lost == 0
        });
        if now { lifetime::shut_down_sending(slf) } else { Ok(()) }
    }

    /// Return `True`: a stream socket can close one direction.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close: what was written is sent, nothing more is read, then the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::close(slf)
    }

    /// Close at once: what the socket did not take is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::_force_close(slf, None)
    }

    /// Return whether the transport is closing or closed.
    pub(super) fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Let `protocol` have what comes from now on.
    #[pyo3(signature = (protocol))]
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let receiver = Receiver::of(protocol)?;
        let old = self.state.with(protocol.py(), |state| std::mem::replace(&mut state.receiver, receiver));
        drop(old);
        Ok(())
    }

    /// Return the protocol, `None` once the connection is lost.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// Return whether the protocol gets what arrives: neither paused nor closing.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_reading())
    }

    /// Stop reading until `resume_reading()`. Does nothing while it is paused or closing.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let native = slf.get().home.bind(py);
        if !slf
            .get()
            .state
            .with(py, |state| state.is_reading() && !std::mem::replace(&mut state.paused, true))
        {
            return Ok(());
        }
        lifetime::settle_interest(native, slf)?;
        report::debug(native, "%r pauses reading", slf.as_any())
    }

    /// Read again. Does nothing unless it is paused.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let native = slf.get().home.bind(py);
        if !slf.get().state.with(py, |state| !state.closing && std::mem::replace(&mut state.paused, false)) {
            return Ok(());
        }
        lifetime::settle_interest(native, slf)?;
        report::debug(native, "%r resumes reading", slf.as_any())
    }

    /// Set how many bytes may wait to be sent: above `high` the protocol's `pause_writing()` is called, at `low` or below its
    /// `resume_writing()`. Without arguments 64 KiB and a quarter of `high`.
    ///
    /// Raises `ValueError` unless `high >= low >= 0`.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<Whole>,
        low: Option<Whole>,
    ) -> PyResult<()> {
        let (high, low) = limits(high, low)?;
        slf.get().state.with(slf.py(), |state| state.marks.set(high, low)).map_err(|_| refused(high, low))?;
        write::pause_if_full(slf.get().home.bind(slf.py()), slf)
    }

    /// Return the marks as `(low, high)`, in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.marks.low(), state.marks.high()))
    }

    /// Return how many bytes wait to be sent.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.outgoing.size())
    }

    /// Close at once and tell the protocol of the exception `exc`, or of none.
    #[pyo3(signature = (exc))]
    fn _force_close(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        // What a program wrote in this turn would have left already.
        if exc.is_none() {
            write::send_gathered(slf.get().home.bind(slf.py()), slf)?;
        }
        lifetime::force_close(slf, exc)
    }

    /// Report the exception `exc` and close with it.
    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: Bound<'_, PyAny>, message: &str) -> PyResult<()> {
        lifetime::fatal(slf.get().home.bind(slf.py()), slf, PyErr::from_value(exc), message)
    }

    /// Forbid writing and return a future that is done once nothing waits to be sent.
    fn _make_empty_waiter<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let native = slf.get().home.bind(py);
        write::send_gathered(native, slf)?;
        let waiter = native.call_method0(intern!(py, "create_future"))?;
        let held = waiter.clone().unbind();
        let (taken, empty) = slf.get().state.with(py, |state| {
            if state.empty_waiter.is_some() {
                return (false, false);
            }
            state.empty_waiter = Some(held);
            (true, state.outgoing.is_empty())
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
        let old = self.state.with(py, |state| state.empty_waiter.take());
        drop(old);
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        let closed = self.state.with(py, |state| state.channel.is_closed());
        (!closed).then(|| self.home.bind(py).clone())
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[getter]
    fn _sock<'py>(slf: &Bound<'py, Self>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if slf.get().state.with(slf.py(), |state| state.channel.is_closed()) {
            return Ok(None);
        }
        channel::socket(slf).map(Some)
    }

    #[getter]
    fn _sock_fd(&self) -> i32 {
        self.fd
    }

    #[getter]
    fn _server(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.host.as_ref().map(|host| host.server.clone_ref(py)))
    }

    /// What the inherited `get_extra_info` looks into; of an accepted connection it is found out when it is first asked.
    #[getter]
    fn _extra(slf: &Bound<'_, Self>) -> PyResult<Py<PyDict>> {
        let extra = slf.get().extra.bind(slf.py());
        channel::complete(slf, extra)?;
        Ok(slf.get().extra.clone_ref(slf.py()))
    }

    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost)
    }

    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
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

    fn __repr__(&self, py: Python<'_>) -> String {
        let (closed, closing, reading, blocked, size) = self.state.with(py, |state| {
            (
                state.channel.is_closed(),
                state.closing,
                state.wants_input(),
                state.blocked,
                state.outgoing.size(),
            )
        });
        let stage = if closed {
            "closed "
        } else if closing {
            "closing "
        } else {
            ""
        };
        if closed || self.home.get().closed() {
            return format!("<SocketTransport {stage}fd={}>", self.fd);
        }
        let word = |polls: bool| if polls { "polling" } else { "idle" };
        let (read, write) = (word(reading), word(blocked));
        format!("<SocketTransport {stage}fd={} read={read} write=<{write}, bufsize={size}>>", self.fd)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            // Inside, for on CPython 3.11 the collector may come before the object was written (see `Guarded`).
            visit.call(&self.home)?;
            visit.call(&self.context)?;
            visit.call(&self.extra)?;
            state.traverse(&visit)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self.state.with(py, |state| {
            (std::mem::take(&mut state.receiver), state.host.take(), state.empty_waiter.take())
        });
        drop(held);
        self.extra.bind(py).clear();
    }
}

/// The marks that the two arguments mean, in bytes. Raises `ValueError` for a negative one.
pub(super) fn limits(high: Option<Whole>, low: Option<Whole>) -> PyResult<(usize, usize)> {
    let (high, low) = (high.map(Whole::size), low.map(Whole::size));
    let high = high.unwrap_or_else(|| low.map_or(64 * 1024, |low| low.saturating_mul(4)));
    let low = low.unwrap_or(high / 4);
    match (usize::try_from(high), usize::try_from(low)) {
        (Ok(marked), Ok(lowest)) if lowest <= marked => Ok((marked, lowest)),
        _ => Err(refused(high, low)),
    }
}

fn refused(high: impl std::fmt::Display, low: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("high ({high}) must be >= low ({low}) must be >= 0"))
}

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for SocketTransport {
    fn wants_finalize(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| !state.channel.is_closed())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let warned = report::unclosed(slf.as_any());
        let released = lifetime::release(slf);
        warned.and(released)
    }

    fn original_dealloc() -> &'static AtomicPtr<()> {
        &DEALLOC
    }
}
