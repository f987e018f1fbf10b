//! `StreamReader`: the class, as Python sees it.
//!
//! Holds what arrived and was not read yet. `feed.rs` and `read.rs` do the work. This file has the methods, and the
//! attributes that libraries use (`_buffer`, `_transport`, `_paused`...).

use std::sync::atomic::{AtomicBool, Ordering};

use ferrio_engine::buffer::{Scan, Separators};
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyTuple, PyType};

use super::attributes::{flag_attributes, optional_attributes};
use super::content::Content;
use super::delegate::{Delegate, Role};
use super::feed::{self, Waiter};
use super::limit::Limit;
use super::python_buffer;
use super::read::{Read, What};
use crate::base::arguments::Argument;
use crate::base::class::{Class, Standard};
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::{Cast, Guarded};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::overrides::{Names, Overrides};
use crate::core::event_loop::LoopRef;
use crate::core::future::default_loop;
use crate::core::future::native::current_stack;
use crate::core::operation::unawaited::Unawaited;

/// Received data of a stream. Await `read()`, `readline()`, `readexactly()` or `readuntil()`, or iterate over the
/// lines with `async for`.
///
/// A line may be `limit` bytes long; the transport is paused while more than twice as many are unread. Meaning and
/// methods are those of `asyncio.StreamReader`. Raises `ValueError` if the limit isn't positive.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio.streams")]
pub(crate) struct StreamReader {
    pub(super) state: Guarded<State>,
    overrides: Overrides,
    /// Python code may change `_buffer`.
    pub(super) has_python_buffer: AtomicBool,
}

collected!(StreamReader { state } not { overrides, has_python_buffer }, written by state, clear { state });

impl Class for StreamReader {
    const BELOW: Option<Standard> = Some(("asyncio.streams", "StreamReader"));
}

impl Functions for StreamReader {
    const COROUTINES: &'static [&'static str] =
        &["__anext__", "_wait_for_data", "read", "readexactly", "readline", "readuntil"];
    const QUICK: &'static [Quick] = quick!(StreamReader {
        "read" (0 to 1) |reader, given| start_read(reader, given.find(0).as_deref());
        "readline" (0 to 0) |reader, _| StreamReader::readline(reader);
        "readexactly" (1 to 1) |reader, given| StreamReader::readexactly(reader, &given.get(0));
    });
}

/// A reader's whole state.
#[derive(Default)]
pub(super) struct State {
    /// `feed.rs` adds to it, `read.rs` takes from it.
    pub(super) unread: Content,
    /// How many bytes were unread when a read last found too few.
    pub(super) seen: usize,
    pub(super) limit: Limit,
    /// Whether the end of input was fed.
    pub(super) eof: bool,
    /// Whether the transport was paused because the buffer was full.
    pub(super) paused: bool,
    pub(super) waiter: Waiter,
    /// Every further read raises this.
    pub(super) exception: Option<Py<PyAny>>,
    pub(super) transport: Option<Py<PyAny>>,
    /// A Python subclass's `_buffer`, see `python_buffer.rs`.
    pub(super) python_buffer: Option<Py<pyo3::types::PyByteArray>>,
    /// `None` until `__init__` has run.
    event_loop: Option<LoopRef>,
    /// Where it was made, in debug mode.
    source_traceback: Option<Py<PyAny>>,
}

gc!(State { limit, waiter, exception, transport, python_buffer, source_traceback, event_loop } not { unread, seen, eof, paused });

// Methods that call one another; a subclass may replace one and expects the others to call it.
const READ: u8 = 1;
const READUNTIL: u8 = 2;
const READLINE: u8 = 4;
const NAMES: Names = &[("read", READ), ("readuntil", READUNTIL), ("readline", READLINE)];

#[pymethods]
impl StreamReader {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(limit=65536, loop=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let overrides = Overrides::of_class::<Self>(class, NAMES)?;
        Ok(Self {
            state: Guarded::new(State::default()),
            overrides,
            has_python_buffer: AtomicBool::new(false),
        })
    }

