//! How a connection ends: closed by the program, by the peer, by the end of input, or by a failure.
//!
//! Closing notes are exchanged if both sides are still there (`Flushing`, `Shutdown`); then the transport below is
//! closed.

use pyo3::exceptions::PyOSError;
use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::lower::Lower;
use super::protocol::SSLProtocol;
use super::session::Answer;
use super::state::{Close, End, Stage};
use super::timers::{self, Limit};
use super::{handshake, read, write};
use crate::base::{error, imports};
use crate::core::event_loop::LoopRef;

/// The program closes its transport, or the peer has closed.
pub(super) fn close(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    match protocol.get().state.with(py, |state| state.life.close()) {
        Close::Nothing => Ok(()),
        Close::Abort => {
            mark_closed(protocol);
            abort(protocol, None)
        }
        Close::Flush => {
            mark_closed(protocol);
            timers::start(protocol, Limit::Shutdown)?;
            flush(protocol)
        }
    }
}

/// The peer's closing note has come.
pub(super) fn peer_closed(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    tell_ended(protocol)?;
    close(protocol)
}

/// Gives received data to the program and written data to the peer, then shuts down.
pub(super) fn flush(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    read::leftover(protocol)?;
    write::flush(protocol)?;
    let (begins, kept) = protocol.get().state.with(py, |state| {
        let begins = state.backlog.is_empty() && state.life.flushed();
        (begins, if begins { std::mem::take(&mut state.kept) } else { Vec::new() })
    });
    if !begins {
        return Ok(());
    }
    read::let_lower_read(protocol)?;
    read::feed(protocol, &kept)?;
    advance(protocol)
}

/// Goes on with the closing handshake.
pub(super) fn advance(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let ended = protocol.get().state.with(py, |state| state.life.has_ended());
    let answer = if ended { Ok(Answer::Done(())) } else { protocol.get().session(py)?.shutdown(py) };
    match answer {
        Ok(Answer::Again) => write::send_unsent(protocol),
        Ok(Answer::Done(())) => {
            write::send_unsent(protocol)?;
            tell_ended(protocol)?;
            // The transport below sends what it has before it closes; a peer that doesn't read could delay it for
            // ever.
            timers::start(protocol, Limit::Shutdown)?;
            match protocol.get().lower(py) {
                Some(lower) => super::call_soon(protocol, lower.0.getattr(intern!(py, "close"))?, None),
                None => Ok(()),
            }
        }
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => {
            timers::stop(protocol, Limit::Shutdown)?;
            fatal(protocol, &failure, "Fatal error on transport")
        }
    }
}

/// The time limit for shutting down has passed.
pub(super) fn time_is_up(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let late = protocol
        .get()
        .state
        .with(py, |state| matches!(state.life.stage(), Stage::Flushing | Stage::Shutdown));
    match protocol.get().lower(py) {
        Some(lower) if late => {
            let failure = PyTimeoutError::new_err("SSL shutdown timed out");
            lower.force_close(Some(failure.value(py).as_any()))
        }
        _ => Ok(()),
    }
}

/// The transport below has reached the end of input. Returns whether it stays open.
pub(super) fn end_of_input(protocol: &Bound<'_, SSLProtocol>) -> PyResult<Option<bool>> {
    let py = protocol.py();
    if protocol.get().debug(py)? {
        handshake::debug(protocol, "%r received EOF")?;
    }
    let end = protocol.get().state.with(py, |state| state.life.end(state.reading_paused));
    let outcome = match end {
        End::Nothing => Ok(()),
        End::FailHandshake => handshake::peer_left(protocol),
        End::FlushLater => return Ok(Some(true)),
        End::Flush => flush(protocol),
        End::Shutdown => advance(protocol),
    };
    match outcome {
        Ok(()) => Ok(None),
        Err(failure) => {
            if let Some(lower) = protocol.get().lower(py) {
                lower.close()?;
            }
            Err(failure)
        }
    }
}

/// Tells the program about the end of input, once.
fn tell_ended(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let program = protocol.get().state.with(py, |state| {
        if !state.life.tell_ended() {
            return None;
        }
        state.receiver.protocol().map(|program| program.clone_ref(py))
    });
    let Some(program) = program else { return Ok(()) };
    let outcome =
        program.bind(py).call_method0(intern!(py, "eof_received")).and_then(|keeps| keeps.is_truthy());
    match outcome {
        Ok(false) => Ok(()),
        Ok(true) => {
            let text = "returning true from eof_received() has no effect when using ssl";
            imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), (text,)).map(drop)
        }
        Err(failure) if error::ends_program(py, &failure) => Err(failure),
        Err(failure) => fatal(protocol, &failure, "Error calling eof_received()"),
    }
}

