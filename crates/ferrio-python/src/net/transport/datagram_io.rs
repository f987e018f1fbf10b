//! What a datagram transport does with its socket: it receives several datagrams per event, and sends each at once if
//! the socket has room.
//!
//! The engine serves plain sockets of the families that `address.rs` knows. For others, and for subclasses of
//! sockets, their Python methods are called.

use ferrio_engine::Event;
use ferrio_engine::net::{self, Address, Attempt};
use pyo3::exceptions::{PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView};

use super::address::{self, Family};
use super::core::{Own, Transport};
use super::datagram::DatagramTransport;
use super::{flow, lifetime, report};
use crate::base::error::{self, unless_blocked};
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::{Cast, audit, context};
use crate::base::room::Room;
use crate::core::event_loop::Loop;
use crate::net::plain_socket;

/// How many bytes each waiting datagram counts in addition to its data.
const HEADER: usize = 8;

/// The most datagrams per event, so that others get their turn.
const LARGEST_MEAL: u32 = 32;

/// After the socket was found empty, this many events get only one attempt each.
const ABSTINENCE: u32 = 16;

/// How many datagrams to receive at an event.
///
/// An attempt that finds nothing costs one system call, but an event for each datagram costs two. So after a
/// fruitless attempt, each event gets only one for a while. While attempts succeed, there are more and more of them.
#[derive(Clone, Copy)]
pub(super) struct Appetite {
    most: u32,
    abstain: u32,
}

impl Default for Appetite {
    fn default() -> Self {
        Self { most: 2, abstain: 0 }
    }
}

impl Appetite {
    /// How many to ask for.
    fn now(&mut self) -> u32 {
        if self.abstain == 0 {
            return self.most;
        }
        self.abstain -= 1;
        1
    }

    /// Notes that `count` of `wanted` datagrams were there.
    fn had(&mut self, count: u32, wanted: u32) {
        if count < wanted && count <= 1 {
            (self.most, self.abstain) = (2, ABSTINENCE);
        } else if count == wanted && wanted > 1 {
            self.most = (wanted * 2).min(LARGEST_MEAL);
        }
    }
}

/// The result of one call.
enum Outcome<T> {
    Done(T),
    WouldBlock,
    Failed(PyErr),
}

/// The loop's call at each event.
pub(super) fn on_event(event_loop: &Bound<'_, Loop>, owner: &Bound<'_, PyAny>, event: Event) -> PyResult<()> {
    let transport = owner.cast::<DatagramTransport>()?;
    let py = owner.py();
    // An error concerns both directions: the next call in either reports it.
    let broken = event.error || event.hangup;
    context::run(transport.get().core.context.bind(py), |_| {
        let mut outcome = Ok(());
        if event.readable || broken {
            outcome = receive(event_loop, transport);
        }
        if event.writable || broken {
            outcome = outcome.and(flush(transport));
        }
        outcome
    })
}

/// Hands what has come to the protocol.
#[inline]
fn receive(event_loop: &Bound<'_, Loop>, transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = event_loop.py();
    let this = transport.get();
    let wanted = this.core.state.with(py, |state| state.own.appetite.now());
    for count in 0..wanted {
        // Read again each time, because the protocol may have closed, paused, or set another protocol.
        let protocol = this.core.state.with(py, |state| {
            let protocol = state.receiver.protocol().filter(|_| state.wants_input());
            protocol.map(|protocol| protocol.bind(py).clone())
        });
        let Some(protocol) = protocol else { return Ok(()) };
        let outcome = match this.family {
            Family::Other => receive_by_python(transport),
            _ if !plain_socket::is_class_unchanged(py)? => receive_by_python(transport),
            _ => receive_natively(event_loop, transport),
        };
        match outcome {
            Outcome::Done((data, sender)) => {
                lifetime::survive(transport, || {
                    protocol.call_method1(intern!(py, "datagram_received"), (data, sender)).map(drop)
                })
                .or_else(|failure| {
                    let message = "Fatal error: protocol.datagram_received() call failed.";
                    report::problem(transport, &failure, message)
                })?;
            }
            Outcome::WouldBlock => {
                this.core.state.with(py, |state| state.own.appetite.had(count, wanted));
                return Ok(());
            }
            Outcome::Failed(failure) if failure.is_instance_of::<PyOSError>(py) => {
                return tell_error(transport, &failure);
            }
            Outcome::Failed(failure) => {
                return lifetime::fatal(transport, &failure, "Fatal read error on datagram transport");
            }
        }
    }
    this.core.state.with(py, |state| state.own.appetite.had(wanted, wanted));
    Ok(())
}

/// Tells the protocol about the network's errors, and reports the protocol's own.
#[cold]
fn tell_error(transport: &Bound<'_, DatagramTransport>, failure: &PyErr) -> PyResult<()> {
    error_received(transport, failure).or_else(|failure| {
        let message = "Fatal error: protocol.error_received() call failed.";
        report::problem(transport, &failure, message)
    })
}