    #[pyo3(signature = (limit = Argument::MISSING, r#loop = None))]
    fn __init__(&self, py: Python<'_>, limit: Argument, r#loop: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let limit = limit
            .into_option()
            .map_or_else(|| Ok(Limit::default()), |limit| Limit::positive(limit.bind(py)))?;
        let event_loop = match r#loop {
            Some(event_loop) if !event_loop.is_none() => LoopRef::new(&event_loop),
            _ => default_loop(py)?,
        };
        let fresh = State::on(py, limit, event_loop)?;
        let old = self.state.with(py, |state| std::mem::replace(state, fresh));
        drop(old);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        Self::load_buffer(slf)?;
        let (unread, eof, paused, limit, objects) = slf.get().state.with(py, |state| {
            let limit = if state.limit.is_default() { None } else { Some(state.limit.shown(py)) };
            let objects = [
                ("waiter", state.waiter.shown(py)),
                ("exception", state.exception.as_ref().map(|exception| exception.clone_ref(py))),
                ("transport", state.transport.as_ref().map(|transport| transport.clone_ref(py))),
            ];
            (state.unread.len(py), state.eof, state.paused, limit, objects)
        });
        let mut text = "<StreamReader".to_owned();
        if unread > 0 {
            text += &format!(" {unread} bytes");
        }
        if eof {
            text += " eof";
        }
        if let Some(limit) = limit {
            text += &format!(" limit={}", limit?.repr()?);
        }
        for (name, object) in objects {
            if let Some(object) = object
                && object.bind(py).is_truthy()?
            {
                text += &format!(" {name}={}", object.bind(py).repr()?);
            }
        }
        if paused {
            text += " paused";
        }
        Ok(text + ">")
    }

    /// Read up to `n` bytes as soon as there are any. A negative `n` means everything until the end of input. At the
    /// end return `b""`.
    ///
    /// Raises the exception that ended the connection.
    #[pyo3(signature = (n = Argument::MISSING), text_signature = "($self, n=-1)")]
    fn read(slf: &Bound<'_, Self>, n: Argument) -> Unawaited {
        let n = n.into_option();
        start_read(slf, n.as_ref().map(|n| n.bind(slf.py())))
    }

    /// Read a line, with its `\n`. If the end of input comes first, return what is left, `b""` at the end.
    ///
    /// Raises `ValueError` if the line is longer than the limit; what has arrived of it is dropped.
    fn readline(slf: &Bound<'_, Self>) -> Unawaited {
        if slf.get().overrides.has(READUNTIL) {
            return Delegate::start(slf, Role::Line);
        }
        start(slf, What::Line { scan: Scan::new(), or_stop: false })
    }

    /// Read exactly `n` bytes.
    ///
    /// Raises `IncompleteReadError`, with the bytes that did come, if the end of input comes first; `ValueError` for
    /// a negative `n`.
    #[pyo3(signature = (n))]
    fn readexactly(slf: &Bound<'_, Self>, n: &Bound<'_, PyAny>) -> Unawaited {
        let what = match size(n) {
            Ok(Size::Bytes(count)) => What::Exactly(count),
            Ok(Size::Negative) => {
                refused("readexactly", PyValueError::new_err("readexactly size can not be less than zero"))
            }
            Err(failure) => refused("readexactly", failure),
        };
        start(slf, what)
    }

    /// Read until `separator`, a byte string or a tuple of them; the result includes it.
    ///
    /// Of several separators the one that ends first counts. Raises `IncompleteReadError` if the end of input comes
    /// first; `LimitOverrunError` if the separator isn't within the limit, and then everything stays unread;
    /// `ValueError` for an empty separator.
    #[pyo3(signature = (separator = None), text_signature = "($self, separator=b'\\n')")]
    fn readuntil(slf: &Bound<'_, Self>, separator: Option<&Bound<'_, PyAny>>) -> Unawaited {
        let what = match separators(separator) {
            Ok(separators) => What::Until(Box::new((separators, Scan::new()))),
            Err(failure) => refused("readuntil", failure),
        };
        start(slf, what)
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: &Bound<'_, Self>) -> Unawaited {
        if slf.get().overrides.has(READLINE | READUNTIL) {
            return Delegate::start(slf, Role::Next);
        }
        start(slf, What::Line { scan: Scan::new(), or_stop: true })
    }

    /// Return whether the end of input was fed and everything before it was read.
    fn at_eof(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Self::load_buffer(slf)?;
        Ok(slf.get().state.with(slf.py(), |state| state.eof && state.unread.is_empty()))
    }

    /// Append `data`, a bytes-like object, to the unread data. For the protocol.
    ///
    /// Raises `AssertionError` after `feed_eof()`.
    #[pyo3(signature = (data))]
    fn feed_data(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Some(bytes) = data.as_exactly::<PyBytes>() {
            return feed::put(slf, bytes.clone());
        }
        let bytes = Buffer::to_read(data)?;
        feed::add(slf, |unread, py| bytes.read(py, |bytes| unread.extend(py, bytes)))
    }

    /// Say that nothing more will come. For the protocol.
    fn feed_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        feed::feed_eof(slf)
    }

    /// Return the exception that ended the connection, or `None`.
    pub(crate) fn exception(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.exception.as_ref().map(|exception| exception.clone_ref(py)))
    }

    /// Make every read raise `exc` from now on. For the protocol.
    #[pyo3(signature = (exc))]
    fn set_exception(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        feed::set_exception(slf, exc)
    }

    /// Set the transport that is paused while too much is unread. For the protocol; raises `AssertionError` the
    /// second time.
    #[pyo3(signature = (transport))]
    pub(crate) fn set_transport(&self, py: Python<'_>, transport: Py<PyAny>) -> PyResult<()> {
        let refused = self.state.with(py, |state| match state.transport {
            None => {
                state.transport = Some(transport);
                None
            }
            Some(_) => Some(transport),
        });
        match refused {
            None => Ok(()),
            Some(_) => Err(PyAssertionError::new_err("Transport already set")),
        }
    }

    /// Replace the transport that was set: after `start_tls`.
    #[pyo3(signature = (transport))]
    pub(crate) fn _replace_transport(&self, py: Python<'_>, transport: Py<PyAny>) -> PyResult<()> {
        let old = self.state.with(py, |state| match &mut state.transport {
            Some(known) => Ok(std::mem::replace(known, transport)),
            None => Err(transport),
        });
        match old {
            Ok(_) => Ok(()),
            Err(_) => Err(PyAssertionError::new_err("Transport not set")),
        }
    }

    /// Resume the transport if no more than the limit is unread.
    fn _maybe_resume_transport(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::load_buffer(slf)?;
        feed::maybe_resume(slf)
    }

    /// Wake the waiting read.
    fn _wakeup_waiter(slf: &Bound<'_, Self>) -> PyResult<()> {
        feed::wake_waiter(slf)
    }

    /// Wait until more is fed; for a subclass's own reads.
    ///
    /// Raises `RuntimeError`, with `func_name` in its message, if another read is waiting.
    #[pyo3(signature = (func_name))]
    fn _wait_for_data(slf: &Bound<'_, Self>, func_name: &str) -> Unawaited {
        start(slf, What::Data(func_name.into()))
    }

    // Attributes that libraries read and change.

    /// The unread data: a copy; for subclasses the `bytearray` itself.
    #[getter]
    fn _buffer<'py>(slf: &Bound<'py, Self>) -> Bound<'py, PyAny> {
        python_buffer::buffer(slf).into_any()
    }

    #[setter(_buffer)]
    fn set_buffer(slf: &Bound<'_, Self>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        python_buffer::set_buffer(slf, value)
    }

    #[getter]
    fn _limit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.limit.shown(py))
    }

    #[setter(_limit)]
    fn set_limit(&self, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let limit = Limit::new(value)?;
        let old = self.state.with(value.py(), |state| std::mem::replace(&mut state.limit, limit));
        drop(old);
        Ok(())
    }

    /// The waiting read: an operation, or what was set here.
    #[getter]
    fn _waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.waiter.shown(py))
    }

    #[setter(_waiter)]
    fn set_waiter(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        let waiter = value.map_or(Waiter::Nobody, Waiter::Future);
        let old = self.state.with(py, |state| std::mem::replace(&mut state.waiter, waiter));
        drop(old);
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.event_loop.as_ref().map(|known| known.object(py)))
    }

    #[setter(_loop)]
    fn set_loop(&self, value: &Bound<'_, PyAny>) {
        let event_loop = LoopRef::new(value);
        let old = self.state.with(value.py(), |state| state.event_loop.replace(event_loop));
        drop(old);
    }

    /// Where it was made, in debug mode; else `None`.
    #[getter]
    pub(crate) fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.source_traceback.as_ref().map(|stack| stack.clone_ref(py)))
    }
}

