//! `DatagramTransport`: the transport of a datagram socket (UDP, Unix and others).
//!
//! The class, its beginning and its end are here; `datagram_io.rs` receives and sends. While the loop watches the socket it
//! holds the transport, so one that a program drops goes on until it is closed or its loop is.

use std::collections::VecDeque;
use std::sync::atomic::AtomicPtr;

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::net::Address;
use ferrio_engine::reactor::Interest;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::address::Family;
use super::datagram_io::{self, Appetite};
use super::{channel, report, socket};
use crate::base::class::{Class, Standard};
use crate::base::error;
use crate::base::ffi::finalize::Finalize;
use crate::base::ffi::room::TransportRoom;
use crate::base::ffi::{Guarded, context};
use crate::base::functions::Functions;
use crate::base::whole::Whole;
use crate::core::event_loop::{Item, Loop, sides};
use crate::core::future::watch;

/// The transport of a datagram socket: an `asyncio.DatagramTransport`.
///
/// Made by the loop's `create_datagram_endpoint`. Each `sendto` leaves at once if the socket has room.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct DatagramTransport {
    pub(super) home: Py<Loop>,
    pub(super) fd: i32,
    pub(super) family: Family,
    /// Where everything goes, if it was given; the program may name it again but no other.
    pub(super) address: Option<Py<PyAny>>,
    /// Whether the socket itself knows where everything goes.
    pub(super) connected: bool,
    /// The protocol's methods run in it when the loop calls them.
    pub(super) context: Py<PyAny>,
    pub(super) state: Guarded<State>,
    /// What `get_extra_info` knows.
    pub(super) extra: Py<PyDict>,
}

impl Class for DatagramTransport {
    const BELOW: Option<Standard> = Some(("asyncio.selector_events", "_SelectorDatagramTransport"));
}

impl Functions for DatagramTransport {}

/// All that changes in a transport's life.
pub(super) struct State {
    /// `None` once the connection is lost.
    pub(super) protocol: Option<Py<PyAny>>,
    /// The Python socket; `None` once it is closed.
    pub(super) socket: Option<Py<PyAny>>,
    /// What waits to be sent, and to where.
    pub(super) queue: VecDeque<(Py<PyBytes>, Option<Py<PyAny>>)>,
    /// Its size as `get_write_buffer_size` tells it, in bytes.
    pub(super) queued: usize,
    pub(super) marks: Watermarks,
    /// The last sender, and the object that the protocol got for it: it mostly comes again, and is mostly replied to.
    pub(super) last: Option<(Address, Py<PyAny>)>,
    pub(super) appetite: Appetite,
    /// What the loop watches for.
    interest: Option<Interest>,
    /// `connection_made` has been called: from now on it receives.
    started: bool,
    /// By `pause_reading`.
    pub(super) paused: bool,
    /// `close` was called, or the connection failed.
    closing: bool,
    /// `connection_lost` is on its way (1), and how often somebody sent since.
    pub(super) lost: u32,
}

impl State {
    /// Whether the protocol gets what arrives.
    #[inline]
    fn is_reading(&self) -> bool {
        !self.closing && !self.paused
    }

    /// Whether datagrams are wanted from the socket.
    #[inline]
    pub(super) fn wants_input(&self) -> bool {
        self.started && self.is_reading()
    }

    /// What the loop has to be told to watch for; `None` if it knows.
    fn changed_interest(&mut self) -> Option<Option<Interest>> {
        let wanted = match (self.wants_input(), !self.queue.is_empty()) {
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (true, true) => Some(Interest::BOTH),
            (false, false) => None,
        };
        (wanted != self.interest).then(|| {
            self.interest = wanted;
            wanted
        })
    }

    /// Whether a closing transport has nothing left to do; true once.
    #[must_use]
    pub(super) fn lose_if_sent(&mut self) -> bool {
        let loses = self.closing && self.lost == 0 && self.queue.is_empty();
        self.lost += u32::from(loses);
        loses
    }
}

