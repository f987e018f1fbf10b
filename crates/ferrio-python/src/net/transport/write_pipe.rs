//! `WritePipeTransport`: the transport of the writing end of a pipe, or of a FIFO, a socket, a terminal.
//!
//! The kernel tells of a reader that went away without being asked: a pipe by an error, a socket by input, which nobody is
//! to send here. A terminal says nothing until it is written to.

use std::sync::atomic::AtomicPtr;

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::net::FileKind;
use pyo3::exceptions::PyBrokenPipeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyDict};
use pyo3::{PyTraverseError, PyVisit, intern};

use super::outgoing::{Outgoing, Piece};
use super::{pipe, report, socket};
use crate::base::class::{Class, Standard};
use crate::base::ffi::finalize::Finalize;
use crate::base::ffi::room::TransportRoom;
use crate::base::ffi::{Guarded, context};
use crate::base::functions::Functions;
use crate::base::whole::Whole;
use crate::base::{error, imports};
use crate::core::event_loop::descriptors::Side;
use crate::core::event_loop::{Item, Loop};
use crate::core::future::callbacks::WatcherCall;
use crate::core::future::watch;

/// From how many writes after the end on a program is told that they go nowhere.
const WRITES_BEFORE_WARNING: u32 = 5;

/// The transport that writes to a pipe: an `asyncio.WriteTransport`.
///
/// Made by the loop's `connect_write_pipe`, and for a subprocess's input.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct WritePipeTransport {
    home: Py<Loop>,
    fd: i32,
    kind: FileKind,
    /// The protocol's methods run in it when the loop calls them.
    context: Py<PyAny>,
    state: Guarded<State>,
    /// What `get_extra_info` knows.
    extra: Py<PyDict>,
}

impl Class for WritePipeTransport {
    const BELOW: Option<Standard> = Some(("asyncio.unix_events", "_UnixWritePipeTransport"));
}

impl Functions for WritePipeTransport {}

/// All that changes in a transport's life.
struct State {
    /// `None` once the connection is lost.
    protocol: Option<Py<PyAny>>,
    /// The file object; `None` once it is closed.
    pipe: Option<Py<PyAny>>,
    outgoing: Outgoing,
    marks: Watermarks,
    /// The loop watches the side for reading, on which the other end's going shows.
    watches_peer: bool,
    /// The loop watches the side for writing.
    watches_room: bool,
    /// `connection_made` has been called.
    started: bool,
    /// `close` or `write_eof` was called, or the connection failed.
    closing: bool,
    /// `connection_lost` is on its way.
    ended: bool,
    /// How often somebody wrote in vain.
    lost: u32,
}

impl State {
    /// For each side, that for reading first, whether the loop has to be told to watch it; `None` if it knows.
    fn changed_watch(&mut self, kind: FileKind) -> [Option<bool>; 2] {
        let peer = !self.ended && self.started && matches!(kind, FileKind::Socket | FileKind::Pipe);
        let room = !self.ended && !self.outgoing.is_empty();
        let changed =
            |known: &mut bool, wanted: bool| (std::mem::replace(known, wanted) != wanted).then_some(wanted);
        [changed(&mut self.watches_peer, peer), changed(&mut self.watches_room, room)]
    }
}

/// What became of data that was written.
enum Written {
    All,
    /// Some waits.
    Part,
    /// There is no connection; so many writes came before.
    Lost(u32),
    Failed(std::io::Error),
}

