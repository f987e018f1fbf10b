//! `DatagramTransport`: the transport of a datagram socket (UDP, Unix and others).
//!
//! The class, its start and its end are here; `datagram_io.rs` receives and sends. While the loop watches the socket
//! it holds the transport. So one that a program drops goes on until it or its loop is closed.

use std::collections::VecDeque;

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::net::Address;
use ferrio_engine::reactor::Interest;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList};

use super::address::Family;
use super::core::{Core, Order, Own, State, Transport};
use super::datagram_io::{self, Appetite};
use super::flow::Writes;
use super::methods::{
    descriptor_methods, extra_attribute, reading_methods, socket_methods, transport_methods, writing_methods,
};
use super::{channel, lifetime, state};
use crate::base::class::{Class, Standard};
use crate::base::ffi::context;
use crate::base::ffi::room::TransportRoom;
use crate::base::functions::Functions;
use crate::base::gc::{Traverse, Visited};
use crate::base::{error, imports};
use crate::core::event_loop::sides;

/// The transport of a datagram socket: an `asyncio.DatagramTransport`.
///
/// Made by the loop's `create_datagram_endpoint`. Each `sendto` sends at once if the socket has room.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct DatagramTransport {
    pub(super) core: Core<Datagrams>,
    pub(super) fd: i32,
    pub(super) family: Family,
    /// Whether the socket is connected, so that it knows where everything goes.
    pub(super) connected: bool,
}

impl Class for DatagramTransport {
    const BELOW: Option<Standard> = Some(("asyncio.selector_events", "_SelectorDatagramTransport"));
}

impl Functions for DatagramTransport {}

transport_methods!(DatagramTransport);
descriptor_methods!(DatagramTransport);
extra_attribute!(DatagramTransport);
reading_methods!(DatagramTransport);
writing_methods!(DatagramTransport);
socket_methods!(DatagramTransport);

/// A datagram that waits to be sent, and its address.
pub(super) type Waiting = (Py<PyBytes>, Option<Py<PyAny>>);

/// What a datagram socket's transport has in addition.
pub(crate) struct Datagrams {
    /// The Python socket; `None` after it is closed.
    pub(super) socket: Option<Py<PyAny>>,
    /// Where everything goes, if it was given. The program may then give this address again, but no other.
    pub(super) address: Option<Py<PyAny>>,
    /// What waits to be sent.
    pub(super) queue: VecDeque<Waiting>,
    /// Its size as in `get_write_buffer_size`, in bytes.
    pub(super) queued: usize,
    pub(super) marks: Watermarks,
    /// The last sender, and the object that the protocol got for it. It usually comes again, and is usually replied
    /// to.
    pub(super) last: Option<(Address, Py<PyAny>)>,
    pub(super) appetite: Appetite,
    /// What the loop watches for.
    interest: Option<Interest>,
}

impl Traverse for Datagrams {
    fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Visited {
        let Self { socket, address, queue, last, queued: _, marks: _, appetite: _, interest: _ } = self;
        socket.traverse(visit)?;
        address.traverse(visit)?;
        queue.traverse(visit)?;
        last.as_ref().map_or(Ok(()), |(_, object)| object.traverse(visit))
    }
}

impl Own for Datagrams {
    type References = (Option<(Address, Py<PyAny>)>, VecDeque<Waiting>);
    type Resource = (Py<PyAny>, Option<(Address, Py<PyAny>)>);
    type Unsent = VecDeque<Waiting>;

    fn is_open(&self) -> bool {
        self.socket.is_some()
    }

    fn take(&mut self) -> Option<Self::Resource> {
        Some((self.socket.take()?, self.last.take()))
    }

    fn is_sent(&self) -> bool {
        self.queue.is_empty()
    }

    fn take_unsent(&mut self) -> VecDeque<Waiting> {
        self.queued = 0;
        std::mem::take(&mut self.queue)
    }

    fn clear(&mut self) -> Self::References {
        (self.last.take(), self.take_unsent())
    }
}

impl State<Datagrams> {
    /// Whether the transport wants datagrams from the socket.
    #[inline]
    pub(super) fn wants_input(&self) -> bool {
        self.started && self.is_reading()
    }

    /// Whether the loop watches for room to send.
    fn waits_to_send(&self) -> bool {
        !self.own.queue.is_empty()
    }

