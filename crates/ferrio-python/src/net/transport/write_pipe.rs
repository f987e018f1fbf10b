//! `WritePipeTransport`: the transport of the writing end of a pipe, or of a FIFO, a socket, a terminal.
//!
//! The kernel reports that the reader has gone: for a pipe as an error, for a socket as input, which nobody should
//! send here. A terminal only reports it when it is written to.

use ferrio_engine::buffer::Watermarks;
use ferrio_engine::net::FileKind;
use pyo3::exceptions::PyBrokenPipeError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use super::core::{Core, Order, Own, State, Transport};
use super::flow::{self, Writes};
use super::methods::{descriptor_methods, extra_attribute, pipe_methods, transport_methods, writing_methods};
use super::outgoing::{Outgoing, Piece};
use super::pipe::{End, OnPipe, Watching};
use super::{lifetime, pipe, report};
use crate::base::class::{Class, Standard};
use crate::base::ffi::context;
use crate::base::ffi::room::TransportRoom;
use crate::base::functions::Functions;
use crate::base::{error, imports};
use crate::core::event_loop::descriptors::Side;

/// How many writes after the end are ignored silently; later ones warn that they have no effect.
const WRITES_BEFORE_WARNING: u32 = 5;

/// The transport that writes to a pipe: an `asyncio.WriteTransport`.
///
/// Made by the loop's `connect_write_pipe`, and for a subprocess's input.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct WritePipeTransport {
    core: Core<OnPipe<Output>>,
    fd: i32,
    kind: FileKind,
}

impl Class for WritePipeTransport {
    const BELOW: Option<Standard> = Some(("asyncio.unix_events", "_UnixWritePipeTransport"));
}

impl Functions for WritePipeTransport {}

transport_methods!(WritePipeTransport);
descriptor_methods!(WritePipeTransport);
extra_attribute!(WritePipeTransport);
writing_methods!(WritePipeTransport);
pipe_methods!(WritePipeTransport);

/// What a writing pipe's transport has in addition.
#[derive(Default)]
pub(crate) struct Output {
    outgoing: Outgoing,
    marks: Watermarks,
    /// The loop watches the reading side, which shows that the other end has gone.
    watches_peer: bool,
    /// The loop watches the side for writing.
    watches_room: bool,
}

impl End for Output {
    fn is_written(&self) -> bool {
        self.outgoing.is_empty()
    }

    fn forget_unwritten(&mut self) {
        self.outgoing.clear();
    }

    fn shown(&self) -> String {
        match self.outgoing.size() {
            0 => "idle bufsize=0".to_owned(),
            size => format!("polling bufsize={size}"),
        }
    }
}

impl State<OnPipe<Output>> {
    /// For the reading side, then for the writing side: whether the loop must be told to watch it; `None` if it
    /// knows.
    fn changed_watch(&mut self, kind: FileKind) -> [Option<bool>; 2] {
        let peer = !self.ended && self.started && matches!(kind, FileKind::Socket | FileKind::Pipe);
        let room = !self.ended && !self.own.end.outgoing.is_empty();
        let changed =
            |known: &mut bool, wanted: bool| (std::mem::replace(known, wanted) != wanted).then_some(wanted);
        [changed(&mut self.own.end.watches_peer, peer), changed(&mut self.own.end.watches_room, room)]
    }
}

impl Transport for WritePipeTransport {
    type Own = OnPipe<Output>;

    fn core(&self) -> &Core<OnPipe<Output>> {
        &self.core
    }

    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let [peer, room] = this.core.state.with(slf.py(), |state| state.changed_watch(this.kind));
        let breakage = this.kind == FileKind::Pipe;
        pipe::settle(slf, this.fd, peer, Watching { side: Side::Reading, call: peer_gone, breakage })?;
        pipe::settle(slf, this.fd, room, Watching { side: Side::Writing, call: has_room, breakage: false })
    }

    fn close_resource(slf: &Bound<'_, Self>, file: Py<PyAny>) -> PyResult<()> {
        pipe::close(slf, slf.get().fd, &file)
    }
}

impl Writes for WritePipeTransport {
    fn marks(own: &mut OnPipe<Output>) -> &mut Watermarks {
        &mut own.end.marks
    }

    fn unsent(own: &OnPipe<Output>) -> usize {
        own.end.outgoing.size()
    }
}

/// What happened to written data.
enum Written {
    All,
    /// Some waits.
    Part,
    /// There is no connection; this is the number of writes before.
    Lost(u32),
    Failed(std::io::Error),
}

