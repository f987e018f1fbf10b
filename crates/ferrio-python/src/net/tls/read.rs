//! From the transport below to the program: what arrives is decrypted and handed on.
//!
//! One arrival is one `data_received`, however many records it holds. The TLS object is asked for exactly as many
//! records as have come (`ferrio_engine::tls_record`), because its `SSLWantReadError` is expensive. What comes while
//! the program isn't reading is kept encrypted; above the high-water mark the transport below is paused.

use std::sync::Arc;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};

use super::protocol::{SSLProtocol, in_scope};
use super::session::{Answer, Session};
use super::state::Stage;
use super::{handshake, shutdown, write};
use crate::base::error;
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::interpreter;
use crate::base::ffi::memory::BytesBuilder;
use crate::base::room::Room;
use crate::net::transport::native::NativeProtocol;
use crate::net::transport::receiver::{Receiver, Way};

/// How many bytes the TLS object gets at once if there is more: its buffers stay small.
const PORTION: usize = 32 << 10;

/// The largest buffer that `get_buffer` offers, in bytes.
const LARGEST_BUFFER: usize = 256 << 10;

inventory::submit! { NativeProtocol::new(interpreter::is_exactly::<SSLProtocol>, take) }

/// Takes what a transport of ours has received.
fn take(protocol: &Bound<'_, PyAny>, data: &[u8]) -> PyResult<()> {
    let protocol = protocol.cast::<SSLProtocol>()?;
    in_scope(protocol, || received(protocol, data))
}

/// Takes what has arrived.
pub(super) fn received(protocol: &Bound<'_, SSLProtocol>, data: &[u8]) -> PyResult<()> {
    enum To {
        Handshake,
        Program,
        Keep,
        Shutdown,
        Nobody,
    }
    let py = protocol.py();
    let to = protocol.get().state.with(py, |state| {
        PyResult::Ok(match state.life.stage() {
            Stage::Handshake => To::Handshake,
            Stage::Wrapped | Stage::Flushing if state.reading_paused || !state.kept.is_empty() => {
                state.kept.make_room(data.len())?;
                state.kept.extend_from_slice(data);
                To::Keep
            }
            Stage::Wrapped | Stage::Flushing => To::Program,
            Stage::Shutdown => To::Shutdown,
            Stage::Unwrapped => To::Nobody,
        })
    })?;
    match to {
        To::Program => read(protocol, data),
        To::Keep => control_lower(protocol, None),
        To::Handshake => {
            feed(protocol, data)?;
            handshake::advance(protocol)
        }
        To::Shutdown => {
            feed(protocol, data)?;
            shutdown::advance(protocol)
        }
        To::Nobody => Ok(()),
    }
}

/// Gives `data` to the TLS object without reading from it.
pub(super) fn feed(protocol: &Bound<'_, SSLProtocol>, data: &[u8]) -> PyResult<()> {
    let py = protocol.py();
    protocol.get().state.with(py, |state| {
        let mut rest = data;
        while !rest.is_empty() {
            rest = &rest[state.records.take(rest, usize::MAX).length..];
        }
    });
    protocol.get().session(py)?.feed(py, data)
}

/// Decrypts `data` and what was left, hands it to the program, and sends what results. A failure ends the connection.
fn read(protocol: &Bound<'_, SSLProtocol>, data: &[u8]) -> PyResult<()> {
    let py = protocol.py();
    match read_and_answer(protocol, data) {
        Err(failure) if !error::ends_program(py, &failure) => {
            shutdown::fatal(protocol, &failure, "Fatal error on SSL protocol")
        }
        outcome => outcome,
    }
}

