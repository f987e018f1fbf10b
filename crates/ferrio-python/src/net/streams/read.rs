//! The operations behind `read`, `readline`, `readexactly`, `readuntil` and the iteration over lines.
//!
//! Each takes what it wants from the buffer if it is there, and parks in the reader if it isn't. How much may stay in
//! the buffer, and what an error drops, is as in asyncio: data that is too long stays after `readuntil`, and is
//! dropped after `readline`.

use ferrio_engine::buffer::{Found, Match, Scan, Separators};
use pyo3::exceptions::{PyAssertionError, PyRuntimeError, PyStopAsyncIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::feed::{self, Need, Waiter};
use super::reader::{State, StreamReader};
use crate::base::ffi::bytes::Filling;
use crate::base::ffi::raise::{made, raise, while_handling};
use crate::base::gc::gc;
use crate::base::imports;
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};

/// One read of a stream.
pub(crate) struct Read {
    reader: Py<StreamReader>,
    what: What,
    /// Whether it parked in the reader.
    waiting: bool,
}

gc!(Read { reader } not { what, waiting });

/// What is wanted.
pub(super) enum What {
    /// `readline()`, and `__anext__()`, which raises `StopAsyncIteration` for an empty line.
    Line { scan: Scan, or_stop: bool },
    /// `read(n)`, `n` not negative.
    Some(usize),
    /// `readexactly(n)`.
    Exactly(usize),
    /// `readuntil(separator)`.
    Until(Box<(Separators, Scan)>),
    /// `read()`: what has been taken from the buffer so far.
    All(Option<Box<Filling>>),
    /// `_wait_for_data(name)`.
    Data(Box<str>),
    /// Invalid arguments: raised when it is awaited, as a coroutine would.
    Refused(Box<(&'static str, Option<PyErr>)>),
}

/// What a look into the buffer found.
enum Look<'py> {
    Done(Bound<'py, PyAny>),
    NotYet,
}

/// How a line or a message ended; computed in one look, raised outside of it.
enum Outcome<'py> {
    Taken(Bound<'py, PyBytes>),
    NotYet,
    /// The end of input came first.
    Incomplete(Bound<'py, PyBytes>),
    /// Longer than the limit: found and ended here, or not found in this many bytes.
    TooLong(Match),
    TooMuch(usize),
}

impl Read {
    #[inline]
    pub(super) fn new(reader: &Bound<'_, StreamReader>, what: What) -> Self {
        Self { reader: reader.clone().unbind(), what, waiting: false }
    }

    /// What comes before the first look: checking arguments, and raising an exception that was set.
    #[inline]
    fn begin<'py>(&mut self, reader: &Bound<'py, StreamReader>) -> PyResult<Look<'py>> {
        let py = reader.py();
        match &mut self.what {
            What::Refused(refused) => {
                return Err(refused
                    .1
                    .take()
                    .unwrap_or_else(|| PyRuntimeError::new_err("cannot reuse already awaited coroutine")));
            }
            What::Data(_) => return Ok(Look::NotYet),
            What::Line { .. } | What::Some(_) | What::Exactly(_) | What::Until(_) | What::All(_) => {}
        }
        require_no_exception(reader)?;
        match self.what {
            What::Some(0) | What::Exactly(0) => Ok(Look::Done(PyBytes::new(py, b"").into_any())),
            _ => Ok(Look::NotYet),
        }
    }

    /// Takes what is wanted, if it is there.
    #[inline]
    fn look<'py>(&mut self, reader: &Bound<'py, StreamReader>) -> PyResult<Look<'py>> {
        let py = reader.py();
        let state = &reader.get().state;
        StreamReader::load_buffer(reader)?;
        let outcome = match &mut self.what {
            What::Line { scan, .. } => {
                state.with(py, |state| state.until(py, &Separators::Byte(b'\n'), scan))
            }
            What::Until(until) => {
                let (separators, scan) = &mut **until;
                state.with(py, |state| state.until(py, separators, scan))
            }
            What::Some(most) => state.with(py, |state| {
                if state.unread.is_empty() && !state.eof {
                    state.seen = 0;
                    return Outcome::NotYet;
                }
                let available = state.unread.len(py);
                Outcome::Taken(state.unread.take(py, (*most).min(available)))
            }),
            What::Exactly(count) => state.with(py, |state| {
                let available = state.unread.len(py);
                if available >= *count {
                    Outcome::Taken(state.unread.take(py, *count))
                } else if state.eof {
                    Outcome::Incomplete(state.unread.take(py, available))
                } else {
                    state.seen = available;
                    Outcome::NotYet
                }
            }),
            What::All(taken) => {
                let (at_end, whole) = state.with(py, |state| {
                    if taken.is_none() && state.eof {
                        let available = state.unread.len(py);
                        return Ok((true, Some(state.unread.take(py, available))));
                    }
                    if !state.unread.is_empty() {
                        let gathered = match taken {
                            Some(gathered) => gathered,
                            None => taken.insert(Box::new(Filling::with_room(py, 0)?)),
                        };
                        gathered.extend(py, state.unread.as_slice(py))?;
                        state.unread.clear(py);
                    }
                    state.seen = 0;
                    PyResult::Ok((state.eof, None))
                })?;
                StreamReader::store_buffer(reader)?;
                feed::maybe_resume(reader)?;
                // The transport may have set its exception meanwhile.
                require_no_exception(reader)?;
                if !at_end {
                    return Ok(Look::NotYet);
                }
                return Ok(Look::Done(match (whole, taken.take()) {
                    (Some(whole), _) => whole.into_any(),
                    (None, Some(gathered)) => gathered.finish(py, b"")?.into_any(),
                    (None, None) => PyBytes::new(py, b"").into_any(),
                }));
            }
            What::Data(_) | What::Refused(_) => Outcome::NotYet,
        };
        match outcome {
            Outcome::NotYet => Ok(Look::NotYet),
            Outcome::Taken(data) => {
                StreamReader::store_buffer(reader)?;
                feed::maybe_resume(reader)?;
                self.or_stop(data)
            }
            other => self.end_otherwise(reader, other),
        }
    }

    /// The value of the `await`; the iteration ends with an empty line.
    #[inline]
    fn or_stop<'py>(&self, data: Bound<'py, PyBytes>) -> PyResult<Look<'py>> {
        if let What::Line { or_stop: true, .. } = self.what
            && data.as_bytes().is_empty()
        {
            return Err(PyStopAsyncIteration::new_err(()));
        }
        Ok(Look::Done(data.into_any()))
    }

    #[cold]
    fn end_otherwise<'py>(
        &self,
        reader: &Bound<'py, StreamReader>,
        outcome: Outcome<'py>,
    ) -> PyResult<Look<'py>> {
        let py = reader.py();
        let is_line = matches!(self.what, What::Line { .. });
        let (message, consumed, dropped) = match outcome {
            Outcome::Incomplete(partial) => {
                StreamReader::store_buffer(reader)?;
                if is_line {
                    return self.or_stop(partial);
                }
                let expected = match self.what {
                    What::Exactly(count) => Some(count),
                    _ => None,
                };
                return Err(incomplete(&partial, expected));
            }
            Outcome::TooLong(found) => {
                ("Separator is found, but chunk is longer than limit", found.start, Some(found.end))
            }
            Outcome::TooMuch(consumed) => {
                ("Separator is not found, and chunk exceed the limit", consumed, None)
            }
            Outcome::Taken(_) | Outcome::NotYet => return Ok(Look::NotYet),
        };
        if !is_line {
            return Err(raise(imports::LIMIT_OVERRUN_ERROR.get(py)?.call1((message, consumed))?));
        }
        reader.get().state.with(py, |state| match dropped {
            Some(end) => state.unread.consume(py, end),
            None => state.unread.clear(py),
        });
        StreamReader::store_buffer(reader)?;
        feed::maybe_resume(reader)?;
        // As in asyncio, where `readline` handles the error of `readuntil`.
        let overrun = imports::LIMIT_OVERRUN_ERROR.get(py)?.call1((message, consumed))?;
        let overrun = raise(overrun).into_value(py).into_bound(py);
        Err(while_handling(&overrun, || made(py, PyValueError::new_err(message))))
    }

    /// Registers the operation as the reader's waiter; returns `false` if it must look again first.
    fn wait(&mut self, reader: &Bound<'_, StreamReader>, this: &Bound<'_, Operation>) -> PyResult<bool> {
        let py = reader.py();
        enum Step {
            Parked,
            Busy,
            AtEnd,
            Again,
            Resume(Option<Py<PyAny>>),
        }
        let need = match &self.what {
            What::Line { scan, .. } => Need::Line(*scan),
            What::Exactly(count) => Need::Bytes(*count),
            What::Some(_) | What::Until(_) | What::All(_) | What::Data(_) | What::Refused(_) => Need::Any,
        };
        let entry = this.clone().unbind();
        let (step, unused) = reader.get().state.with(py, |state| {
            if !state.waiter.is_nobody() {
                return (Step::Busy, Some(entry));
            }
            if state.eof {
                return (Step::AtEnd, Some(entry));
            }
            if state.paused {
                // Waiting for data from a paused transport would last for ever.
                state.paused = false;
                let transport = state.transport.as_ref().map(|transport| transport.clone_ref(py));
                return (Step::Resume(transport), Some(entry));
            }
            if !matches!(self.what, What::Data(_)) && state.unread.len(py) != state.seen {
                // Another thread has fed it since the look.
                return (Step::Again, Some(entry));
            }
            entry.get().park(py);
            state.waiter = Waiter::Operation(entry, need);
            (Step::Parked, None)
        });
        if let Some(unused) = unused {
            unused.drop_ref(py);
        }
        match step {
            Step::Parked => {
                self.waiting = true;
                Ok(true)
            }
            Step::Busy => Err(PyRuntimeError::new_err(format!(
                "{}() called while another coroutine is already waiting for incoming data",
                self.waits_as()
            ))),
            Step::AtEnd if matches!(self.what, What::Data(_)) => {
                Err(PyAssertionError::new_err("_wait_for_data after EOF"))
            }
            // The transport fed it while it was being resumed.
            Step::AtEnd | Step::Again => Ok(false),
            Step::Resume(transport) => {
                if let Some(transport) = transport {
                    feed::resume_reading(transport.bind(py))?;
                }
                Ok(false)
            }
        }
    }

    /// Takes the operation out of the reader, if it is still there.
    fn leave(&self, reader: &Bound<'_, StreamReader>, this: &Bound<'_, Operation>) {
        let gone = reader.get().state.with(reader.py(), |state| match &state.waiter {
            Waiter::Operation(waiting, _) if waiting.is(this) => std::mem::take(&mut state.waiter),
            _ => Waiter::Nobody,
        });
        drop(gone);
    }

    /// The method's name, for an error about a second waiter.
    fn waits_as(&self) -> &str {
        match &self.what {
            What::Line { .. } | What::Until(_) => "readuntil",
            What::Some(_) | What::All(_) => "read",
            What::Exactly(_) => "readexactly",
            What::Data(name) => name,
            What::Refused(refused) => refused.0,
        }
    }
}