    /// What the loop must be told to watch for; `None` if it knows.
    fn changed_interest(&mut self) -> Option<Option<Interest>> {
        let wanted = state::wanted(self.wants_input(), self.waits_to_send());
        (std::mem::replace(&mut self.own.interest, wanted) != wanted).then_some(wanted)
    }
}

impl Transport for DatagramTransport {
    type Own = Datagrams;

    fn core(&self) -> &Core<Datagrams> {
        &self.core
    }

    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let Some(interest) = this.core.state.with(py, State::<Datagrams>::changed_interest) else {
            return Ok(());
        };
        let changed = this.core.event_loop.get().change_interest(py, this.fd, interest);
        changed.map_err(|failure| error::from_system(py, &failure))
    }

    fn close_resource(slf: &Bound<'_, Self>, (socket, last): <Datagrams as Own>::Resource) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        this.core.event_loop.get().unwatch_natively(py, this.fd);
        let closed = socket.bind(py).call_method0(intern!(py, "close")).map(drop);
        drop(last);
        closed
    }
}

impl Writes for DatagramTransport {
    fn marks(own: &mut Datagrams) -> &mut Watermarks {
        &mut own.marks
    }

    fn unsent(own: &Datagrams) -> usize {
        own.queued
    }
}

impl DatagramTransport {
    /// The transport of the non-blocking datagram `socket`. In the next turn it tells the protocol, begins to
    /// receive, and sets the result of the waiter.
    ///
    /// Raises `OSError` for a closed socket.
    pub(crate) fn create<'py>(
        order: &Order<'_, 'py>,
        socket: &Bound<'py, PyAny>,
        address: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = order.py();
        let extra = order.begin()?;
        let fd = socket.call_method0(intern!(py, "fileno"))?.extract()?;
        sides::require_no_transport(order.event_loop, fd, socket)?;
        channel::describe(&extra, socket)?;
        let connected = match extra.get_item(intern!(py, "peername"))? {
            Some(peer) => peer.is_truthy()?,
            None => false,
        };
        let address = match address {
            Some(address) => address.is_truthy()?.then(|| address.clone().unbind()),
            None => None,
        };
        let own = Datagrams {
            socket: Some(socket.clone().unbind()),
            address,
            queue: VecDeque::new(),
            queued: 0,
            marks: Watermarks::default(),
            last: None,
            appetite: Appetite::default(),
            interest: None,
        };
        let core = Core::new(order, extra, context::copy_current(py)?, own)?;
        let transport = Bound::new(py, Self { core, fd, family: Family::of(socket)?, connected })?;
        order
            .event_loop
            .get()
            .watch_natively(fd, transport.as_any(), datagram_io::on_event, None)
            .map_err(|failure| error::from_system(py, &failure))?;
        lifetime::begin(&transport, order.waiter)?;
        Ok(transport)
    }
}

#[pymethods]
impl DatagramTransport {
    /// Send the datagram `data` (`bytes`, `bytearray` or `memoryview`) to `addr`, or to where the endpoint is
    /// connected; at once, or when the socket has room.
    ///
    /// Errors of the network go to the protocol's `error_received`. Raises `TypeError` for other data, `ValueError`
    /// for an address that isn't the endpoint's own.
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
        lifetime::close(slf)
    }

    /// Close at once: what waits is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }

    /// The Python socket; `None` after it is closed.
    #[getter]
    fn _sock(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.state.with(py, |state| state.own.socket.as_ref().map(|socket| socket.clone_ref(py)))
    }

    /// Where everything is sent; `None` if each datagram has its own address.
    #[getter]
    pub(super) fn _address(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.state.with(py, |state| state.own.address.as_ref().map(|address| address.clone_ref(py)))
    }

    /// The datagrams that wait to be sent, each with its address: a copy.
    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiting: Vec<_> = self.core.state.with(py, |state| {
            let copy = |(data, address): &Waiting| {
                (data.clone_ref(py), address.as_ref().map(|address| address.clone_ref(py)))
            };
            state.own.queue.iter().map(copy).collect()
        });
        imports::DEQUE.get(py)?.call1((PyList::new(py, waiting)?,))
    }

    /// How much waits, counted as in `get_write_buffer_size`.
    #[getter]
    fn _buffer_size(&self, py: Python<'_>) -> usize {
        self.get_write_buffer_size(py)
    }

    /// No server makes datagram transports.
    #[getter]
    fn _server(&self) -> Option<Py<PyAny>> {
        None
    }
}