impl DatagramTransport {
    /// The transport of the non-blocking datagram `socket`. In the next turn it tells the protocol, begins to receive, and sets
    /// the result of `waiter`.
    ///
    /// Raises `OSError` for a closed socket.
    pub(crate) fn create<'py>(
        native: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = native.py();
        native.get().require_open()?;
        let fd = socket.call_method0(intern!(py, "fileno"))?.extract()?;
        sides::require_no_transport(native, fd, socket)?;
        let extra = match extra {
            Some(extra) => extra.copy()?,
            None => PyDict::new(py),
        };
        channel::describe(&extra, socket)?;
        let connected = match extra.get_item(intern!(py, "peername"))? {
            Some(peer) => peer.is_truthy()?,
            None => false,
        };
        let address = match address {
            Some(address) => address.is_truthy()?.then(|| address.clone().unbind()),
            None => None,
        };
        let state = State {
            protocol: Some(protocol.clone().unbind()),
            socket: Some(socket.clone().unbind()),
            queue: VecDeque::new(),
            queued: 0,
            marks: Watermarks::default(),
            last: None,
            appetite: Appetite::default(),
            interest: None,
            started: false,
            paused: false,
            closing: false,
            lost: 0,
        };
        let transport = Bound::new(
            py,
            Self {
                home: native.clone().unbind(),
                fd,
                family: Family::of(socket)?,
                address,
                connected,
                context: context::copy_current(py)?.unbind(),
                state: Guarded::new(state),
                extra: extra.unbind(),
            },
        )?;
        native
            .get()
            .watch_natively(fd, transport.as_any(), datagram_io::on_event, None)
            .map_err(|failure| error::from_system(py, &failure))?;
        let waiter = waiter.map_or_else(|| py.None(), |waiter| waiter.clone().unbind());
        native.get().push(py, Item::Watch(transport.clone().into_any().unbind(), waiter, start))?;
        Ok(transport)
    }

    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    /// Tells the loop what to watch the descriptor for, if that has changed.
    pub(super) fn settle_interest(&self, py: Python<'_>) -> PyResult<()> {
        let Some(interest) = self.state.with(py, |state| state.changed_interest()) else { return Ok(()) };
        let outcome = self.home.get().change_interest(py, self.fd, interest);
        outcome.map_err(|failure| error::from_system(py, &failure))
    }
}

#[pymethods]
impl DatagramTransport {
    /// Send the datagram `data` (`bytes`, `bytearray` or `memoryview`) to `addr`, or to where the endpoint was connected; at
    /// once, or when the socket has room.
    ///
    /// What the network refuses is told to the protocol's `error_received`. Raises `TypeError` for other data, `ValueError`
    /// for an address that is not the endpoint's own.
    #[pyo3(signature = (data, addr = None))]
    fn sendto<'py>(
        slf: &Bound<'py, Self>,
        data: &Bound<'py, PyAny>,
        addr: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        datagram_io::send(slf, data, addr)
    }

    /// Close: what waits is sent, nothing more is received, then the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let loses = slf
            .get()
            .state
            .with(py, |state| !std::mem::replace(&mut state.closing, true) && state.lose_if_sent());
        slf.get().settle_interest(py)?;
        if loses { schedule_loss(slf, py.None()) } else { Ok(()) }
    }

    /// Close at once: what waits is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        force_close(slf, slf.py().None())
    }

    /// Return whether the transport is closing or closed.
    pub(super) fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Return whether the protocol gets what arrives: neither paused nor closing.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_reading())
    }

    /// Receive nothing until `resume_reading()`; the system keeps what it has room for.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.paused |= !state.closing);
        slf.get().settle_interest(slf.py())
    }

    /// Receive again.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.paused &= state.closing);
        slf.get().settle_interest(slf.py())
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
        let (high, low) = socket::limits(high, low)?;
        // `limits` has checked them.
        let _ = slf.get().state.with(slf.py(), |state| state.marks.set(high, low));
        datagram_io::pause_if_full(slf)
    }

    /// Return the marks as `(low, high)`, in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.marks.low(), state.marks.high()))
    }

    /// Return how many bytes wait to be sent; each datagram counts eight more than it has.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.queued)
    }

    /// Let `protocol` have what comes from now on.
    #[pyo3(signature = (protocol))]
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) {
        let held = protocol.clone().unbind();
        let old = self.state.with(protocol.py(), |state| state.protocol.replace(held));
        drop(old);
    }

    /// Return the protocol, `None` once the connection is lost.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        let open = self.state.with(py, |state| state.socket.is_some());
        open.then(|| self.home.bind(py).clone())
    }

    #[getter]
    fn _sock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.socket.as_ref().map(|socket| socket.clone_ref(py)))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (closed, closing, reading, writing, size) = self.state.with(py, |state| {
            let writing = !state.queue.is_empty();
            (state.socket.is_none(), state.closing, state.wants_input(), writing, state.queued)
        });
        let stage = if closed {
            "closed "
        } else if closing {
            "closing "
        } else {
            ""
        };
        if closed || self.home.get().closed() {
            return format!("<DatagramTransport {stage}fd={}>", self.fd);
        }
        let word = |polls: bool| if polls { "polling" } else { "idle" };
        let (read, write) = (word(reading), word(writing));
        format!("<DatagramTransport {stage}fd={} read={read} write=<{write}, bufsize={size}>>", self.fd)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            // Inside, for on CPython 3.11 the collector may come before the object was written (see `Guarded`).
            visit.call(&self.home)?;
            visit.call(&self.address)?;
            visit.call(&self.context)?;
            visit.call(&self.extra)?;
            visit.call(&state.protocol)?;
            visit.call(&state.socket)?;
            state.last.as_ref().map_or(Ok(()), |(_, object)| visit.call(object))?;
            state.queue.iter().try_for_each(|(_, address)| visit.call(address))
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self
            .state
            .with(py, |state| (state.protocol.take(), state.last.take(), std::mem::take(&mut state.queue)));
        drop(held);
        self.extra.bind(py).clear();
    }
}