/// Calls the protocol's `error_received`, if there is a protocol.
fn error_received(transport: &Bound<'_, DatagramTransport>, failure: &PyErr) -> PyResult<()> {
    let py = transport.py();
    let Some(protocol) = transport.get().core.protocol(py) else { return Ok(()) };
    lifetime::survive(transport, || {
        protocol.call_method1(intern!(py, "error_received"), (failure.value(py),)).map(drop)
    })
}

/// One datagram and its sender.
type Received<'py> = (Bound<'py, PyAny>, Bound<'py, PyAny>);

#[inline]
fn receive_natively<'py>(
    event_loop: &Bound<'py, Loop>,
    transport: &Bound<'py, DatagramTransport>,
) -> Outcome<Received<'py>> {
    let py = event_loop.py();
    let this = transport.get();
    let mut sender = Address::default();
    let data = match event_loop.get().receiving().receive_from(py, this.fd, &mut sender) {
        Ok(Some(data)) => data.into_any(),
        Ok(None) => return Outcome::WouldBlock,
        Err(failure) => return Outcome::Failed(error::from_system(py, &failure)),
    };
    let known = this.core.state.with(py, |state| match &state.own.last {
        Some((address, object)) if *address == sender => Some(object.bind(py).clone()),
        _ => None,
    });
    if let Some(object) = known {
        return Outcome::Done((data, object));
    }
    match address::to_python(py, &sender) {
        Ok(object) => {
            let last = (sender, object.clone().unbind());
            let old = this.core.state.with(py, |state| state.own.last.replace(last));
            drop(old);
            Outcome::Done((data, object))
        }
        Err(failure) => Outcome::Failed(failure),
    }
}

fn receive_by_python<'py>(transport: &Bound<'py, DatagramTransport>) -> Outcome<Received<'py>> {
    /// As many bytes as asyncio asks for.
    const LARGEST: usize = 256 * 1024;
    let py = transport.py();
    let Some(socket) = socket_of(transport) else { return Outcome::WouldBlock };
    match tried(py, socket.call_method1(intern!(py, "recvfrom"), (LARGEST,))) {
        Outcome::Done(received) => match received.extract::<Received<'py>>() {
            Ok(received) => Outcome::Done(received),
            Err(failure) => Outcome::Failed(failure),
        },
        Outcome::WouldBlock => Outcome::WouldBlock,
        Outcome::Failed(failure) => Outcome::Failed(failure),
    }
}

/// `DatagramTransport.sendto`.
pub(super) fn send<'py>(
    transport: &Bound<'py, DatagramTransport>,
    data: &Bound<'py, PyAny>,
    target: Option<&Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    if !(data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>())
    {
        let class = data.get_type().name()?;
        return Err(PyTypeError::new_err(format!(
            "data argument must be a bytes-like object, not '{class}'"
        )));
    }
    let mut target = target.filter(|target| !target.is_none());
    let (ended, waits, own) = this.core.state.with(py, |state| {
        let own = state.own.address.as_ref().map(|own| own.bind(py).clone());
        (state.ended, !state.own.is_sent(), own)
    });
    if let Some(own) = &own {
        if let Some(target) = target
            && !target.eq(own)?
        {
            return Err(PyValueError::new_err(format!("Invalid address: must be None or {}", own.str()?)));
        }
        if ended {
            let count = this.core.state.with(py, |state| {
                state.lost_writes = state.lost_writes.saturating_add(1);
                state.lost_writes
            });
            return report::lost_write(py, count);
        }
        target = Some(own);
    }
    if !waits {
        match attempt(transport, data, target) {
            Outcome::Done(()) => return Ok(()),
            Outcome::WouldBlock => {}
            Outcome::Failed(failure) => return failed(transport, &failure),
        }
    }
    // Waiting data must not change.
    let data = match data.as_exactly::<PyBytes>() {
        Some(data) => data.clone(),
        None => py.get_type::<PyBytes>().call1((data,))?.cast_into::<PyBytes>()?,
    };
    this.core.state.with(py, |state| {
        state.own.queue.make_room(1)?;
        state.own.queued += data.as_bytes().len() + HEADER;
        state.own.queue.push_back((data.unbind(), target.map(|target| target.clone().unbind())));
        PyResult::Ok(())
    })?;
    DatagramTransport::settle_interest(transport)?;
    flow::pause_if_full(transport)
}