fn read_and_answer(protocol: &Bound<'_, SSLProtocol>, data: &[u8]) -> PyResult<()> {
    let py = protocol.py();
    let (session, receiver, queued) = protocol.get().state.with(py, |state| {
        // What the program writes meanwhile is sent below.
        let queued = std::mem::replace(&mut state.queued, true);
        (state.session.clone(), state.receiver.clone_ref(py), queued)
    });
    let Some(session) = session else { return Ok(()) };
    let outcome = match (receiver.way, receiver.protocol()) {
        (Way::Buffer, Some(program)) => fill_buffers(protocol, &session, program.bind(py), data),
        _ => hand_over(protocol, &session, &receiver, data),
    };
    receiver.drop_ref(py);
    if !queued {
        protocol.get().state.with(py, |state| state.queued = false);
    }
    if outcome? {
        shutdown::peer_closed(protocol)?;
    }
    write::after_read(protocol, &session)?;
    control_lower(protocol, Some(&session))
}

/// What was decrypted of one arrival.
enum Plain<'py> {
    Nothing,
    One(Bound<'py, PyBytes>),
    Several(BytesBuilder<'py>),
}

/// For a protocol that takes bytes: decrypts everything, then hands it over. Returns whether the peer has closed.
fn hand_over(
    protocol: &Bound<'_, SSLProtocol>,
    session: &Arc<Session>,
    receiver: &Receiver,
    data: &[u8],
) -> PyResult<bool> {
    let py = protocol.py();
    let (plain, end) = decrypt(protocol, session, data)?;
    let bytes = match plain {
        Plain::Nothing => None,
        Plain::One(bytes) => Some(bytes),
        Plain::Several(builder) if builder.is_empty() => None,
        Plain::Several(builder) => Some(builder.finish()?),
    };
    if let (Some(bytes), Some(program)) = (bytes, receiver.protocol()) {
        let program = program.bind(py);
        match receiver.way {
            Way::Native(NativeProtocol { keep: Some(keep), .. }) => keep(program, bytes)?,
            Way::Native(native) => (native.take)(program, bytes.as_bytes())?,
            Way::Method | Way::Buffer => {
                program.call_method1(intern!(py, "data_received"), (bytes,))?;
            }
        }
    }
    // What came before a broken record has been handed over.
    end
}

/// Returns what could be decrypted, and whether the peer has closed, or what failed.
fn decrypt<'py>(
    protocol: &Bound<'py, SSLProtocol>,
    session: &Session,
    data: &[u8],
) -> PyResult<(Plain<'py>, PyResult<bool>)> {
    let py = protocol.py();
    let mut rest = data;
    let mut plain = Plain::Nothing;
    loop {
        let (part, before, dry) = protocol.get().state.with(py, |state| {
            let before = state.records.partial();
            let part = state.records.take(rest, PORTION);
            (part, before, state.leftover || state.records.is_lost())
        });
        session.feed(py, &rest[..part.length])?;
        rest = &rest[part.length..];
        let mut expected = part.complete;
        while dry || expected > 0 {
            if dry && !has_more(protocol, session)? {
                break;
            }
            let room = if dry { session.unread(py)? + session.decrypted(py)? } else { before + part.length };
            match read_one(py, session, &mut plain, room.max(1), rest.len(), expected == 1 && !dry) {
                Ok(Answer::Done(0)) => return Ok((plain, Ok(true))),
                Ok(Answer::Done(_)) => expected = expected.saturating_sub(1),
                Ok(Answer::Again) => break,
                Err(failure) => return Ok((plain, Err(failure))),
            }
        }
        if dry {
            protocol.get().state.with(py, |state| state.leftover = false);
        }
        if rest.is_empty() {
            return Ok((plain, Ok(false)));
        }
    }
}

/// Whether the TLS object has, or may have, something for the program.
fn has_more(protocol: &Bound<'_, SSLProtocol>, session: &Session) -> PyResult<bool> {
    let py = protocol.py();
    let partial = protocol.get().state.with(py, |state| state.records.partial());
    Ok(session.unread(py)? > partial || session.decrypted(py)? > 0)
}

