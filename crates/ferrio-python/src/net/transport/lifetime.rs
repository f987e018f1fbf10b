//! How a stream transport begins and ends.
//!
//! `connection_made` and `connection_lost` are called once each, by the loop and never from inside a call of the program's;
//! the descriptor is closed right after the latter.

use ferrio_engine::net;
use pyo3::intern;
use pyo3::prelude::*;

use super::channel::Channel;
use super::socket::SocketTransport;
use super::{by_method, report, write};
use crate::base::ffi::context;
use crate::base::{error, imports};
use crate::core::event_loop::{Item, Loop};
use crate::core::future::watch;

/// What the loop runs first: `connection_made`; then it reads, then `waiter` is told (`None` if nobody waits).
pub(super) fn start<'py>(owner: &Bound<'py, PyAny>, waiter: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<SocketTransport>()?;
    let py = owner.py();
    let native = transport.get().home.bind(py);
    let mut made = Ok(());
    if let Some(protocol) = transport.get().protocol(py) {
        made = context::run(transport.get().context.bind(py), |py| {
            protocol.call_method1(intern!(py, "connection_made"), (transport,)).map(drop)
        });
    }
    transport.get().state.with(py, |state| state.started = true);
    let watched = settle_interest(native, transport);
    if !waiter.is_none() {
        watch::set_result_unless_done(waiter, py.None().into_bound(py))?;
    }
    made.and(watched)
}

/// Tells the loop what to watch the descriptor for, if that has changed.
#[inline]
pub(super) fn settle_interest(
    native: &Bound<'_, Loop>,
    transport: &Bound<'_, SocketTransport>,
) -> PyResult<()> {
    let py = native.py();
    let Some(interest) = transport.get().state.with(py, |state| state.changed_interest()) else {
        return Ok(());
    };
    native
        .get()
        .change_interest(py, transport.get().fd, interest)
        .map_err(|failure| error::from_system(py, &failure))
}

/// `transport.close()`: what was written is sent first.
pub(super) fn close(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let native = transport.get().home.bind(py);
    if transport.get().state.with(py, |state| state.closing) {
        return Ok(());
    }
    write::send_gathered(native, transport)?;
    let loses = transport.get().state.with(py, |state| state.close());
    settle_interest(native, transport)?;
    if loses { schedule_loss(native, transport, None) } else { Ok(()) }
}

/// Ends the connection without waiting for what is not sent; `failure` is what `connection_lost` is told.
pub(super) fn force_close(
    transport: &Bound<'_, SocketTransport>,
    failure: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = transport.py();
    let native = transport.get().home.bind(py);
    let loses = transport.get().state.with(py, |state| state.force_close());
    settle_interest(native, transport)?;
    if loses { schedule_loss(native, transport, failure) } else { Ok(()) }
}

/// Reports `failure` and ends the connection with it.
///
/// Raises what must end the program.
#[cold]
pub(super) fn fatal(
    native: &Bound<'_, Loop>,
    transport: &Bound<'_, SocketTransport>,
    failure: PyErr,
    message: &str,
) -> PyResult<()> {
    let py = native.py();
    let protocol = transport.get().protocol(py);
    report::fatal(native, transport.as_any(), protocol.as_ref(), &failure, message)?;
    force_close(transport, Some(failure.value(py).as_any()))
}

/// Leaves `connection_lost(failure)` to the next turn. Raises `RuntimeError` on a closed loop.
pub(super) fn schedule_loss(
    native: &Bound<'_, Loop>,
    transport: &Bound<'_, SocketTransport>,
    failure: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = native.py();
    let failure = failure.map_or_else(|| py.None(), |failure| failure.clone().unbind());
    let owner = transport.clone().into_any().unbind();
    native.get().push(py, Item::Watch(owner, failure, lose))
}

/// Tells the protocol that the connection is lost, and closes the descriptor whatever the protocol does.
fn lose<'py>(owner: &Bound<'py, PyAny>, failure: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<SocketTransport>()?;
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
pub(super) fn release(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let taken = transport.get().state.with(py, |state| {
        if state.channel.is_closed() {
            return None;
        }
        if let Some(names) = &mut state.names {
            names.learn(transport.get().fd);
        }
        let channel = std::mem::replace(&mut state.channel, Channel::Closed);
        state.closing = true;
        state.lost = state.lost.max(1);
        state.outgoing.clear();
        state.blocked = false;
        Some((channel, std::mem::take(&mut state.receiver), state.host.take(), state.empty_waiter.take()))
    });
    let Some((channel, receiver, host, waiter)) = taken else { return Ok(()) };
    transport.get().home.get().unwatch_natively(py, transport.get().fd);
    let woken = transport.get().home.get().wake_parked(py, transport.get().fd);
    let mut outcome = woken.and(channel.close(py));
    drop(receiver);
    if let Some(host) = host {
        outcome = outcome.and(host.detach(transport.as_any()));
    }
    if let Some(waiter) = waiter {
        watch::set_exception_unless_done(waiter.bind(py), &write::lost_while_sending())?;
    }
    outcome
}

/// Tells the peer that nothing more comes.
pub(super) fn shut_down_sending(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    if let Some(socket) = SocketTransport::by_methods(transport)? {
        return by_method::shut_down_sending(&socket);
    }
    net::shut_down_sending(transport.get().fd).map_err(|failure| error::from_system(transport.py(), &failure))
}

/// Turns Nagle's algorithm off for a TCP socket: small writes are to leave at once.
pub(super) fn set_nodelay(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    if !socket.get_type().is(imports::SOCKET.get(py)?) {
        return imports::SET_NODELAY.get(py)?.call1((socket,)).map(drop);
    }
    // As that function has it, but without the enumerations that a socket makes of its numbers.
    let tcp = imports::IPPROTO_TCP.get(py)?;
    if !socket.getattr(intern!(py, "proto"))?.eq(tcp)? {
        return Ok(());
    }
    let nodelay = imports::TCP_NODELAY.get(py)?;
    socket.call_method1(intern!(py, "setsockopt"), (tcp, nodelay, 1)).map(drop)
}