/// Sends waiting datagrams while the socket accepts them.
fn flush(transport: &Bound<'_, DatagramTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    loop {
        let next = this.core.state.with(py, |state| {
            let (data, target) = state.own.queue.pop_front()?;
            state.own.queued -= data.as_bytes(py).len() + HEADER;
            Some((data, target))
        });
        let Some((data, target)) = next else { break };
        let target = target.as_ref().map(|target| target.bind(py));
        match attempt(transport, data.bind(py).as_any(), target) {
            Outcome::Done(()) => {}
            Outcome::WouldBlock => {
                let target = target.map(|target| target.clone().unbind());
                this.core.state.with(py, |state| {
                    state.own.queued += data.as_bytes(py).len() + HEADER;
                    state.own.queue.push_front((data, target));
                });
                break;
            }
            Outcome::Failed(failure) if failure.is_instance_of::<PyOSError>(py) => {
                tell_error(transport, &failure)?;
            }
            Outcome::Failed(failure) => {
                return lifetime::fatal(transport, &failure, "Fatal write error on datagram transport");
            }
        }
    }
    let resumes = this.core.state.with(py, |state| state.own.marks.may_resume(state.own.queued));
    if resumes {
        flow::resume(transport)?;
    }
    DatagramTransport::settle_interest(transport)?;
    lifetime::finish(transport)
}

/// Tries to send one datagram.
#[inline]
fn attempt<'py>(
    transport: &Bound<'py, DatagramTransport>,
    data: &Bound<'py, PyAny>,
    target: Option<&Bound<'py, PyAny>>,
) -> Outcome<()> {
    let py = transport.py();
    let this = transport.get();
    let address = match (this.family, target) {
        (Family::Other, _) => return attempt_by_python(transport, data, target),
        _ if !plain_socket::is_class_unchanged(py).unwrap_or(false) => {
            return attempt_by_python(transport, data, target);
        }
        _ if this.connected => None,
        // The method tells audit hooks about the address.
        _ if audit::is_watched(py) => return attempt_by_python(transport, data, target),
        (_, None) => return attempt_by_python(transport, data, target),
        (family, Some(target)) => {
            let known = this.core.state.with(py, |state| match &state.own.last {
                Some((address, object)) if object.is(target) => Some(*address),
                _ => None,
            });
            match known.or_else(|| address::from_python(family, target)) {
                Some(address) => Some(address),
                None => return attempt_by_python(transport, data, Some(target)),
            }
        }
    };
    let open = this.core.state.with(py, |state| state.own.socket.is_some());
    // A closed socket's number may belong to another file by now.
    let fd = if open { this.fd } else { -1 };
    let sent = match data.as_instance::<PyBytes>() {
        Some(bytes) => net::send_to(fd, bytes.as_bytes(), address.as_ref()),
        None => match Buffer::to_read(data) {
            Ok(buffer) => buffer.read(py, |bytes| net::send_to(fd, bytes, address.as_ref())),
            Err(failure) => return Outcome::Failed(failure),
        },
    };
    match sent {
        Ok(Attempt::Done(count)) => {
            this.core.event_loop.get().traffic().sent.add(count as u64);
            Outcome::Done(())
        }
        Ok(Attempt::WouldBlock) => Outcome::WouldBlock,
        Err(failure) => Outcome::Failed(error::from_system(py, &failure)),
    }
}

/// With the Python socket, which knows names and every error.
#[cold]
fn attempt_by_python<'py>(
    transport: &Bound<'py, DatagramTransport>,
    data: &Bound<'py, PyAny>,
    target: Option<&Bound<'py, PyAny>>,
) -> Outcome<()> {
    let py = transport.py();
    let Some(socket) = socket_of(transport) else {
        return Outcome::Failed(PyOSError::new_err("the transport is closed"));
    };
    let sent = if transport.get().connected {
        socket.call_method1(intern!(py, "send"), (data,))
    } else {
        socket.call_method1(intern!(py, "sendto"), (data, target))
    };
    match tried(py, sent) {
        Outcome::Done(_) => Outcome::Done(()),
        Outcome::WouldBlock => Outcome::WouldBlock,
        Outcome::Failed(failure) => Outcome::Failed(failure),
    }
}

fn socket_of<'py>(transport: &Bound<'py, DatagramTransport>) -> Option<Bound<'py, PyAny>> {
    let py = transport.py();
    transport
        .get()
        .core
        .state
        .with(py, |state| state.own.socket.as_ref().map(|socket| socket.bind(py).clone()))
}

/// Sorts the result of a method of the Python socket.
fn tried<'py>(py: Python<'py>, outcome: PyResult<Bound<'py, PyAny>>) -> Outcome<Bound<'py, PyAny>> {
    match unless_blocked(py, outcome) {
        Ok(Some(value)) => Outcome::Done(value),
        Ok(None) => Outcome::WouldBlock,
        Err(failure) => Outcome::Failed(failure),
    }
}

/// Handles a failed send: network errors go to the protocol, others end the transport.
#[cold]
fn failed(transport: &Bound<'_, DatagramTransport>, failure: &PyErr) -> PyResult<()> {
    let py = transport.py();
    if !failure.is_instance_of::<PyOSError>(py) {
        return lifetime::fatal(transport, failure, "Fatal write error on datagram transport");
    }
    error_received(transport, failure)
}
