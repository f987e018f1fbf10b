//! Writing: pieces accumulate until the end of the turn, then leave in one system call.
//!
//! Two kinds are tried at once. One is what exceeds the high-water mark, so that a protocol is told to pause only if
//! the socket is full. The other is large buffers that the program may change, so that they needn't be copied. Only
//! code that looks at the other end within the turn notices the delay.

use ferrio_engine::net::{self, Attempt};
use pyo3::exceptions::{PyConnectionError, PyRuntimeError};
use pyo3::prelude::*;

use super::core::Transport;
use super::outgoing::{Piece, much_that_may_change};
use super::socket::SocketTransport;
use super::{by_method, flow, lifetime, report};
use crate::base::error;
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::context;
use crate::core::future::watch;

/// The result of adding a piece.
enum Pushed {
    /// It waits for the end of the turn. The loop must be told about this many bytes, unless it knows.
    Waiting {
        tell: Option<usize>,
    },
    /// It is more than should wait.
    Much,
    /// The socket is full; the caller must check how much waits.
    Blocked,
    /// The connection is lost; this is the number of writes since.
    Lost(u32),
    Refused(&'static str),
}

/// `transport.write(data)`.
#[inline]
pub(crate) fn write(transport: &Bound<'_, SocketTransport>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    match much_that_may_change(data) {
        None => write_piece(transport, Piece::new(data)?),
        Some(_) if SocketTransport::by_methods(transport)?.is_some() => {
            write_piece(transport, Piece::new(data)?)
        }
        Some(buffer) => write_much(transport, buffer),
    }
}

#[inline]
fn write_piece(transport: &Bound<'_, SocketTransport>, piece: Option<Piece>) -> PyResult<()> {
    let refused = "unable to write; sendfile is in progress";
    push(transport, piece.into_iter(), "Cannot call write() after write_eof()", refused)
}

/// Sends what the socket accepts directly from the program's memory; only the rest is copied.
fn write_much(transport: &Bound<'_, SocketTransport>, buffer: Buffer) -> PyResult<()> {
    let (py, fd) = (transport.py(), transport.get().fd);
    let outcome = transport.get().core.state.with(py, |state| {
        if !state.may_send_at_once() {
            return Ok(0);
        }
        let attempt = buffer.read(py, |bytes| net::send(fd, bytes))?;
        let Attempt::Done(sent) = attempt else {
            state.own.blocked = true;
            return Ok(0);
        };
        transport.get().core.event_loop.get().traffic().sent.add(sent as u64);
        state.own.blocked = sent < buffer.len();
        Ok(sent)
    });
    match outcome {
        Ok(sent) => {
            let rest = Piece::rest_of(py, &buffer, sent)?;
            // The protocol may be told to pause, and may then resize its buffer.
            drop(buffer);
            write_piece(transport, rest)?;
            SocketTransport::settle_interest(transport)
        }
        Err(failure) => failed(transport, &error::from_system(py, &failure)),
    }
}

/// `transport.writelines(pieces)`.
pub(super) fn write_several(transport: &Bound<'_, SocketTransport>, pieces: Vec<Piece>) -> PyResult<()> {
    let refused = "unable to writelines; sendfile is in progress";
    push(transport, pieces.into_iter(), "Cannot call writelines() after write_eof()", refused)
}

#[inline]
fn push(
    transport: &Bound<'_, SocketTransport>,
    mut pieces: impl ExactSizeIterator<Item = Piece>,
    ended: &'static str,
    occupied: &'static str,
) -> PyResult<()> {
    let py = transport.py();
    let pushed = transport.get().core.state.with(py, |state| {
        if state.own.output_ended {
            return Ok(Pushed::Refused(ended));
        }
        if state.own.empty_waiter.is_some() {
            return Ok(Pushed::Refused(occupied));
        }
        if pieces.len() == 0 {
            return Ok(Pushed::Waiting { tell: None });
        }
        if state.ended {
            state.lost_writes = state.lost_writes.saturating_add(1);
            return Ok(Pushed::Lost(state.lost_writes));
        }
        for piece in pieces.by_ref() {
            state.own.outgoing.push(py, piece)?;
        }
        PyResult::Ok(if state.own.blocked {
            Pushed::Blocked
        } else if state.own.outgoing.size() > state.own.marks.high() {
            Pushed::Much
        } else {
            let known = std::mem::replace(&mut state.own.queued, true);
            Pushed::Waiting { tell: (!known).then(|| state.own.outgoing.size()) }
        })
    });
    drop(pieces);
    match pushed? {
        Pushed::Waiting { tell: None } => Ok(()),
        Pushed::Waiting { tell: Some(bytes) } => {
            let event_loop = transport.get().core.event_loop.get();
            let by_methods = SocketTransport::by_methods(transport)?.is_some();
            if !by_methods && event_loop.flush_later(transport.as_any(), flush, bytes) {
                return Ok(());
            }
            transport.get().core.state.with(py, |state| state.own.queued = false);
            send_within(transport)
        }
        Pushed::Much => send_within(transport),
        Pushed::Blocked => flow::pause_if_full(transport),
        Pushed::Lost(count) => report::lost_write(py, count),
        Pushed::Refused(why) => Err(PyRuntimeError::new_err(why)),
    }
}

/// The loop's call at the end of the turn.
fn flush(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<SocketTransport>()?;
    let py = transport.py();
    transport.get().core.state.with(py, |state| state.own.queued = false);
    send(transport)
}