/// Reads a record of at most `room` bytes, followed by `rest` more; `only` if no other record is known to come first.
fn read_one<'py>(
    py: Python<'py>,
    session: &Session,
    plain: &mut Plain<'py>,
    room: usize,
    rest: usize,
    only: bool,
) -> PyResult<Answer<usize>> {
    if let (Plain::Nothing, true, 0) = (&plain, only, rest) {
        return Ok(match session.read(py, room)? {
            Answer::Done(bytes) => {
                let count = bytes.as_bytes().len();
                if count > 0 {
                    *plain = Plain::One(bytes);
                }
                Answer::Done(count)
            }
            Answer::Again => Answer::Again,
        });
    }
    // Encrypted data is longer than its content, so this is room for all of it.
    let mut builder = match std::mem::replace(plain, Plain::Nothing) {
        Plain::Several(builder) if builder.room() >= room => builder,
        Plain::Nothing => BytesBuilder::with_room(py, room + rest)?,
        Plain::One(bytes) => grown(py, bytes.as_bytes(), room + rest)?,
        Plain::Several(builder) => grown(py, builder.finish()?.as_bytes(), room + rest)?,
    };
    let size = builder.room();
    if !session.is_direct() {
        let answer = session.read(py, size)?;
        let counted = match answer {
            Answer::Done(bytes) => {
                builder.push(bytes.as_bytes());
                Answer::Done(bytes.as_bytes().len())
            }
            Answer::Again => Answer::Again,
        };
        *plain = Plain::Several(builder);
        return Ok(counted);
    }
    let answer = builder.fill(
        |view| session.read_into(py, size, view),
        |answer| match answer {
            Ok(Answer::Done(count)) => *count,
            _ => 0,
        },
    );
    *plain = Plain::Several(builder);
    answer?
}

fn grown<'py>(py: Python<'py>, bytes: &[u8], room: usize) -> PyResult<BytesBuilder<'py>> {
    let mut builder = BytesBuilder::with_room(py, bytes.len() + room)?;
    builder.push(bytes);
    Ok(builder)
}

/// For a `BufferedProtocol`: decrypts record by record into its buffers. Returns whether the peer has closed.
fn fill_buffers(
    protocol: &Bound<'_, SSLProtocol>,
    session: &Arc<Session>,
    program: &Bound<'_, PyAny>,
    data: &[u8],
) -> PyResult<bool> {
    let py = protocol.py();
    feed(protocol, data)?;
    loop {
        let lost = protocol.get().state.with(py, |state| state.records.is_lost());
        if !lost && !has_more(protocol, session)? {
            protocol.get().state.with(py, |state| state.leftover = false);
            return Ok(false);
        }
        let buffer = program.call_method1(intern!(py, "get_buffer"), (session.unread(py)?,))?;
        // The size in bytes, whatever the items of the buffer are.
        let size = Buffer::to_write(&buffer)?.len();
        if size == 0 {
            return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
        }
        match session.read_into(py, size, &buffer)? {
            Answer::Done(0) => return Ok(true),
            Answer::Done(count) => {
                program.call_method1(intern!(py, "buffer_updated"), (count,))?;
            }
            Answer::Again => return Ok(false),
        }
        let (goes_on, other) = protocol.get().state.with(py, |state| {
            state.leftover = true;
            let same = state.receiver.protocol().is_some_and(|now| now.is(program));
            (state.life.may_read() && !state.reading_paused, !same)
        });
        if !goes_on {
            return Ok(false);
        }
        if other {
            // The protocol was replaced meanwhile; the rest is for the new one.
            resume_later(protocol)?;
            return Ok(false);
        }
    }
}

/// Reads what is left from the handshake's last flight, or from before a pause.
pub(super) fn leftover(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let (reads, kept) = protocol.get().state.with(py, |state| {
        let reads = state.life.may_read() && !state.reading_paused;
        (reads, if reads { std::mem::take(&mut state.kept) } else { Vec::new() })
    });
    if reads { read(protocol, &kept) } else { Ok(()) }
}

