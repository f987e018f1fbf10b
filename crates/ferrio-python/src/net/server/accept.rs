//! Accepting: what happens when connections wait in a listening socket.
//!
//! If a connection fails, only that connection is affected: if its protocol can't be made, its peer is gone, or its
//! handshake fails. If descriptors or memory are short, the socket rests for a while; otherwise it would be reported
//! ready all the time.

use std::os::fd::AsRawFd;

use ferrio_engine::net::{self, Accepted};
use ferrio_engine::reactor::Event;
use pyo3::exceptions::{PyConnectionAbortedError, PyOSError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyDict};

use super::arrival::{Arrival, Visitor};
use super::{Listener, Server, rest};
use crate::base::error::{self, unless_blocked};
use crate::base::ffi::context;
use crate::base::imports;
use crate::core::event_loop::descriptors::descriptor_of;
use crate::core::event_loop::{Item, Loop, LoopRef};
use crate::core::future::callbacks::Watch;
use crate::core::future::watch::{self, Failure};
use crate::core::future::{self};
use crate::net::tls::protocol::Settings;
use crate::net::transport::address;
use crate::net::transport::core::Order;
use crate::net::transport::socket::{Guest, SocketTransport};
use crate::net::{plain_socket, tls};

/// How many seconds a socket rests when descriptors or memory are short, as in asyncio.
const REST: u32 = 1;

const SHORT: &str = "socket.accept() out of system resource";
const NEVER_AGAIN: &str =
    "socket.accept() failed, so the server accepts no more connections from this socket";
const NOT_MADE: &str = "Error on transport creation for incoming connection";

/// A listening socket on which something has happened.
struct Ready<'a, 'py> {
    event_loop: &'a Bound<'py, Loop>,
    server: &'a Bound<'py, Server>,
    socket: &'a Bound<'py, PyAny>,
    fd: i32,
}

/// Accepts the connections that wait in a listening socket of the server `owner`: its backlog plus one.
pub(super) fn connections_wait(
    event_loop: &Bound<'_, Loop>,
    owner: &Bound<'_, PyAny>,
    event: Event,
) -> PyResult<()> {
    let (py, server, fd) = (event_loop.py(), owner.cast::<Server>()?, descriptor_of(&event));
    let backlog = server.get().of_setup(py, |setup| setup.backlog)?;
    let late = event_loop.get().is_busy(py);
    for _ in 0..=backlog.max(0) {
        // Looked up each time: a protocol factory may close the server, and the descriptor's number may be reused.
        let Some((socket, kind, own)) = with_listener(server, fd, |listener| {
            (listener.socket.clone_ref(py), listener.kind.clone_ref(py), listener.own.clone())
        }) else {
            break;
        };
        let ready = Ready { event_loop, server, socket: socket.bind(py), fd };
        if !plain_socket::accepts_natively(ready.socket)? {
            match accept_by_method(ready.socket) {
                Ok(Some(visitor)) => receive(event_loop, server, visitor, late)?,
                Ok(None) => break,
                Err(failure) => return ready.refused(failure),
            }
            continue;
        }
        match net::accept(fd) {
            Ok(Accepted::Connection(connection, peer)) => {
                let guest = Guest { connection, peer, own, kind };
                receive(event_loop, server, Visitor::Guest(guest), late)?;
            }
            Ok(Accepted::Lost) => {}
            Ok(Accepted::WouldBlock) => {
                with_listener(server, fd, |listener| listener.short = false);
                break;
            }
            Ok(Accepted::Short(failure)) => {
                return ready.rest_for_a_while(error::from_system(py, &failure));
            }
            Err(failure) => return ready.give_up(error::from_system(py, &failure)),
        }
    }
    Ok(())
}

/// Accepts with the socket's method, if the socket isn't plain or an audit hook watches; `None` if no connection
/// waits.
#[cold]
fn accept_by_method(socket: &Bound<'_, PyAny>) -> PyResult<Option<Visitor>> {
    let py = socket.py();
    match socket.call_method0(intern!(py, "accept")) {
        Ok(accepted) => {
            let (connection, peer): (Py<PyAny>, Py<PyAny>) = accepted.extract()?;
            connection.call_method1(py, intern!(py, "setblocking"), (false,))?;
            Ok(Some(Visitor::Socket(connection, peer)))
        }
        Err(failure) if failure.is_instance_of::<PyConnectionAbortedError>(py) => Ok(None),
        failed => unless_blocked(py, failed).map(|_| None),
    }
}

impl Ready<'_, '_> {
    /// Handles what the method `accept` raised like the system's own errors.
    #[cold]
    fn refused(&self, failure: PyErr) -> PyResult<()> {
        let py = self.event_loop.py();
        if error::ends_program(py, &failure) {
            return Err(failure);
        }
        let number = match failure.value(py).getattr_opt(intern!(py, "errno"))? {
            Some(number) => number.extract::<i32>().ok(),
            None => None,
        };
        if number.is_some_and(net::is_shortage) {
            return self.rest_for_a_while(failure);
        }
        if failure.is_instance_of::<PyOSError>(py) {
            return self.give_up(failure);
        }
        self.report(NOT_MADE, failure)
    }

