//! `ReadPipeTransport`: the transport of the reading end of a pipe, or of a FIFO, a socket, a terminal.

use std::sync::atomic::AtomicPtr;

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;
use pyo3::types::PyDict;
use pyo3::{PyTraverseError, PyVisit, intern};

use super::receiver::Receiver;
use super::{pipe, report};
use crate::base::class::{Class, Standard};
use crate::base::ffi::finalize::Finalize;
use crate::base::ffi::room::TransportRoom;
use crate::base::ffi::{Guarded, context};
use crate::base::functions::Functions;
use crate::base::{error, imports};
use crate::core::event_loop::descriptors::Side;
use crate::core::event_loop::{Item, Loop};
use crate::core::future::watch;

/// The transport that reads from a pipe: an `asyncio.ReadTransport`.
///
/// Made by the loop's `connect_read_pipe`, and for a subprocess's output.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct ReadPipeTransport {
    home: Py<Loop>,
    fd: i32,
    /// The protocol's methods run in it when the loop calls them.
    context: Py<PyAny>,
    state: Guarded<State>,
    /// What `get_extra_info` knows.
    extra: Py<PyDict>,
}

impl Class for ReadPipeTransport {
    const BELOW: Option<Standard> = Some(("asyncio.unix_events", "_UnixReadPipeTransport"));
}

impl Functions for ReadPipeTransport {}

/// All that changes in a transport's life.
struct State {
    receiver: Receiver,
    /// The file object; `None` once it is closed.
    pipe: Option<Py<PyAny>>,
    /// The loop watches the pipe for it.
    watched: bool,
    /// `connection_made` has been called: from now on it reads.
    started: bool,
    /// By `pause_reading`.
    paused: bool,
    /// `close` was called, or the end has come; `connection_lost` is on its way.
    closing: bool,
}

impl State {
    fn is_reading(&self) -> bool {
        !self.closing && !self.paused
    }

    /// Whether the loop has to be told to watch; `None` if it knows.
    fn changed_watch(&mut self) -> Option<bool> {
        let wanted = self.started && self.is_reading();
        (std::mem::replace(&mut self.watched, wanted) != wanted).then_some(wanted)
    }
}

impl ReadPipeTransport {
    /// The transport of the file object `pipe`, which it puts into non-blocking mode. In the next turn it tells the protocol,
    /// begins to read, and sets the result of `waiter`.
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
        let (fd, _) = pipe::open(file, "Pipe transport is for pipes/sockets only.")?;
        let extra = match extra {
            Some(extra) => extra.copy()?,
            None => PyDict::new(py),
        };
        extra.set_item(intern!(py, "pipe"), file)?;
        let state = State {
            receiver: Receiver::of(protocol)?,
            pipe: Some(file.clone().unbind()),
            watched: false,
            started: false,
            paused: false,
            closing: false,
        };
        let transport = Bound::new(
            py,
            Self {
                home: native.clone().unbind(),
                fd,
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
        self.state.with(py, |state| state.receiver.protocol().map(|protocol| protocol.bind(py).clone()))
    }

    /// Tells the loop whether to watch the descriptor, if that has changed.
    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        match this.state.with(slf.py(), |state| state.changed_watch()) {
            Some(true) => {
                pipe::watch(this.home.bind(slf.py()), this.fd, Side::Reading, slf.as_any(), on_event, false)
            }
            Some(false) => {
                this.home.get().unwatch_side(this.fd, Side::Reading, slf.as_any());
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[pymethods]
impl ReadPipeTransport {
    /// Close: nothing more is read, and the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        end(slf, slf.py().None())
    }

    /// Another name of `close`: there is nothing to wait for.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        end(slf, slf.py().None())
    }

    /// Return whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Return whether the protocol gets what arrives: neither paused nor closing.
    fn is_reading(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.is_reading())
    }

    /// Stop reading until `resume_reading()`. Does nothing while it is paused or closing.
    fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf
            .get()
            .state
            .with(py, |state| state.is_reading() && !std::mem::replace(&mut state.paused, true))
        {
            return Ok(());
        }
        Self::settle_interest(slf)?;
        report::debug(slf.get().home.bind(py), "%r pauses reading", slf.as_any())
    }

    /// Read again. Does nothing unless it is paused.
    fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().state.with(py, |state| !state.closing && std::mem::replace(&mut state.paused, false)) {
            return Ok(());
        }
        Self::settle_interest(slf)?;
        report::debug(slf.get().home.bind(py), "%r resumes reading", slf.as_any())
    }

    /// Let `protocol` have what comes from now on.
    #[pyo3(signature = (protocol))]
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let receiver = Receiver::of(protocol)?;
        let old = self.state.with(protocol.py(), |state| std::mem::replace(&mut state.receiver, receiver));
        drop(old);
        Ok(())
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

    /// Whether `pause_reading()` was called.
    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
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

    fn __repr__(&self, py: Python<'_>) -> String {
        let (closed, closing, polling) =
            self.state.with(py, |state| (state.pipe.is_none(), state.closing, state.watched));
        let word = match (closed, closing) {
            (true, _) => "closed ",
            (false, true) => "closing ",
            (false, false) => "",
        };
        let read = match (closed, polling) {
            (true, _) => "closed",
            // A closed loop watches nothing; the pipe is still open.
            (false, _) if self.home.get().closed() => "open",
            (false, true) => "polling",
            (false, false) => "idle",
        };
        format!("<ReadPipeTransport {word}fd={} {read}>", self.fd)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.state.visit(&visit, |state| {
            // Inside, for on CPython 3.11 the collector may come before the object was written (see `Guarded`).
            visit.call(&self.home)?;
            visit.call(&self.context)?;
            visit.call(&self.extra)?;
            state.receiver.traverse(&visit)?;
            visit.call(&state.pipe)
        })
    }

    fn __clear__(&self, py: Python<'_>) {
        let held = self.state.with(py, |state| std::mem::take(&mut state.receiver));
        drop(held);
        self.extra.bind(py).clear();
    }
}