/// What the loop runs first: `connection_made`; then it receives, then `waiter` is told (`None` if nobody waits).
fn start(owner: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<DatagramTransport>()?;
    let py = owner.py();
    let mut made = Ok(());
    if let Some(protocol) = transport.get().protocol(py) {
        made = context::run(transport.get().context.bind(py), |py| {
            protocol.call_method1(intern!(py, "connection_made"), (transport,)).map(drop)
        });
    }
    transport.get().state.with(py, |state| state.started = true);
    let watched = transport.get().settle_interest(py);
    if !waiter.is_none() {
        watch::set_result_unless_done(waiter, py.None().into_bound(py))?;
    }
    made.and(watched)
}

/// Ends the connection without waiting for what is not sent; `failure` is what `connection_lost` is told.
pub(super) fn force_close(transport: &Bound<'_, DatagramTransport>, failure: Py<PyAny>) -> PyResult<()> {
    let py = transport.py();
    let (loses, dropped) = transport.get().state.with(py, |state| {
        if state.lost > 0 {
            return (false, VecDeque::new());
        }
        (state.closing, state.queued) = (true, 0);
        let dropped = std::mem::take(&mut state.queue);
        (state.lose_if_sent(), dropped)
    });
    drop(dropped);
    transport.get().settle_interest(py)?;
    if loses { schedule_loss(transport, failure) } else { Ok(()) }
}

/// Leaves `connection_lost(failure)` to the next turn. Raises `RuntimeError` on a closed loop.
pub(super) fn schedule_loss(transport: &Bound<'_, DatagramTransport>, failure: Py<PyAny>) -> PyResult<()> {
    let owner = transport.clone().into_any().unbind();
    transport.get().home.get().push(transport.py(), Item::Watch(owner, failure, lose))
}

/// Tells the protocol that the connection is lost, and closes the descriptor whatever the protocol does.
fn lose(owner: &Bound<'_, PyAny>, failure: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<DatagramTransport>()?;
    let py = owner.py();
    let told = match transport.get().protocol(py) {
        Some(protocol) => context::run(transport.get().context.bind(py), |py| {
            protocol.call_method1(intern!(py, "connection_lost"), (failure,)).map(drop)
        }),
        None => Ok(()),
    };
    let closed = release(transport);
    told.and(closed)
}

/// Closes the descriptor and lets go of everything. Does nothing the second time.
fn release(transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = transport.py();
    let taken = transport.get().state.with(py, |state| {
        let socket = state.socket.take()?;
        (state.closing, state.queued) = (true, 0);
        state.lost = state.lost.max(1);
        Some((socket, state.protocol.take(), state.last.take(), std::mem::take(&mut state.queue)))
    });
    let Some((socket, protocol, last, queue)) = taken else { return Ok(()) };
    transport.get().home.get().unwatch_natively(py, transport.get().fd);
    let closed = socket.bind(py).call_method0(intern!(py, "close")).map(drop);
    drop((protocol, last, queue));
    closed
}

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for DatagramTransport {
    fn wants_finalize(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.socket.is_some())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let warned = report::unclosed(slf.as_any());
        let released = release(slf);
        warned.and(released)
    }

    fn original_dealloc() -> &'static AtomicPtr<()> {
        &DEALLOC
    }
}
