//! What an event on a stream transport's descriptor does, and the end of input.

use ferrio_engine::Event;
use pyo3::prelude::*;

use super::core::Transport;
use super::receiver::{self, Failed, Received};
use super::socket::{self, SocketTransport};
use super::{by_method, lifetime, report, write};
use crate::base::ffi::{context, protect};
use crate::core::event_loop::Loop;

/// The loop's call at each event.
pub(super) fn on_event(event_loop: &Bound<'_, Loop>, owner: &Bound<'_, PyAny>, event: Event) -> PyResult<()> {
    let transport = owner.cast::<SocketTransport>()?;
    // An error or a hang-up concerns both directions: whichever call is tried next reports it.
    let broken = event.error || event.hangup;
    if event.readable || broken {
        match receive(event_loop, transport)? {
            Ok(Received::Something | Received::Nothing) => {}
            Ok(Received::End) => end_of_input(transport)?,
            Err(Failed { message, error }) => lifetime::fatal(transport, &error, message)?,
        }
    }
    let core = &transport.get().core;
    if (event.writable || broken) && core.state.with(owner.py(), |state| state.own.blocked) {
        write::send(transport)?;
    }
    Ok(())
}

/// Receives once, if input is wanted, and hands it to the protocol. A panic there is the protocol's failure.
#[inline]
fn receive(
    event_loop: &Bound<'_, Loop>,
    transport: &Bound<'_, SocketTransport>,
) -> PyResult<Result<Received, Failed>> {
    let (py, this) = (transport.py(), transport.get());
    let wanted = this
        .core
        .state
        .with(py, |state| state.wants_input().then(|| (state.receiver.clone_ref(py), state.own.expected)));
    let Some((receiver, mut expected)) = wanted else { return Ok(Ok(Received::Nothing)) };
    if receiver.can_wait(event_loop) {
        // The event is reported again.
        receiver.drop_ref(py);
        return Ok(Ok(Received::Nothing));
    }
    let scope = this.core.context.bind(py);
    let by_methods = SocketTransport::by_methods(transport)?;
    let outcome = protect::caught(py, || match &by_methods {
        None => receiver.receive(event_loop, this.fd, scope, &mut expected),
        Some(socket) => by_method::receive(&receiver, socket, scope),
    });
    receiver.drop_ref(py);
    this.core.state.with(py, |state| state.own.expected = expected);
    Ok(outcome.unwrap_or_else(|error| Err(Failed { message: receiver::DATA_RECEIVED, error })))
}

/// Asks the protocol whether it goes on writing; closes if not.
fn end_of_input(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let (py, core) = (transport.py(), &transport.get().core);
    report::debug(core.event_loop.bind(py), "%r received EOF", transport.as_any())?;
    let Some(protocol) = core.protocol(py) else { return Ok(()) };
    let keeps = lifetime::survive(transport, || {
        context::run(core.context.bind(py), |py| {
            protocol.call_method0(intern!(py, "eof_received"))?.is_truthy()
        })
    });
    match keeps {
        Ok(true) => {
            core.state.with(py, |state| state.own.input_ended = true);
            SocketTransport::settle_interest(transport)
        }
        Ok(false) => socket::close(transport),
        Err(error) => lifetime::fatal(transport, &error, "Fatal error: protocol.eof_received() call failed."),
    }
}