impl Run for Read {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        // The state machine is taken apart when it ends; until then the reader is there.
        let reader = self.reader.clone_ref(py).into_bound(py);
        if let Resume::Throw(exception) = resume {
            if self.waiting {
                self.leave(&reader, this);
            }
            return Err(PyErr::from_value(exception));
        }
        if self.waiting {
            self.waiting = false;
            if let What::Data(_) = self.what {
                return Ok(Progress::Ready(py.None().into_bound(py)));
            }
        } else if let Look::Done(value) = self.begin(&reader)? {
            return Ok(Progress::Ready(value));
        }
        loop {
            if let Look::Done(value) = self.look(&reader)? {
                return Ok(Progress::Ready(value));
            }
            if self.wait(&reader, this)? {
                return Ok(Progress::Park);
            }
        }
    }

    fn name(&self) -> &'static str {
        match &self.what {
            What::Line { or_stop: false, .. } => "StreamReader.readline",
            What::Line { or_stop: true, .. } => "StreamReader.__anext__",
            What::Some(_) | What::All(_) => "StreamReader.read",
            What::Exactly(_) => "StreamReader.readexactly",
            What::Until(_) => "StreamReader.readuntil",
            What::Data(_) => "StreamReader._wait_for_data",
            What::Refused(refused) => match refused.0 {
                "readexactly" => "StreamReader.readexactly",
                "readuntil" => "StreamReader.readuntil",
                _ => "StreamReader.read",
            },
        }
    }

    fn inner_names(&self) -> &'static [&'static str] {
        match &self.what {
            What::Line { or_stop: false, .. } => &["StreamReader.readuntil", "StreamReader._wait_for_data"],
            What::Line { or_stop: true, .. } => {
                &["StreamReader.readline", "StreamReader.readuntil", "StreamReader._wait_for_data"]
            }
            What::All(_) => &["StreamReader.read", "StreamReader._wait_for_data"],
            What::Some(_) | What::Exactly(_) | What::Until(_) => &["StreamReader._wait_for_data"],
            What::Data(_) | What::Refused(_) => &[],
        }
    }

    #[inline]
    fn discard(self, py: Python<'_>) {
        self.reader.drop_ref(py);
    }
}