/// Breaks off; the program's `connection_lost` gets `failure`.
pub(super) fn abort(protocol: &Bound<'_, SSLProtocol>, failure: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = protocol.py();
    protocol.get().state.with(py, |state| state.life.fall_back());
    match protocol.get().lower(py) {
        Some(lower) => lower.force_close(failure),
        None => Ok(()),
    }
}

/// The transport below is gone.
pub(super) fn lost(protocol: &Bound<'_, SSLProtocol>, failure: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = protocol.py();
    mark_closed(protocol);
    let (program, backlog, held) = protocol.get().state.with(py, |state| {
        state.lost_writes = state.lost_writes.saturating_add(1);
        let shaking = state.life.fall_back() == Stage::Handshake;
        let told = !shaking && state.life.tell_lost();
        let program = told.then(|| state.receiver.protocol().map(|program| program.clone_ref(py))).flatten();
        let held = (
            std::mem::take(&mut state.receiver),
            state.app_transport.take(),
            state.lower.take(),
            std::mem::take(&mut state.kept),
        );
        (program, state.backlog.clear(), held)
    });
    drop(backlog);
    let mut outcome = Ok(());
    if let Some(program) = program {
        let callback = program.bind(py).getattr(intern!(py, "connection_lost"))?;
        let none = py.None().into_bound(py);
        outcome = super::call_soon(protocol, callback, Some(failure.unwrap_or(&none)));
    }
    drop(held);
    let woken = handshake::wake_waiter(protocol, failure);
    timers::stop(protocol, Limit::Handshake)?;
    timers::stop(protocol, Limit::Shutdown)?;
    outcome.and(woken)
}

/// Makes sure that the program's transport doesn't warn when it is dropped.
fn mark_closed(protocol: &Bound<'_, SSLProtocol>) {
    let py = protocol.py();
    if let Some(transport) = protocol.get()._app_transport(py) {
        transport.get().mark_closed();
    }
}

/// Breaks off because of `failure`. Unless that is an `OSError` (`ssl.SSLError` is one), the exception handler is
/// told.
pub(super) fn fatal(protocol: &Bound<'_, SSLProtocol>, failure: &PyErr, message: &str) -> PyResult<()> {
    let py = protocol.py();
    fatal_object(protocol, Some(failure.value(py).as_any()), message)
}

/// As `fatal`, with an exception object.
#[cold]
pub(super) fn fatal_object(
    protocol: &Bound<'_, SSLProtocol>,
    failure: Option<&Bound<'_, PyAny>>,
    message: &str,
) -> PyResult<()> {
    let py = protocol.py();
    let lower = protocol.get().lower(py);
    if let Some(lower) = &lower {
        say_why(protocol, lower)?;
        lower.force_close(failure)?;
    }
    match failure {
        Some(failure) if failure.is_instance_of::<PyOSError>() => {
            if !protocol.get().debug(py)? {
                return Ok(());
            }
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "exc_info"), failure)?;
            let arguments = ("%r: %s", protocol, message);
            imports::LOGGER.get(py)?.call_method(intern!(py, "debug"), arguments, Some(&keywords)).map(drop)
        }
        Some(failure) if error::is_cancellation(failure)? => Ok(()),
        failure => {
            let context = PyDict::new(py);
            context.set_item(intern!(py, "message"), message)?;
            context.set_item(intern!(py, "exception"), failure)?;
            context.set_item(intern!(py, "transport"), lower.map(|lower| lower.0))?;
            context.set_item(intern!(py, "protocol"), protocol)?;
            let event_loop: LoopRef = protocol.get().event_loop(py)?;
            event_loop.call_exception_handler(py, &context)
        }
    }
}

/// Sends the alert that OpenSSL has made of a failure, so that the peer learns what was wrong. asyncio drops it.
fn say_why(protocol: &Bound<'_, SSLProtocol>, lower: &Lower<'_>) -> PyResult<()> {
    let py = protocol.py();
    let session = protocol.get().session(py)?;
    if session.unsent(py)? == 0 || lower.is_closing()? {
        return Ok(());
    }
    lower.write(&session.take_unsent(py)?)?;
    lower.send_now()
}
