//! From the program to the transport below: what is written is encrypted and handed on.
//!
//! Writes accumulate until the end of the turn, or of the read during which they happen, and are joined into few
//! records. While the transport below is full they stay unencrypted.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyMemoryView};
use std::sync::Arc;

use super::protocol::{SSLProtocol, in_scope};
use super::session::{Answer, Session};
use super::shutdown;
use super::state::Stage;
use crate::base::ffi::Cast;
use crate::base::{error, imports};
use crate::core::event_loop::LoopRef;

/// More bytes than this don't wait for the end of the turn.
const GATHERED: usize = 64 << 10;

/// This many writes after the end are ignored silently.
const SILENT_WRITES: u32 = 5;

/// The argument of `write` as `bytes`. Raises `TypeError` for anything but `bytes`, `bytearray` or `memoryview`.
#[inline]
pub(super) fn bytes_of<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if let Some(bytes) = data.as_exactly::<PyBytes>() {
        return Ok(bytes.clone());
    }
    if data.is_instance_of::<PyBytes>()
        || data.is_instance_of::<PyByteArray>()
        || data.is_instance_of::<PyMemoryView>()
    {
        return copied(data);
    }
    Err(pyo3::exceptions::PyTypeError::new_err(format!(
        "data: expecting a bytes-like instance, got {}",
        data.get_type().name()?
    )))
}

/// A copy of an object that the program may change after the call.
pub(super) fn copied<'py>(data: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    let py = data.py();
    // A view needn't be contiguous; `tobytes` handles that.
    let copy = match data.as_instance::<PyMemoryView>() {
        Some(view) => view.call_method0(intern!(py, "tobytes"))?,
        None => imports::BYTES.get(py)?.call1((PyMemoryView::from(data)?,))?,
    };
    Ok(copy.cast_into::<PyBytes>()?)
}

/// `transport.write(data)`.
#[inline]
pub(super) fn write(protocol: &Bound<'_, SSLProtocol>, bytes: Bound<'_, PyBytes>) -> PyResult<()> {
    let length = bytes.as_bytes().len();
    if length == 0 {
        return Ok(());
    }
    push(protocol, bytes.unbind(), length)?;
    gathered(protocol)
}

/// `transport.writelines(pieces)`.
pub(super) fn write_several(
    protocol: &Bound<'_, SSLProtocol>,
    pieces: Vec<Bound<'_, PyBytes>>,
) -> PyResult<()> {
    for bytes in pieces {
        let length = bytes.as_bytes().len();
        if length > 0 {
            push(protocol, bytes.unbind(), length)?;
        }
    }
    gathered(protocol)
}

#[inline]
fn push(protocol: &Bound<'_, SSLProtocol>, bytes: Py<PyBytes>, length: usize) -> PyResult<()> {
    let py = protocol.py();
    let refused = protocol.get().state.with(py, |state| {
        if state.life.takes_writes() {
            state.backlog.push(bytes, length)?;
            return PyResult::Ok(None);
        }
        state.lost_writes = state.lost_writes.saturating_add(1);
        Ok(Some((bytes, state.lost_writes > SILENT_WRITES)))
    })?;
    if let Some((bytes, warns)) = refused {
        drop(bytes);
        if warns {
            imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), ("SSL connection is closed",))?;
        }
    }
    Ok(())
}

/// Has the accumulated data sent at the end of the turn, or now if there is much.
#[inline]
fn gathered(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    enum When {
        Now,
        EndOfTurn(usize),
        Arranged,
    }
    let when = protocol.get().state.with(py, |state| {
        if state.life.stage() != Stage::Wrapped || state.backlog.is_empty() {
            When::Arranged
        } else if state.backlog.size() >= GATHERED {
            When::Now
        } else if std::mem::replace(&mut state.queued, true) {
            When::Arranged
        } else {
            When::EndOfTurn(state.backlog.size())
        }
    });
    match when {
        When::Arranged => Ok(()),
        When::Now => flush(protocol),
        When::EndOfTurn(bytes) => {
            if let LoopRef::Native(event_loop) = protocol.get().event_loop(py)?
                && event_loop.get().flush_later(protocol.as_any(), end_of_turn, bytes)
            {
                return Ok(());
            }
            protocol.get().state.with(py, |state| state.queued = false);
            flush(protocol)
        }
    }
}

/// The loop's call at the end of the turn.
fn end_of_turn(owner: &Bound<'_, PyAny>) -> PyResult<()> {
    let protocol = owner.cast::<SSLProtocol>()?;
    protocol.get().state.with(owner.py(), |state| state.queued = false);
    in_scope(protocol, || flush(protocol))
}

/// Encrypts and hands on what has accumulated. A failure ends the connection.
pub(super) fn flush(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let Some(session) = protocol.get().state.with(py, |state| state.session.clone()) else { return Ok(()) };
    let outcome = encrypt(protocol, &session).and_then(|wrote| {
        if !wrote {
            hand_on(protocol, &session)?;
        }
        control_program(protocol, &session)
    });
    match outcome {
        Err(failure) if !error::ends_program(py, &failure) => {
            shutdown::fatal(protocol, &failure, "Fatal error on SSL protocol")
        }
        outcome => outcome,
    }
}

/// As `flush`, at the end of a read: also sends what reading itself has produced.
#[inline]
pub(super) fn after_read(protocol: &Bound<'_, SSLProtocol>, session: &Arc<Session>) -> PyResult<()> {
    if !encrypt(protocol, session)? {
        hand_on(protocol, session)?;
    }
    control_program(protocol, session)
}