optional_attributes! {
    StreamReader, state;
    _exception: put_exception, exception;
    _transport: put_transport, transport;
}

flag_attributes! {
    StreamReader, state;
    _eof: set_eof, eof;
    _paused: set_paused, paused;
}

impl StreamReader {
    /// Copies Python's changes of `_buffer` into our own buffer.
    #[inline]
    pub(super) fn load_buffer(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().has_python_buffer.load(Ordering::Relaxed) { python_buffer::load(slf) } else { Ok(()) }
    }

    /// Writes the buffer back to `_buffer`. Raises `BufferError` while a view of that exists.
    #[inline]
    pub(super) fn store_buffer(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().has_python_buffer.load(Ordering::Relaxed) { python_buffer::store(slf) } else { Ok(()) }
    }

    /// A plain reader of a loop. Raises `ValueError` unless `limit` is positive.
    pub(super) fn create<'py>(limit: &Bound<'py, PyAny>, event_loop: LoopRef) -> PyResult<Bound<'py, Self>> {
        let py = limit.py();
        let state = State::on(py, Limit::positive(limit)?, event_loop)?;
        Bound::new(
            py,
            Self {
                state: Guarded::new(state),
                overrides: Overrides::none(),
                has_python_buffer: AtomicBool::new(false),
            },
        )
    }
}