impl WritePipeTransport {
    /// The transport of the file object `pipe`, which it puts into non-blocking mode. In the next turn it tells the protocol
    /// and sets the result of `waiter`.
    ///
    /// Raises `ValueError` for a file that can't be waited for, `OSError` for a closed one.
    pub(crate) fn create<'py>(
        native: &Bound<'py, Loop>,
        file: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        waiter: Option<&Bound<'py, PyAny>>,
        extra: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = native.py();
        native.get().require_open()?;
        let (fd, kind) = pipe::open(file, "Pipe transport is only for pipes, sockets and character devices")?;
        let extra = match extra {
            Some(extra) => extra.copy()?,
            None => PyDict::new(py),
        };
        extra.set_item(intern!(py, "pipe"), file)?;
        let state = State {
            protocol: Some(protocol.clone().unbind()),
            pipe: Some(file.clone().unbind()),
            outgoing: Outgoing::default(),
            marks: Watermarks::default(),
            watches_peer: false,
            watches_room: false,
            started: false,
            closing: false,
            ended: false,
            lost: 0,
        };
        let transport = Bound::new(
            py,
            Self {
                home: native.clone().unbind(),
                fd,
                kind,
                context: context::copy_current(py)?.unbind(),
                state: Guarded::new(state),
                extra: extra.unbind(),
            },
        )?;
        let waiter = waiter.map_or_else(|| py.None(), |waiter| waiter.clone().unbind());
        native.get().push(py, Item::Watch(transport.clone().into_any().unbind(), waiter, start))?;
        Ok(transport)
    }

    fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
    }

    /// Tells the loop what to watch the descriptor for, if that has changed.
    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let changed = this.state.with(py, |state| state.changed_watch(this.kind));
        let calls: [(Side, WatcherCall, bool); 2] =
            [(Side::Reading, peer_gone, this.kind == FileKind::Pipe), (Side::Writing, has_room, false)];
        for (wanted, (side, call, breakage)) in changed.into_iter().zip(calls) {
            match wanted {
                Some(true) => pipe::watch(this.home.bind(py), this.fd, side, slf.as_any(), call, breakage)?,
                Some(false) => this.home.get().unwatch_side(this.fd, side, slf.as_any()),
                None => {}
            }
        }
        Ok(())
    }
}

#[pymethods]
impl WritePipeTransport {
    /// Write `data` (`bytes`, `bytearray` or `memoryview`), at once or when the pipe has room; never blocks. After the end of
    /// the connection `data` is dropped.
    ///
    /// Raises `TypeError` for anything else.
    #[pyo3(signature = (data))]
    fn write(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        match Piece::new(data)? {
            Some(piece) => write(slf, piece),
            None => Ok(()),
        }
    }

    /// Close once everything is written, which is the reader's end of input.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Return `True`.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close: what waits is written, then the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        close(slf)
    }

    /// Close at once: what waits is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        end(slf, slf.py().None())
    }

    /// Return whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Set how many bytes may wait to be written: above `high` the protocol's `pause_writing()` is called, at `low` or below
    /// its `resume_writing()`. Without arguments 64 KiB and a quarter of `high`.
    ///
    /// Raises `ValueError` unless `high >= low >= 0`.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        slf: &Bound<'_, Self>,
        high: Option<Whole>,
        low: Option<Whole>,
    ) -> PyResult<()> {
        let (high, low) = socket::limits(high, low)?;
        // `limits` has checked them.
        let _ = slf.get().state.with(slf.py(), |state| state.marks.set(high, low));
        pause_if_full(slf)
    }

    /// Return the marks as `(low, high)`, in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
        self.state.with(py, |state| (state.marks.low(), state.marks.high()))
    }

    /// Return how many bytes wait to be written.
    fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.outgoing.size())
    }

    /// Let `protocol` be called from now on.
    #[pyo3(signature = (protocol))]
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) {
        let held = protocol.clone().unbind();
        let old = self.state.with(protocol.py(), |state| state.protocol.replace(held));
        drop(old);
    }

    /// Return the protocol, `None` once the connection is lost.
    fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// The file object, `None` once it is closed. Set to `None` it is the program's again, whatever becomes of the transport.
    #[getter]
    fn _pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.pipe.as_ref().map(|pipe| pipe.clone_ref(py)))
    }

    #[setter(_pipe)]
    fn set_pipe(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        let old = self.state.with(py, |state| std::mem::replace(&mut state.pipe, value));
        drop(old);
    }

    /// Whether the transport is closing or closed.
    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    /// The protocol, `None` once the connection is lost.
    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// What the inherited `get_extra_info` looks into.
    #[getter]
    fn _extra(&self, py: Python<'_>) -> Py<PyDict> {
        self.extra.clone_ref(py)
    }

    /// What waits to be written, a copy.
    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> Bound<'py, PyByteArray> {
        let pieces = self.state.with(py, |state| state.outgoing.copy(py));
        PyByteArray::new(py, &pieces.concat())
    }

    /// How often somebody wrote after the end.
    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost)
    }

    /// Above how many bytes that wait the protocol is told to pause.
    #[getter]
    fn _high_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.marks.high())
    }

    /// From how many bytes that wait on the protocol is told to go on.
    #[getter]
    fn _low_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.marks.low())
    }

    #[getter]
    fn _fileno(&self) -> i32 {
        self.fd
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, Loop>> {
        let open = self.state.with(py, |state| state.pipe.is_some());
        open.then(|| self.home.bind(py).clone())
    }

    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.marks.is_paused())
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        let (closed, closing, size) =
            self.state.with(py, |state| (state.pipe.is_none(), state.closing, state.outgoing.size()));
        let word = match (closed, closing) {
            (true, _) => "closed ",
            (false, true) => "closing ",
            (false, false) => "",
        };
        let write = match (closed, size) {
            (true, _) => "closed".to_owned(),
            // A closed loop watches nothing; the pipe is still open.
            (false, _) if self.home.get().closed() => "open".to_owned(),
            (false, 0) => "idle bufsize=0".to_owned(),
            (false, size) => format!("polling bufsize={size}"),
        };
        format!("<WritePipeTransport {word}fd={} {write}>", self.fd)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            // Inside, for on CPython 3.11 the collector may come before the object was written (see `Guarded`).
            visit.call(&self.home)?;
            visit.call(&self.context)?;
            visit.call(&self.extra)?;
            visit.call(&state.protocol)?;
            visit.call(&state.pipe)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self.state.with(py, |state| state.protocol.take());
        drop(held);
        self.extra.bind(py).clear();
    }
}