/// Encrypts record by record, and hands each on; returns whether there was anything.
#[inline]
fn encrypt(protocol: &Bound<'_, SSLProtocol>, session: &Arc<Session>) -> PyResult<bool> {
    let py = protocol.py();
    let mut wrote = false;
    loop {
        let next = protocol.get().state.with(py, |state| {
            let stage = state.life.stage();
            // Closing doesn't wait for the transport below, which must take the rest anyway.
            let full = state.lower_writing_paused && stage == Stage::Wrapped;
            if full || !state.life.may_write() || state.backlog.is_empty() {
                return None;
            }
            let joinable = state.backlog.joinable(py);
            if joinable.is_empty() {
                Some((joinable, state.backlog.next(py)))
            } else {
                Some((joinable, None))
            }
        });
        let Some((joinable, next)) = next else { return Ok(wrote) };
        let Some(next) = next else {
            join(protocol, &joinable)?;
            continue;
        };
        match session.write(&next.bytes, next.start, next.end)? {
            Answer::Again => return Ok(wrote),
            Answer::Done(count) => {
                let used = protocol.get().state.with(py, |state| state.backlog.advance(py, count));
                if let Some(used) = used {
                    used.drop_ref(py);
                }
                wrote = true;
                hand_on_now(protocol, session)?;
            }
        }
    }
}

/// Joins several pieces into one.
fn join(protocol: &Bound<'_, SSLProtocol>, pieces: &[Py<PyBytes>]) -> PyResult<()> {
    let py = protocol.py();
    let length = pieces.iter().map(|piece| piece.as_bytes(py).len()).sum();
    let joined = PyBytes::new_with(py, length, |room| {
        let mut start = 0;
        for piece in pieces {
            let bytes = piece.as_bytes(py);
            room[start..start + bytes.len()].copy_from_slice(bytes);
            start += bytes.len();
        }
        Ok(())
    })?;
    protocol.get().state.with(py, |state| state.backlog.put_back(joined.unbind()));
    Ok(())
}

/// Hands on what the TLS object has to send, unless the transport below is full.
fn hand_on(protocol: &Bound<'_, SSLProtocol>, session: &Session) -> PyResult<()> {
    let py = protocol.py();
    let full = protocol.get().state.with(py, |state| {
        state.lower_writing_paused && matches!(state.life.stage(), Stage::Wrapped | Stage::Handshake)
    });
    if full || session.unsent(py)? == 0 { Ok(()) } else { hand_on_now(protocol, session) }
}

#[inline]
fn hand_on_now(protocol: &Bound<'_, SSLProtocol>, session: &Session) -> PyResult<()> {
    let py = protocol.py();
    let data = session.take_unsent(py)?;
    match protocol.get().lower(py) {
        Some(lower) if !data.as_bytes().is_empty() => lower.write(&data),
        _ => Ok(()),
    }
}

/// Hands on what the handshake or the closing handshake has to send.
pub(super) fn send_unsent(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let session = protocol.get().session(protocol.py())?;
    hand_on(protocol, &session)?;
    control_program(protocol, &session)
}

/// The transport below takes more.
pub(super) fn resumed(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    flush(protocol)
}

/// How many bytes have been written and not handed on.
pub(super) fn waiting(protocol: &Bound<'_, SSLProtocol>) -> PyResult<usize> {
    let py = protocol.py();
    let size = protocol.get().state.with(py, |state| state.backlog.size());
    Ok(size + protocol.get().session(py)?.unsent(py)?)
}

/// Tells the program to pause writing or to go on, depending on how much waits.
pub(super) fn control_program(protocol: &Bound<'_, SSLProtocol>, session: &Session) -> PyResult<()> {
    let py = protocol.py();
    let (quiet, size) = protocol.get().state.with(py, |state| {
        let size = state.backlog.size();
        // Nothing can wait anywhere else.
        let quiet = !state.writing_paused && !state.lower_writing_paused && size < state.write_marks.high;
        (quiet, size)
    });
    if quiet {
        return Ok(());
    }
    let size = size + session.unsent(py)?;
    let (pause, resume) = protocol.get().state.with(py, |state| {
        let marks = state.write_marks;
        let pause = size >= marks.high && !state.writing_paused;
        let resume = !pause && size <= marks.low && state.writing_paused;
        if pause || resume {
            state.writing_paused = pause;
        }
        (pause, resume)
    });
    if pause {
        tell(protocol, "pause_writing", "protocol.pause_writing() failed")
    } else if resume {
        tell(protocol, "resume_writing", "protocol.resume_writing() failed")
    } else {
        Ok(())
    }
}

fn tell(protocol: &Bound<'_, SSLProtocol>, method: &str, message: &str) -> PyResult<()> {
    let py = protocol.py();
    let Some(program) = protocol.get()._app_protocol(py) else { return Ok(()) };
    match program.bind(py).call_method0(method) {
        Err(failure) if !error::ends_program(py, &failure) => {
            let context = PyDict::new(py);
            context.set_item(intern!(py, "message"), message)?;
            context.set_item(intern!(py, "exception"), failure.value(py))?;
            context.set_item(intern!(py, "transport"), protocol.get()._app_transport(py))?;
            context.set_item(intern!(py, "protocol"), protocol)?;
            protocol.get().event_loop(py)?.call_exception_handler(py, &context)
        }
        outcome => outcome.map(drop),
    }
}