impl State {
    /// The state of a new reader, which the running Python code is making.
    fn on(py: Python<'_>, limit: Limit, event_loop: LoopRef) -> PyResult<Self> {
        let source_traceback = if event_loop.debug(py)? { Some(current_stack(py)?.unbind()) } else { None };
        Ok(Self { limit, event_loop: Some(event_loop), source_traceback, ..Self::default() })
    }
}

#[inline]
fn start(reader: &Bound<'_, StreamReader>, what: What) -> Unawaited {
    Unawaited::new(Read::new(reader, what))
}

/// `reader.read(n)`.
#[inline]
fn start_read(reader: &Bound<'_, StreamReader>, n: Option<&Bound<'_, PyAny>>) -> Unawaited {
    let wanted = n.map_or(Ok(Size::Negative), size);
    let what = match wanted {
        Ok(Size::Bytes(most)) => What::Some(most),
        // Everything until the end, block by block: a subclass that has its own `read` is called for each.
        Ok(Size::Negative) if reader.get().overrides.has(READ) => {
            return Delegate::start(reader, Role::All(Vec::new()));
        }
        Ok(Size::Negative) => What::All(None),
        Err(failure) => refused("read", failure),
    };
    start(reader, what)
}

/// How many bytes a caller wants.
enum Size {
    Bytes(usize),
    Negative,
}

/// Raises `TypeError` for anything but an integer.
#[inline]
fn size(n: &Bound<'_, PyAny>) -> PyResult<Size> {
    if let Ok(count) = n.extract::<usize>() {
        return Ok(Size::Bytes(count));
    }
    let integer = match n.as_instance::<PyInt>() {
        Some(integer) => integer.as_any().clone(),
        None => n.call_method0(intern!(n.py(), "__index__")).map_err(|_| {
            PyTypeError::new_err(match n.repr() {
                Ok(shown) => format!("a number of bytes must be an integer, got {shown}"),
                Err(_) => "a number of bytes must be an integer".to_owned(),
            })
        })?,
    };
    // Greater than all sizes: as many as there will be.
    Ok(if integer.lt(0)? { Size::Negative } else { Size::Bytes(usize::MAX) })
}

/// The separators of `readuntil`. Raises `ValueError` if there is none or an empty one, `TypeError` if one isn't
/// bytes-like.
fn separators(given: Option<&Bound<'_, PyAny>>) -> PyResult<Separators> {
    let Some(given) = given else { return Ok(Separators::Byte(b'\n')) };
    let strings = match given.as_instance::<PyTuple>() {
        Some(several) => several.iter().map(|one| separator(&one)).collect::<PyResult<Vec<_>>>()?,
        None => vec![separator(given)?],
    };
    if strings.is_empty() {
        return Err(PyValueError::new_err("Separator should contain at least one element"));
    }
    Separators::new(strings)
        .ok_or_else(|| PyValueError::new_err("Separator should be at least one-byte string"))
}

fn separator(given: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    Ok(Buffer::to_read(given)?.read(given.py(), <[u8]>::to_vec))
}

#[cold]
fn refused(method: &'static str, failure: PyErr) -> What {
    What::Refused(Box::new((method, Some(failure))))
}