/// Sends what has accumulated, if the socket wasn't full at the last attempt. Called before closing.
pub(super) fn send_gathered(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let gathered =
        transport.get().core.state.with(transport.py(), |state| {
            !state.own.blocked && !state.own.outgoing.is_empty() && !state.ended
        });
    if gathered { send_within(transport) } else { Ok(()) }
}

/// Sends as much as the socket accepts, called by the loop.
#[inline]
pub(super) fn send(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let after = attempt(transport)?;
    if after.resume {
        context::run(transport.get().core.context.bind(transport.py()), |_| flow::resume(transport))?;
    }
    settle(transport, after)
}

/// As `send`, inside a call of the program's: it may be in the transport's context already.
fn send_within(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let after = attempt(transport)?;
    if after.resume {
        flow::resume(transport)?;
    }
    settle(transport, after)?;
    flow::pause_if_full(transport)
}

/// What to do after an attempt.
#[derive(Clone, Copy, Default)]
struct After {
    /// Tell the protocol to go on.
    resume: bool,
    /// Everything is sent.
    empty: bool,
    /// Tell the loop what to watch for.
    watch: bool,
}

#[inline]
fn attempt(transport: &Bound<'_, SocketTransport>) -> PyResult<After> {
    if let Some(socket) = SocketTransport::by_methods(transport)? {
        return attempt_by_method(transport, &socket);
    }
    let (py, fd) = (transport.py(), transport.get().fd);
    let event_loop = transport.get().core.event_loop.bind(py);
    let outcome = transport.get().core.state.with(py, |state| {
        if state.ended || state.own.outgoing.is_empty() {
            return Ok(After::default());
        }
        let empty = state.own.outgoing.send(event_loop, fd)?;
        let watch = state.own.blocked == empty;
        state.own.blocked = !empty;
        Ok(After { resume: state.own.marks.may_resume(state.own.outgoing.size()), empty, watch })
    });
    match outcome {
        Ok(after) => Ok(after),
        Err(failure) => failed(transport, &error::from_system(py, &failure)).map(|()| After::default()),
    }
}

/// As `attempt`, piece by piece with the socket's method, which may do anything to the transport.
#[cold]
fn attempt_by_method(transport: &Bound<'_, SocketTransport>, socket: &Bound<'_, PyAny>) -> PyResult<After> {
    let py = transport.py();
    let state = &transport.get().core.state;
    let was_blocked = state.with(py, |state| state.own.blocked);
    loop {
        let next = state.with(py, |state| if state.ended { None } else { state.own.outgoing.first(py) });
        let Some(piece) = next else { break };
        match by_method::send(socket, piece.as_any()) {
            Ok(sent) => {
                let sent = sent.unwrap_or(0);
                state.with(py, |state| state.own.outgoing.advance(py, sent));
                if sent < piece.as_bytes().len() {
                    break;
                }
            }
            Err(failure) => return failed(transport, &failure).map(|()| After::default()),
        }
    }
    Ok(state.with(py, |state| {
        let empty = state.own.outgoing.is_empty();
        state.own.blocked = !empty;
        let resume = state.own.marks.may_resume(state.own.outgoing.size());
        After { resume, empty, watch: was_blocked == empty }
    }))
}

/// Ends a connection after sending has failed.
#[cold]
fn failed(transport: &Bound<'_, SocketTransport>, error: &PyErr) -> PyResult<()> {
    let py = transport.py();
    let waiter = transport.get().core.state.with(py, |state| {
        state.own.outgoing.clear();
        state.own.blocked = false;
        state.own.empty_waiter.as_ref().map(|waiter| waiter.clone_ref(py))
    });
    if let Some(waiter) = waiter {
        watch::set_exception_unless_done(waiter.bind(py), error)?;
    }
    lifetime::fatal(transport, error, "Fatal write error on socket transport")
}

#[inline]
fn settle(transport: &Bound<'_, SocketTransport>, after: After) -> PyResult<()> {
    if after.empty {
        emptied(transport)?;
    }
    if after.watch { SocketTransport::settle_interest(transport) } else { Ok(()) }
}

/// Does what waited for the last byte to be sent.
#[inline]
fn emptied(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    let py = transport.py();
    let (waiter, loses, ends) = transport.get().core.state.with(py, |state| {
        // `resume_writing` may have written again.
        if !state.own.outgoing.is_empty() {
            return (None, false, false);
        }
        let waiter = state.own.empty_waiter.as_ref().map(|waiter| waiter.clone_ref(py));
        let loses = state.lose_if_sent();
        (waiter, loses, state.own.output_ended && !loses)
    });
    if let Some(waiter) = waiter {
        watch::set_result_unless_done(waiter.bind(py), py.None().into_bound(py))?;
    }
    if loses {
        lifetime::schedule_loss(transport, None)?;
    }
    if ends {
        shut_down(transport)?;
    }
    Ok(())
}

/// Tells the peer that nothing more comes.
pub(super) fn shut_down(transport: &Bound<'_, SocketTransport>) -> PyResult<()> {
    if let Some(socket) = SocketTransport::by_methods(transport)? {
        return by_method::shut_down_sending(&socket);
    }
    net::shut_down_sending(transport.get().fd).map_err(|failure| error::from_system(transport.py(), &failure))
}

/// The error for whatever waits for an empty buffer when the connection is lost.
pub(super) fn lost_while_sending() -> PyErr {
    PyConnectionError::new_err("Connection is closed by peer")
}