impl State {
    /// Takes a message that ends with a separator, if it is there.
    #[inline]
    fn until<'py>(&mut self, py: Python<'py>, separators: &Separators, scan: &mut Scan) -> Outcome<'py> {
        match scan.look(self.unread.as_slice(py), separators, self.limit.bytes) {
            Found::Message(found) => Outcome::Taken(self.unread.take(py, found.end)),
            Found::LongMessage(found) => Outcome::TooLong(found),
            Found::TooMuch(consumed) => Outcome::TooMuch(consumed),
            Found::Nothing if self.eof => Outcome::Incomplete(self.unread.take(py, self.unread.len(py))),
            Found::Nothing => {
                self.seen = self.unread.len(py);
                Outcome::NotYet
            }
        }
    }
}

#[inline]
fn require_no_exception(reader: &Bound<'_, StreamReader>) -> PyResult<()> {
    match reader.get().exception(reader.py()) {
        None => Ok(()),
        Some(exception) => Err(raise(exception.into_bound(reader.py()))),
    }
}

/// `IncompleteReadError(partial, expected)`.
fn incomplete(partial: &Bound<'_, PyBytes>, expected: Option<usize>) -> PyErr {
    let made =
        imports::INCOMPLETE_READ_ERROR.get(partial.py()).and_then(|class| class.call1((partial, expected)));
    made.map_or_else(|failure| failure, raise)
}
