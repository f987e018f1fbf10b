//! `ReadPipeTransport`: the transport of the reading end of a pipe, or of a FIFO, a socket, a terminal.

use pyo3::exceptions::PyOSError;
use pyo3::prelude::*;

use super::core::{Core, Order, Own, State, Transport};
use super::methods::{descriptor_methods, extra_attribute, pipe_methods, reading_methods, transport_methods};
use super::pipe::{End, OnPipe};
use super::receiver::{DATA_RECEIVED, Failed};
use super::{lifetime, pipe, report};
use crate::base::class::{Class, Standard};
use crate::base::ffi::protect;
use crate::base::ffi::room::TransportRoom;
use crate::base::functions::Functions;
use crate::base::{error, imports};
use crate::core::event_loop::Item;
use crate::core::event_loop::descriptors::Side;

/// The transport that reads from a pipe: an `asyncio.ReadTransport`.
///
/// Made by the loop's `connect_read_pipe`, and for a subprocess's output.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct ReadPipeTransport {
    core: Core<OnPipe<Input>>,
    fd: i32,
}

impl Class for ReadPipeTransport {
    const BELOW: Option<Standard> = Some(("asyncio.unix_events", "_UnixReadPipeTransport"));
}

impl Functions for ReadPipeTransport {}

transport_methods!(ReadPipeTransport);
descriptor_methods!(ReadPipeTransport);
extra_attribute!(ReadPipeTransport);
reading_methods!(ReadPipeTransport);
pipe_methods!(ReadPipeTransport);

/// What a reading pipe's transport has in addition.
pub(crate) struct Input {
    /// The loop watches the pipe.
    watched: bool,
}

impl End for Input {
    fn is_written(&self) -> bool {
        true
    }

    fn forget_unwritten(&mut self) {}

    fn shown(&self) -> String {
        if self.watched { "polling".to_owned() } else { "idle".to_owned() }
    }
}

impl State<OnPipe<Input>> {
    /// Whether the loop must be told to watch; `None` if it knows.
    fn changed_watch(&mut self) -> Option<bool> {
        let wanted = self.started && self.is_reading();
        (std::mem::replace(&mut self.own.end.watched, wanted) != wanted).then_some(wanted)
    }
}

impl Transport for ReadPipeTransport {
    type Own = OnPipe<Input>;

    fn core(&self) -> &Core<OnPipe<Input>> {
        &self.core
    }

    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let changed = this.core.state.with(slf.py(), State::changed_watch);
        pipe::settle(
            slf,
            this.fd,
            changed,
            pipe::Watching { side: Side::Reading, call: on_event, breakage: false },
        )
    }

    fn close_resource(slf: &Bound<'_, Self>, file: Py<PyAny>) -> PyResult<()> {
        pipe::close(slf, slf.get().fd, &file)
    }
}

impl ReadPipeTransport {
    /// The transport of the file object `pipe`, which it puts into non-blocking mode. In the next turn it tells the protocol,
    /// begins to read, and sets the result of the waiter.
    ///
    /// Raises `ValueError` for a file that can't be waited for, `OSError` for a closed one.
    pub(crate) fn create<'py>(
        order: &Order<'_, 'py>,
        file: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, Self>> {
        let refusal = "Pipe transport is for pipes/sockets only.";
        pipe::create(order, file, refusal, Input { watched: false }, |core, fd, _kind| {
            Bound::new(order.py(), Self { core, fd })
        })
    }
}

#[pymethods]
impl ReadPipeTransport {
    /// Close: nothing more is read, and the protocol's `connection_lost(None)` is called.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }

    /// The same as `close`, because there is nothing to wait for.
    fn abort(slf: &Bound<'_, Self>) -> PyResult<()> {
        lifetime::force_close(slf, None)
    }
}

/// The loop's call at each event.
fn on_event<'py>(owner: &Bound<'py, PyAny>, _unused: &Bound<'py, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<ReadPipeTransport>()?;
    let (py, this) = (owner.py(), transport.get());
    let receiver = this
        .core
        .state
        .with(py, |state| (state.started && state.is_reading()).then(|| state.receiver.clone_ref(py)));
    let Some(receiver) = receiver else { return Ok(()) };
    let scope = this.core.context.bind(py);
    let read = this.core.event_loop.get().receiving().read_for(py, this.fd, |bytes| match bytes {
        [] => Ok(true),
        bytes => deliver(transport, || receiver.deliver(py, scope, bytes)).map(|()| false),
    });
    let outcome = match read {
        Ok(None | Some(Ok(false))) => Ok(()),
        Ok(Some(Ok(true))) => end_of_input(transport),
        // The protocol's own error doesn't end the transport.
        Ok(Some(Err(failed))) => report::problem(transport, &failed.error, failed.message),
        Err(failure) => broken(transport, &error::from_system(py, &failure), failure.raw_os_error()),
    };
    receiver.drop_ref(py);
    outcome
}

/// Runs `body`, which hands bytes to the protocol. If it panics, the connection ends.
fn deliver(
    transport: &Bound<'_, ReadPipeTransport>,
    body: impl FnOnce() -> Result<(), Failed>,
) -> Result<(), Failed> {
    protect::caught(transport.py(), body).unwrap_or_else(|error| {
        let closed = lifetime::force_close(transport, Some(error.value(transport.py()).as_any()));
        Err(Failed { message: DATA_RECEIVED, error: closed.err().unwrap_or(error) })
    })
}

/// Tells the protocol that the other end was closed, and then that the connection is lost.
fn end_of_input(transport: &Bound<'_, ReadPipeTransport>) -> PyResult<()> {
    let (py, event_loop) = (transport.py(), &transport.get().core.event_loop);
    report::debug(event_loop.bind(py), "%r was closed by peer", transport.as_any())?;
    let owner = transport.clone().into_any().unbind();
    event_loop.get().push(py, Item::Watch(owner, py.None(), tell_end_of_input))?;
    lifetime::force_close(transport, None)
}

fn tell_end_of_input(owner: &Bound<'_, PyAny>, _unused: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<ReadPipeTransport>()?;
    let told = lifetime::tell(transport, |protocol| {
        protocol.call_method0(intern!(protocol.py(), "eof_received")).map(drop)
    });
    lifetime::reported(transport, told)
}

/// Ends the connection with the error of a read.
fn broken(transport: &Bound<'_, ReadPipeTransport>, failure: &PyErr, number: Option<i32>) -> PyResult<()> {
    let py = transport.py();
    let message = "Fatal read error on pipe transport";
    // A terminal reports in this way that its other end has gone. Other errors of a pipe are mistakes in the program.
    let expected =
        number.is_some_and(|number| imports::EIO.get(py).is_ok_and(|eio| eio.eq(number).unwrap_or(false)));
    if expected || !failure.is_instance_of::<PyOSError>(py) {
        return lifetime::fatal(transport, failure, message);
    }
    report::problem(transport, failure, message)?;
    lifetime::force_close(transport, Some(failure.value(py).as_any()))
}