/// What the loop runs first: `connection_made`; then it reads, then `waiter` is told (`None` if nobody waits).
fn start(owner: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<ReadPipeTransport>()?;
    let py = owner.py();
    let mut made = Ok(());
    if let Some(protocol) = transport.get().protocol(py) {
        made = context::run(transport.get().context.bind(py), |py| {
            protocol.call_method1(intern!(py, "connection_made"), (transport,)).map(drop)
        });
    }
    transport.get().state.with(py, |state| state.started = true);
    let watched = ReadPipeTransport::settle_interest(transport);
    if !waiter.is_none() {
        watch::set_result_unless_done(waiter, py.None().into_bound(py))?;
    }
    made.and(watched)
}

/// The loop's call at each event.
fn on_event<'py>(owner: &Bound<'py, PyAny>, _unused: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<ReadPipeTransport>()?;
    let py = owner.py();
    let this = transport.get();
    let native = this.home.bind(py);
    let receiver = this
        .state
        .with(py, |state| (state.started && state.is_reading()).then(|| state.receiver.clone_ref(py)));
    let Some(receiver) = receiver else { return Ok(()) };
    let scope = this.context.bind(py);
    let read = native.get().read_for(py, this.fd, |bytes| match bytes {
        [] => Ok(true),
        bytes => receiver.deliver(py, scope, bytes).map(|()| false),
    });
    let outcome = match read {
        Ok(None | Some(Ok(false))) => Ok(()),
        Ok(Some(Ok(true))) => end_of_input(native, transport),
        // The protocol's own trouble does not cost it the pipe.
        Ok(Some(Err(failed))) => {
            let protocol = receiver.protocol().map(|protocol| protocol.bind(py));
            report::problem(native, owner, protocol, &failed.error, failed.message)
        }
        Err(failure) => broken(native, transport, &error::from_system(py, &failure), failure.raw_os_error()),
    };
    receiver.drop_ref(py);
    outcome
}

/// Tells the protocol that the other end was closed, then that the connection is lost.
fn end_of_input(native: &Bound<'_, Loop>, transport: &Bound<'_, ReadPipeTransport>) -> PyResult<()> {
    let py = native.py();
    report::debug(native, "%r was closed by peer", transport.as_any())?;
    let owner = transport.clone().into_any().unbind();
    native.get().push(py, Item::Watch(owner, py.None(), tell_end_of_input))?;
    end(transport, py.None())
}

fn tell_end_of_input(owner: &Bound<'_, PyAny>, _unused: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<ReadPipeTransport>()?;
    let py = owner.py();
    match transport.get().protocol(py) {
        Some(protocol) => context::run(transport.get().context.bind(py), |py| {
            protocol.call_method0(intern!(py, "eof_received")).map(drop)
        }),
        None => Ok(()),
    }
}

/// Ends the connection with what a read failed with.
fn broken(
    native: &Bound<'_, Loop>,
    transport: &Bound<'_, ReadPipeTransport>,
    failure: &PyErr,
    number: Option<i32>,
) -> PyResult<()> {
    let py = native.py();
    let protocol = transport.get().protocol(py);
    let message = "Fatal read error on pipe transport";
    // So a terminal says that its other end has gone. Other failures of a pipe are a mistake of the program's.
    let expected =
        number.is_some_and(|number| imports::EIO.get(py).is_ok_and(|eio| eio.eq(number).unwrap_or(false)));
    if expected || !failure.is_instance_of::<PyOSError>(py) {
        report::fatal(native, transport.as_any(), protocol.as_ref(), failure, message)?;
    } else {
        report::problem(native, transport.as_any(), protocol.as_ref(), failure, message)?;
    }
    end(transport, failure.value(py).clone().into_any().unbind())
}

/// Reads no more, and leaves `connection_lost(failure)` to the next turn. Does nothing the second time.
///
/// Raises `RuntimeError` on a closed loop.
fn end(transport: &Bound<'_, ReadPipeTransport>, failure: Py<PyAny>) -> PyResult<()> {
    let py = transport.py();
    if transport.get().state.with(py, |state| std::mem::replace(&mut state.closing, true)) {
        return Ok(());
    }
    ReadPipeTransport::settle_interest(transport)?;
    let owner = transport.clone().into_any().unbind();
    transport.get().home.get().push(py, Item::Watch(owner, failure, lose))
}

/// Tells the protocol that the connection is lost, and closes the pipe whatever the protocol does.
fn lose(owner: &Bound<'_, PyAny>, failure: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<ReadPipeTransport>()?;
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
fn release(transport: &Bound<'_, ReadPipeTransport>) -> PyResult<()> {
    let py = transport.py();
    let taken = transport.get().state.with(py, |state| {
        state.closing = true;
        Some((state.pipe.take()?, std::mem::take(&mut state.receiver)))
    });
    let Some((file, receiver)) = taken else { return Ok(()) };
    ReadPipeTransport::settle_interest(transport)?;
    drop(receiver);
    pipe::close(transport.get().home.bind(py), transport.get().fd, file.bind(py))
}

static DEALLOC: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

impl Finalize for ReadPipeTransport {
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