/// What the loop runs first: `connection_made`; then it looks out for the reader's end, then `waiter` is told (`None` if
/// nobody waits).
fn start(owner: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<WritePipeTransport>()?;
    let py = owner.py();
    let mut made = Ok(());
    if let Some(protocol) = transport.get().protocol(py) {
        made = context::run(transport.get().context.bind(py), |py| {
            protocol.call_method1(intern!(py, "connection_made"), (transport,)).map(drop)
        });
    }
    transport.get().state.with(py, |state| state.started = true);
    let watched = WritePipeTransport::settle_interest(transport);
    if !waiter.is_none() {
        watch::set_result_unless_done(waiter, py.None().into_bound(py))?;
    }
    made.and(watched)
}

/// The loop's call when the other end has gone; a terminal learns of it by writing.
fn peer_gone<'py>(owner: &Bound<'py, PyAny>, _unused: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<WritePipeTransport>()?;
    let (py, this) = (owner.py(), transport.get());
    let (ended, unsent) = this.state.with(py, |state| (state.ended, !state.outgoing.is_empty()));
    if ended {
        return Ok(());
    }
    report::debug(this.home.bind(py), "%r was closed by peer", owner)?;
    let failure = if unsent { PyBrokenPipeError::new_err(()).into_value(py).into_any() } else { py.None() };
    end(transport, failure)
}

/// The loop's call when there is room to write.
fn has_room<'py>(owner: &Bound<'py, PyAny>, _unused: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<WritePipeTransport>()?;
    context::run(transport.get().context.bind(owner.py()), |_| flush(transport))
}

fn write(transport: &Bound<'_, WritePipeTransport>, piece: Piece) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let written = this.state.with(py, |state| {
        if state.lost > 0 || state.closing {
            state.lost = state.lost.saturating_add(1);
            return Written::Lost(state.lost - 1);
        }
        let waits = !state.outgoing.is_empty();
        state.outgoing.push(py, piece);
        if waits {
            return Written::Part;
        }
        match state.outgoing.write(this.home.bind(py), this.fd) {
            Ok(true) => Written::All,
            Ok(false) => Written::Part,
            Err(failure) => Written::Failed(failure),
        }
    });
    match written {
        Written::All => Ok(()),
        Written::Part => {
            WritePipeTransport::settle_interest(transport)?;
            pause_if_full(transport)
        }
        Written::Lost(before) if before < WRITES_BEFORE_WARNING => Ok(()),
        Written::Lost(_) => {
            let text = "pipe closed by peer or os.write(pipe, data) raised exception.";
            imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), (text,)).map(drop)
        }
        Written::Failed(failure) => broken(transport, &failure),
    }
}