    /// Stops accepting, since the socket would be reported ready for ever.
    fn give_up(&self, failure: PyErr) -> PyResult<()> {
        rest(self.server, self.fd);
        self.report(NEVER_AGAIN, failure)
    }

    /// Accepts nothing for a while. A shortage is reported once, until all waiting connections could be accepted
    /// again.
    fn rest_for_a_while(&self, failure: PyErr) -> PyResult<()> {
        let py = self.event_loop.py();
        let known =
            with_listener(self.server, self.fd, |listener| std::mem::replace(&mut listener.short, true));
        rest(self.server, self.fd);
        let again = self.server.getattr(intern!(py, "_accept_again"))?;
        self.event_loop.call_method1(intern!(py, "call_later"), (REST, again, self.socket))?;
        if known == Some(true) { Ok(()) } else { self.report(SHORT, failure) }
    }

    /// Tells the loop's exception handler about the socket.
    fn report(&self, message: &str, failure: PyErr) -> PyResult<()> {
        let py = self.event_loop.py();
        let problem = problem(py, message, failure)?;
        let socket = imports::TRANSPORT_SOCKET.get(py)?.call1((self.socket,))?;
        problem.set_item(intern!(py, "socket"), socket)?;
        tell(self.event_loop, &problem)
    }
}

fn with_listener<R>(server: &Bound<'_, Server>, fd: i32, look: impl FnOnce(&mut Listener) -> R) -> Option<R> {
    server.get().state.with(server.py(), |state| {
        state.listeners.iter_mut().flatten().find(|listener| listener.fd == fd).map(look)
    })
}

/// Receives a new connection: at once if nothing else runs in this turn, so that the order is the same either way.
///
/// If it is `late`, this happens in the next turn, when asyncio's task for it begins. `connection_made` follows a
/// turn later.
fn receive(
    event_loop: &Bound<'_, Loop>,
    server: &Bound<'_, Server>,
    visitor: Visitor,
    late: bool,
) -> PyResult<()> {
    if !late {
        return welcome(event_loop, server, visitor);
    }
    let py = event_loop.py();
    let arrival = Bound::new(py, Arrival::new(server, visitor))?.into_any().unbind();
    event_loop.get().push(py, Item::Watch(arrival, py.None(), come_in))
}

/// A turn later: a server that was closed meanwhile refuses the connection.
fn come_in(arrival: &Bound<'_, PyAny>, _unused: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = arrival.py();
    let arrival = arrival.cast::<Arrival>()?.get();
    let server = arrival.server.bind(py);
    let visitor = arrival.visitor.with(py, Option::take);
    match visitor {
        Some(visitor) if !server.get().is_closed(py) => {
            let event_loop = server.get().get_loop(py)?;
            welcome(event_loop.bind(py), server, visitor)
        }
        Some(Visitor::Socket(socket, _)) => socket.call_method0(py, intern!(py, "close")).map(drop),
        // A native connection is closed by being dropped.
        Some(Visitor::Guest(_)) | None => Ok(()),
    }
}

/// Makes the protocol and the transport of a new connection. Returns only errors that must end the program.
fn welcome<'py>(
    event_loop: &Bound<'py, Loop>,
    server: &Bound<'py, Server>,
    visitor: Visitor,
) -> PyResult<()> {
    let py = event_loop.py();
    if event_loop.get().debug() {
        let (peer, fd) = match &visitor {
            Visitor::Guest(guest) => (address::to_python(py, &guest.peer)?, guest.connection.as_raw_fd()),
            Visitor::Socket(socket, peer) => {
                (peer.bind(py).clone(), socket.call_method0(py, intern!(py, "fileno"))?.extract(py)?)
            }
        };
        imports::LOGGER.get(py)?.call_method1(
            intern!(py, "debug"),
            ("%r got a new connection from %r: descriptor %d", server, peer, fd),
        )?;
    }
    let mut protocol = None;
    let socket = match &visitor {
        Visitor::Socket(socket, _) => Some(socket.clone_ref(py)),
        Visitor::Guest(_) => None,
    };
    let Err(failure) = connect(event_loop, server, visitor, &mut protocol) else { return Ok(()) };
    if let (None, Some(socket)) = (&protocol, socket) {
        // Nobody else has it. A native connection is closed by being dropped.
        socket.call_method0(py, intern!(py, "close"))?;
    }
    if error::ends_program(py, &failure) {
        return Err(failure);
    }
    let problem = problem(py, NOT_MADE, failure)?;
    if let Some(protocol) = protocol {
        problem.set_item(intern!(py, "protocol"), protocol)?;
    }
    tell(event_loop, &problem)
}

