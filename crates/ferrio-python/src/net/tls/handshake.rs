//! The handshake: from `connection_made` of the transport below to that of the program's protocol.

use pyo3::exceptions::{PyConnectionAbortedError, PyConnectionResetError};
use pyo3::prelude::*;

use super::protocol::SSLProtocol;
use super::session::Answer;
use super::state::Stage;
use super::timers::{self, Limit};
use super::{read, shutdown, write};
use crate::base::{error, imports};
use crate::core::event_loop::LoopRef;
use crate::core::future::watch;

/// Begins. Raises `RuntimeError` if there was a handshake already.
pub(super) fn begin(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let began = if protocol.get().debug(py)? {
        debug(protocol, "%r starts SSL handshake")?;
        Some(now(protocol)?)
    } else {
        None
    };
    let may = protocol.get().state.with(py, |state| {
        state.timers.began = began;
        state.life.begin_handshake()
    });
    if !may {
        return Err(pyo3::exceptions::PyRuntimeError::new_err(
            "connection_made() was called twice: an SSLProtocol is for one connection",
        ));
    }
    timers::start(protocol, Limit::Handshake)?;
    advance(protocol)
}

/// Goes on with what has been received.
pub(super) fn advance(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    match protocol.get().session(py)?.handshake(py) {
        Ok(Answer::Again) => write::send_unsent(protocol),
        Ok(Answer::Done(())) => complete(protocol),
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => fail(protocol, &failure),
    }
}

fn complete(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    timers::stop(protocol, Limit::Handshake)?;
    let (done, began, made, program) = protocol.get().state.with(py, |state| {
        let done = state.life.end_handshake();
        // The last flight may have been followed by records for the program.
        state.leftover = true;
        let made = done && state.life.tell_made();
        let program =
            made.then(|| state.receiver.protocol().map(|program| program.bind(py).clone())).flatten();
        (done, state.timers.began, made, program)
    });
    if !done {
        return Ok(());
    }
    if let Some(began) = began {
        let milliseconds = (now(protocol)? - began) * 1e3;
        let text = "%r: SSL handshake took %.1f ms";
        imports::LOGGER.get(py)?.call_method1(intern!(py, "debug"), (text, protocol, milliseconds))?;
    }
    if let (true, Some(program)) = (made, program) {
        let transport = protocol.get()._app_transport(py);
        program.call_method1(intern!(py, "connection_made"), (transport,))?;
    }
    wake_waiter(protocol, None)?;
    read::leftover(protocol)?;
    // Sends what was written before the handshake, and what the handshake itself still has to send.
    write::flush(protocol)
}

/// Ends the connection; tells the waiter, and in debug mode the log.
pub(super) fn fail(protocol: &Bound<'_, SSLProtocol>, failure: &PyErr) -> PyResult<()> {
    let py = protocol.py();
    timers::stop(protocol, Limit::Handshake)?;
    protocol.get().state.with(py, |state| state.life.fall_back());
    let message = if failure.is_instance(py, imports::SSL_CERTIFICATE_ERROR.get(py)?) {
        "SSL handshake failed on verifying the certificate"
    } else {
        "SSL handshake failed"
    };
    shutdown::fatal(protocol, failure, message)?;
    wake_waiter(protocol, Some(failure.value(py).as_any()))
}

/// The peer left during the handshake.
pub(super) fn peer_left(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    // Without a text, as in asyncio.
    fail(protocol, &PyConnectionResetError::new_err(()))
}

/// The time limit has passed.
pub(super) fn time_is_up(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let limit = protocol
        .get()
        .state
        .with(py, |state| (state.life.stage() == Stage::Handshake).then(|| state.timers.handshake_limit(py)));
    let Some(limit) = limit else { return Ok(()) };
    let text = format!("SSL handshake is taking longer than {limit} seconds: aborting the connection");
    let failure = PyConnectionAbortedError::new_err(text);
    shutdown::fatal(protocol, &failure, "Fatal error on transport")?;
    // If the transport was lost before TLS came over it, it never reports that.
    if let Some(transport) = protocol.get()._app_transport(py) {
        transport.get().mark_closed();
    }
    wake_waiter(protocol, Some(failure.value(py).as_any()))
}

/// Ends the future that waits for the handshake, unless it is done.
pub(super) fn wake_waiter(
    protocol: &Bound<'_, SSLProtocol>,
    failure: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = protocol.py();
    let waiter = protocol.get().state.with(py, |state| state.waiter.take());
    let Some(waiter) = waiter else { return Ok(()) };
    let waiter = waiter.bind(py);
    match failure {
        Some(failure) if !failure.is_none() => {
            // An exception class will do, too.
            if !watch::is_done(waiter)? {
                waiter.call_method1(intern!(py, "set_exception"), (failure,))?;
            }
            Ok(())
        }
        _ => {
            if !watch::is_done(waiter)? {
                waiter.call_method1(intern!(py, "set_result"), (py.None(),))?;
            }
            Ok(())
        }
    }
}

/// In debug mode, a line in the log: `format` with `%r` for the protocol.
pub(super) fn debug(protocol: &Bound<'_, SSLProtocol>, format: &str) -> PyResult<()> {
    let py = protocol.py();
    imports::LOGGER.get(py)?.call_method1(intern!(py, "debug"), (format, protocol)).map(drop)
}

fn now(protocol: &Bound<'_, SSLProtocol>) -> PyResult<f64> {
    let py = protocol.py();
    match protocol.get().event_loop(py)? {
        LoopRef::Native(event_loop) => Ok(ferrio_engine::seconds_from_nanos(event_loop.get().now(py))),
        foreign => foreign.object(py).call_method0(intern!(py, "time"))?.extract(),
    }
}