/// Writes what waits, as far as the pipe takes it.
fn flush(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let outcome = this.state.with(py, |state| {
        if state.ended || state.outgoing.is_empty() {
            return Ok(false);
        }
        state.outgoing.write(this.home.bind(py), this.fd)?;
        Ok(state.marks.may_resume(state.outgoing.size()))
    });
    match outcome {
        Ok(resumes) => {
            if resumes {
                tell_flow(transport, "resume_writing", "protocol.resume_writing() failed")?;
            }
            WritePipeTransport::settle_interest(transport)?;
            finish_if_written(transport)
        }
        Err(failure) => broken(transport, &failure),
    }
}

/// Ends the connection with what a write failed with.
#[cold]
fn broken(transport: &Bound<'_, WritePipeTransport>, failure: &std::io::Error) -> PyResult<()> {
    let py = transport.py();
    let failure = error::from_system(py, failure);
    transport.get().state.with(py, |state| state.lost += 1);
    let (native, protocol) = (transport.get().home.bind(py), transport.get().protocol(py));
    let message = "Fatal write error on pipe transport";
    report::fatal(native, transport.as_any(), protocol.as_ref(), &failure, message)?;
    end(transport, failure.value(py).clone().into_any().unbind())
}

fn close(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    if transport.get().state.with(py, |state| std::mem::replace(&mut state.closing, true)) {
        return Ok(());
    }
    finish_if_written(transport)
}

/// Ends a closing transport that has nothing left to write.
fn finish_if_written(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let done = transport.get().state.with(py, |state| state.closing && state.outgoing.is_empty());
    if done { end(transport, py.None()) } else { Ok(()) }
}

/// Writes no more, and leaves `connection_lost(failure)` to the next turn. Does nothing the second time.
///
/// Raises `RuntimeError` on a closed loop.
fn end(transport: &Bound<'_, WritePipeTransport>, failure: Py<PyAny>) -> PyResult<()> {
    let py = transport.py();
    let again = transport.get().state.with(py, |state| {
        state.closing = true;
        state.outgoing.clear();
        std::mem::replace(&mut state.ended, true)
    });
    if again {
        return Ok(());
    }
    WritePipeTransport::settle_interest(transport)?;
    let owner = transport.clone().into_any().unbind();
    transport.get().home.get().push(py, Item::Watch(owner, failure, lose))
}

/// Tells the protocol that the connection is lost, and closes the pipe whatever the protocol does.
fn lose(owner: &Bound<'_, PyAny>, failure: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<WritePipeTransport>()?;
    let py = owner.py();
    let told = match transport.get().protocol(py) {
        Some(protocol) => context::run(transport.get().context.bind(py), |py| {
            protocol.call_method1(intern!(py, "connection_lost"), (failure,)).map(drop)
        }),
        None => Ok(()),
    };
    let closed = release(transport);
    told.and(closed)
}

/// Closes the pipe and lets go of everything. Does nothing the second time.
fn release(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let taken = transport.get().state.with(py, |state| {
        (state.closing, state.ended) = (true, true);
        state.outgoing.clear();
        Some((state.pipe.take()?, state.protocol.take()))
    });
    let Some((file, protocol)) = taken else { return Ok(()) };
    WritePipeTransport::settle_interest(transport)?;
    drop(protocol);
    pipe::close(transport.get().home.bind(py), transport.get().fd, file.bind(py))
}

/// Tells the protocol to stop writing if too much waits.
fn pause_if_full(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let full =
        transport.get().state.with(transport.py(), |state| state.marks.must_pause(state.outgoing.size()));
    if full { tell_flow(transport, "pause_writing", "protocol.pause_writing() failed") } else { Ok(()) }
}

fn tell_flow(transport: &Bound<'_, WritePipeTransport>, method: &str, message: &str) -> PyResult<()> {
    let py = transport.py();
    let Some(protocol) = transport.get().protocol(py) else { return Ok(()) };
    match protocol.call_method0(method) {
        Ok(_) => Ok(()),
        Err(failure) => {
            let native = transport.get().home.bind(py);
            report::problem(native, transport.as_any(), Some(&protocol), &failure, message)
        }
    }
}

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for WritePipeTransport {
    fn wants_finalize(slf: &Bound<'_, Self>) -> bool {
        slf.get().state.with(slf.py(), |state| state.pipe.is_some())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let warned = report::unclosed(slf.as_any());
        let released = release(slf);
        warned.and(released)
    }

    fn original_dealloc() -> &'static AtomicPtr<()> {
        &DEALLOC
    }
}
