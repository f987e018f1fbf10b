//! TLS over the user's `ssl.SSLContext`.
//!
//! `protocol.rs` is the protocol of the transport below, and `transport.rs` what the program's protocol sees.
//! `session.rs` is the interpreter's TLS object, `state.rs` the state of a connection. `handshake.rs`, `read.rs`,
//! `write.rs` and `shutdown.rs` say what happens in it. An idle connection has no buffers except OpenSSL's own.
//!
//! Invariant: every byte goes through the TLS object of the user's context; nothing here knows a cipher or a
//! certificate.

mod attributes;
mod backlog;
mod extra;
mod handshake;
mod lower;
pub(crate) mod protocol;
pub(crate) mod read;
mod session;
mod shutdown;
mod state;
mod timers;
pub(crate) mod transport;
mod write;

use pyo3::prelude::*;
use pyo3::types::PyDict;

use self::protocol::{SSLProtocol, Settings};
use self::transport::SSLTransport;
use crate::base::ffi::context;
use crate::core::event_loop::{Loop, LoopRef};
use crate::net::transport::core::Order;
use crate::net::transport::host::Host;
use crate::net::transport::socket::{Guest, SocketTransport};

/// Calls `callback`, with `argument` if there is one, in the loop's next turn and in a copy of the current context.
fn call_soon(
    protocol: &Bound<'_, SSLProtocol>,
    callback: Bound<'_, PyAny>,
    argument: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = protocol.py();
    let scope = context::copy_current(py)?;
    protocol.get().event_loop(py)?.call_soon(py, &callback, argument, Some(&scope))
}

/// As `over_socket`, for a connection that was just accepted and has no Python socket yet.
pub(crate) fn over_accepted<'py>(
    event_loop: &Bound<'py, Loop>,
    guest: Guest,
    protocol: &Bound<'py, PyAny>,
    waiter: Bound<'py, PyAny>,
    settings: Settings<'py>,
    host: Host,
    scope: Bound<'py, PyAny>,
) -> PyResult<Bound<'py, SSLTransport>> {
    let loop_ref = LoopRef::Native(event_loop.clone().unbind());
    let (tls, transport) = SSLProtocol::create(loop_ref, protocol, Some(waiter), settings)?;
    let made = SocketTransport::accepted(&order_of(event_loop, tls.as_any(), None), guest, host, scope);
    started(transport, made.map(drop))
}

/// The transport below, for the protocol that does TLS on it.
fn order_of<'a, 'py>(
    event_loop: &'a Bound<'py, Loop>,
    protocol: &'a Bound<'py, PyAny>,
    extra: Option<&'a Bound<'py, PyDict>>,
) -> Order<'a, 'py> {
    Order { event_loop, protocol, waiter: None, extra }
}

fn started<'py>(
    transport: Bound<'py, SSLTransport>,
    made: PyResult<()>,
) -> PyResult<Bound<'py, SSLTransport>> {
    if made.is_err() {
        // Never connected, so it needn't warn when it is dropped.
        transport.get().mark_closed();
    }
    made.map(|()| transport)
}

/// The TLS transport over the connected, non-blocking `socket`. The handshake begins in the next turn; when it is
/// over, `waiter` gets its result.
#[allow(clippy::too_many_arguments, reason = "all settings of a TLS connection")]
pub(crate) fn over_socket<'py>(
    event_loop: &Bound<'py, Loop>,
    socket: &Bound<'py, PyAny>,
    protocol: &Bound<'py, PyAny>,
    waiter: Option<Bound<'py, PyAny>>,
    settings: Settings<'py>,
    extra: Option<&Bound<'py, PyDict>>,
    host: Option<Host>,
    scope: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, SSLTransport>> {
    let loop_ref = LoopRef::Native(event_loop.clone().unbind());
    let (tls, transport) = SSLProtocol::create(loop_ref, protocol, waiter, settings)?;
    let made = SocketTransport::create(&order_of(event_loop, tls.as_any(), extra), socket, host, scope);
    started(transport, made.map(drop))
}