/// Calls the protocol factory and puts a transport on the connection, both in a context of its own.
fn connect<'py>(
    event_loop: &Bound<'py, Loop>,
    server: &Bound<'py, Server>,
    visitor: Visitor,
    made: &mut Option<Bound<'py, PyAny>>,
) -> PyResult<()> {
    let py = event_loop.py();
    let (factory, ssl_context, timeouts, shared) = server.get().of_setup(py, |setup| {
        let timeouts = [setup.handshake_timeout.clone_ref(py), setup.shutdown_timeout.clone_ref(py)];
        (
            setup.protocol_factory.clone_ref(py),
            setup.ssl_context.clone_ref(py),
            timeouts,
            setup.context.clone_ref(py),
        )
    })?;
    let own = context::copy(shared.bind(py))?;
    context::run(&own, |py| {
        let protocol = factory.bind(py).call0()?;
        *made = Some(protocol.clone());
        let (host, scope) = (super::host(server), own.clone());
        if !ssl_context.bind(py).is_truthy()? {
            let made = match visitor {
                Visitor::Guest(guest) => {
                    let order = Order { event_loop, protocol: &protocol, waiter: None, extra: None };
                    SocketTransport::accepted(&order, guest, host, scope)
                }
                Visitor::Socket(socket, peer) => {
                    let extra = [(intern!(py, "peername"), peer)].into_py_dict(py)?;
                    let extra = Some(&extra);
                    let order = Order { event_loop, protocol: &protocol, waiter: None, extra };
                    SocketTransport::create(&order, socket.bind(py), Some(host), Some(scope))
                }
            };
            return made.map(drop);
        }
        let [handshake_timeout, shutdown_timeout] =
            timeouts.map(|seconds| Some(seconds.into_bound(py)).filter(|seconds| !seconds.is_none()));
        let settings = Settings {
            context: Some(ssl_context.into_bound(py)),
            server_side: true,
            server_hostname: None,
            call_connection_made: true,
            handshake_timeout,
            shutdown_timeout,
        };
        let waiter = future::create(py, LoopRef::Native(event_loop.clone().unbind()))?;
        let over = waiter.clone().into_any();
        let transport = match visitor {
            Visitor::Guest(guest) => {
                tls::over_accepted(event_loop, guest, &protocol, over, settings, host, scope)?
            }
            Visitor::Socket(socket, peer) => {
                let extra = [(intern!(py, "peername"), peer)].into_py_dict(py)?;
                let (over, extra, scope) = (Some(over), Some(&extra), Some(scope));
                tls::over_socket(
                    event_loop,
                    socket.bind(py),
                    &protocol,
                    over,
                    settings,
                    extra,
                    Some(host),
                    scope,
                )?
            }
        };
        let made = (event_loop, transport, protocol).into_pyobject(py)?;
        watch::watch(waiter.as_any(), made.as_any(), &HANDSHAKE_OVER)
    })
}

static HANDSHAKE_OVER: Watch = Watch::new("BaseSelectorEventLoop._accept_connection2", handshake_over);

/// `made` has the loop, the transport and the protocol of a connection whose handshake is over.
fn handshake_over(made: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = made.py();
    let failure = match watch::failure(waiter)? {
        None => return Ok(()),
        Some(Failure::Cancelled) => watch::cancelled_error(waiter)?,
        Some(Failure::Exception(exception)) => exception,
    };
    let (event_loop, transport, protocol): (Bound<'_, Loop>, Bound<'_, PyAny>, Bound<'_, PyAny>) =
        made.extract()?;
    transport.call_method0(intern!(py, "close"))?;
    let failure = PyErr::from_value(failure);
    if error::ends_program(py, &failure) {
        return Err(failure);
    }
    // Otherwise, what peers send instead of a handshake isn't worth a report.
    if !event_loop.get().debug() {
        return Ok(());
    }
    let problem = problem(py, NOT_MADE, failure)?;
    problem.set_item(intern!(py, "protocol"), protocol)?;
    problem.set_item(intern!(py, "transport"), transport)?;
    tell(&event_loop, &problem)
}

/// The context for the loop's exception handler.
fn problem<'py>(py: Python<'py>, message: &str, failure: PyErr) -> PyResult<Bound<'py, PyDict>> {
    let problem = PyDict::new(py);
    problem.set_item(intern!(py, "message"), message)?;
    problem.set_item(intern!(py, "exception"), error::into_object(py, failure))?;
    Ok(problem)
}

fn tell(event_loop: &Bound<'_, Loop>, problem: &Bound<'_, PyDict>) -> PyResult<()> {
    event_loop.call_method1(intern!(event_loop.py(), "call_exception_handler"), (problem,)).map(drop)
}
