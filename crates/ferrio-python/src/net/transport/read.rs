//! What an event on a stream transport's descriptor does, and the end of input.

use ferrio_engine::Event;
use pyo3::intern;
use pyo3::prelude::*;

use super::receiver::{Failed, Received};
use super::socket::SocketTransport;
use super::{by_method, lifetime, report, write};
use crate::base::ffi::context;
use crate::core::event_loop::Loop;

/// The loop's call at each event.
pub(super) fn on_event(native: &Bound<'_, Loop>, owner: &Bound<'_, PyAny>, event: Event) -> PyResult<()> {
    let transport = owner.cast::<SocketTransport>()?;
    let py = native.py();
    // An error or a hang-up concerns both directions: whoever tries its call learns of it.
    let broken = event.error || event.hangup;
    if event.readable || broken {
        let reads = transport
            .get()
            .state
            .with(py, |state| state.wants_input().then(|| (state.receiver.clone_ref(py), state.expected)));
        // One that can wait is reported again.
        let reads = reads.filter(|(receiver, _)| !receiver.can_wait(native));
        if let Some((receiver, mut expected)) = reads {
            let scope = transport.get().context.bind(py);
            let outcome = match SocketTransport::by_methods(transport)? {
                None => receiver.receive(native, transport.get().fd, scope, &mut expected),
                Some(socket) => by_method::receive(&receiver, &socket, scope),
            };
            receiver.drop_ref(py);
            transport.get().state.with(py, |state| state.expected = expected);
            match outcome {
                Ok(Received::Something | Received::Nothing) => {}
                Ok(Received::End) => end_of_input(native, transport)?,
                Err(Failed { message, error }) => lifetime::fatal(native, transport, error, message)?,
            }
        }
    }
    if (event.writable || broken) && transport.get().state.with(py, |state| state.blocked) {
        write::send(native, transport)?;
    }
    Ok(())
}

/// Asks the protocol whether it goes on writing; if not, closes.
fn end_of_input(native: &Bound<'_, Loop>, transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = native.py();
    report::debug(native, "%r received EOF", transport.as_any())?;
    let Some(protocol) = transport.get().protocol(py) else { return Ok(()) };
    let keeps = context::run(transport.get().context.bind(py), |py| {
        protocol.call_method0(intern!(py, "eof_received"))?.is_truthy()
    });
    match keeps {
        Ok(true) => {
            transport.get().state.with(py, |state| state.input_ended = true);
            lifetime::settle_interest(native, transport)
        }
        Ok(false) => lifetime::close(transport),
        Err(error) => {
            lifetime::fatal(native, transport, error, "Fatal error: protocol.eof_received() call failed.")
        }
    }
}