impl WritePipeTransport {
    /// The transport of the file object `pipe`, which it puts into non-blocking mode. In the next turn it tells the protocol
    /// and sets the result of the waiter.
    ///
    /// Raises `ValueError` for a file that can't be waited for, `OSError` for a closed one.
    pub(crate) fn create<'py>(
        order: &Order<'_, 'py>,
        file: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let refusal = "Pipe transport is only for pipes, sockets and character devices";
        pipe::create(order, file, refusal, Output::default(), |core, fd, kind| {
            Bound::new(order.py(), Self { core, fd, kind })
        })
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

    /// Close after everything is written, so that the reader gets the end of input.
    fn write_eof(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::close(slf)
    }

    /// Return `True`.
    fn can_write_eof(&self) -> bool {
        true
    }

    /// Close: what waits is written, then the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::close(slf)
    }

    /// Close at once: what waits is dropped.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }

    /// What waits to be written, a copy.
    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> Bound<'py, PyByteArray> {
        let pieces = self.core.state.with(py, |state| state.own.end.outgoing.copy(py));
        PyByteArray::new(py, &pieces.concat())
    }

    /// How often the program wrote after the end.
    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.core.state.with(py, |state| state.lost_writes)
    }
}

/// The loop's call when the other end has gone; for a terminal, only a write shows that.
fn peer_gone<'py>(owner: &Bound<'py, PyAny>, _unused: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<WritePipeTransport>()?;
    let (py, core) = (owner.py(), &transport.get().core);
    let (ended, sent) = core.state.with(py, |state| (state.ended, state.own.is_sent()));
    if ended {
        return Ok(());
    }
    report::debug(core.event_loop.bind(py), "%r was closed by peer", owner)?;
    if sent {
        return lifetime::force_close(transport, None);
    }
    lifetime::force_close(transport, Some(PyBrokenPipeError::new_err(()).into_value(py).bind(py)))
}

/// The loop's call when there is room to write.
fn has_room<'py>(owner: &Bound<'py, PyAny>, _unused: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<WritePipeTransport>()?;
    context::run(transport.get().core.context.bind(owner.py()), |_| flush(transport))
}

fn write(transport: &Bound<'_, WritePipeTransport>, piece: Piece) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let written = this.core.state.with(py, |state| {
        if state.lost_writes > 0 || state.closing {
            state.lost_writes = state.lost_writes.saturating_add(1);
            return Ok(Written::Lost(state.lost_writes - 1));
        }
        let waits = !state.own.is_sent();
        state.own.end.outgoing.push(py, piece)?;
        if waits {
            return Ok(Written::Part);
        }
        PyResult::Ok(match state.own.end.outgoing.write(this.core.event_loop.bind(py), this.fd) {
            Ok(true) => Written::All,
            Ok(false) => Written::Part,
            Err(failure) => Written::Failed(failure),
        })
    });
    match written? {
        Written::All => Ok(()),
        Written::Part => {
            WritePipeTransport::settle_interest(transport)?;
            flow::pause_if_full(transport)
        }
        Written::Lost(before) if before < WRITES_BEFORE_WARNING => Ok(()),
        Written::Lost(_) => {
            let text = "pipe closed by peer or os.write(pipe, data) raised exception.";
            imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), (text,)).map(drop)
        }
        Written::Failed(failure) => broken(transport, &failure),
    }
}

/// Writes waiting data while the pipe accepts it.
fn flush(transport: &Bound<'_, WritePipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let this = transport.get();
    let outcome = this.core.state.with(py, |state| {
        if state.ended || state.own.is_sent() {
            return Ok(false);
        }
        state.own.end.outgoing.write(this.core.event_loop.bind(py), this.fd)?;
        Ok(state.own.end.marks.may_resume(state.own.end.outgoing.size()))
    });
    match outcome {
        Ok(resumes) => {
            if resumes {
                flow::resume(transport)?;
            }
            WritePipeTransport::settle_interest(transport)?;
            lifetime::finish(transport)
        }
        Err(failure) => broken(transport, &failure),
    }
}

/// Ends the connection with the error of a write.
#[cold]
fn broken(transport: &Bound<'_, WritePipeTransport>, failure: &std::io::Error) -> PyResult<()> {
    let py = transport.py();
    transport.get().core.state.with(py, |state| state.lost_writes += 1);
    lifetime::fatal(transport, &error::from_system(py, failure), "Fatal write error on pipe transport")
}