/// `transport.pause_reading()`.
pub(super) fn pause(protocol: &Bound<'_, SSLProtocol>) {
    protocol.get().state.with(protocol.py(), |state| state.reading_paused = true);
}

/// `transport.resume_reading()`.
pub(super) fn resume(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let was = protocol.get().state.with(protocol.py(), |state| std::mem::take(&mut state.reading_paused));
    if was { resume_later(protocol) } else { Ok(()) }
}

fn resume_later(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    super::call_soon(protocol, protocol.getattr(intern!(protocol.py(), "_resume"))?, None)
}

/// The turn after `resume`.
pub(super) fn resumed(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    match protocol.get().state.with(protocol.py(), |state| state.life.stage()) {
        Stage::Wrapped => leftover(protocol),
        Stage::Flushing => shutdown::flush(protocol),
        Stage::Shutdown => shutdown::advance(protocol),
        Stage::Handshake | Stage::Unwrapped => Ok(()),
    }
}

/// How many bytes have been received and not given to the program.
pub(super) fn waiting(protocol: &Bound<'_, SSLProtocol>) -> PyResult<usize> {
    let py = protocol.py();
    let kept = protocol.get().state.with(py, |state| state.kept.len());
    Ok(kept + protocol.get().session(py)?.unread(py)?)
}

/// Pauses or resumes the transport below, depending on how much waits.
pub(super) fn control_lower(protocol: &Bound<'_, SSLProtocol>, known: Option<&Arc<Session>>) -> PyResult<()> {
    let py = protocol.py();
    let nothing = protocol
        .get()
        .state
        .with(py, |state| state.kept.is_empty() && !state.leftover && !state.lower_reading_paused);
    if nothing && known.is_some() {
        return Ok(());
    }
    let size = waiting(protocol)?;
    let (pause, resume) = protocol.get().state.with(py, |state| {
        let marks = state.read_marks;
        let pause = size > 0 && size >= marks.high && !state.lower_reading_paused;
        let resume = size <= marks.low && state.lower_reading_paused;
        if pause || resume {
            state.lower_reading_paused = pause;
        }
        (pause, resume)
    });
    match protocol.get().lower(py) {
        Some(lower) if pause => lower.pause_reading(),
        Some(lower) if resume => lower.resume_reading(),
        _ => Ok(()),
    }
}

/// Lets the transport below read, however much waits, because the peer's closing note is wanted.
pub(super) fn let_lower_read(protocol: &Bound<'_, SSLProtocol>) -> PyResult<()> {
    let py = protocol.py();
    let paused = protocol.get().state.with(py, |state| std::mem::take(&mut state.lower_reading_paused));
    match protocol.get().lower(py) {
        Some(lower) if paused => lower.resume_reading(),
        _ => Ok(()),
    }
}

/// A buffer for a transport that fills buffers; kept until `buffer_updated`.
pub(super) fn lend_buffer<'py>(
    protocol: &Bound<'py, SSLProtocol>,
    hint: isize,
) -> PyResult<Bound<'py, PyAny>> {
    let py = protocol.py();
    let size = usize::try_from(hint)
        .ok()
        .filter(|size| (1..LARGEST_BUFFER).contains(size))
        .unwrap_or(LARGEST_BUFFER);
    let buffer = PyByteArray::new_with(py, size, |_| Ok(()))?.into_any();
    let old = protocol.get().state.with(py, |state| state.lent.replace(buffer.clone().unbind()));
    drop(old);
    Ok(buffer)
}

/// Takes what was written into the lent buffer.
pub(super) fn buffer_updated(protocol: &Bound<'_, SSLProtocol>, count: usize) -> PyResult<()> {
    let py = protocol.py();
    let lent = protocol.get().state.with(py, |state| state.lent.take());
    let Some(lent) = lent else {
        return Ok(());
    };
    let data = Buffer::to_read(lent.bind(py))?.read(py, |bytes| bytes[..count.min(bytes.len())].to_vec());
    received(protocol, &data)
}
