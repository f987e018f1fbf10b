//! The protocol of a child's pipes, which passes everything on to the child's own protocol.
//!
//! Data for a stream reader goes there directly, without a Python call.
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::exit;
use super::transport::SubprocessTransport;
use crate::base::class::Class;
use crate::base::ffi::{Guarded, interpreter};
use crate::base::gc::{collected, gc};
use crate::core::event_loop::Item;
use crate::net::streams::feed;
use crate::net::streams::reader::StreamReader;
use crate::net::transport::native::NativeProtocol;

/// The protocol of one pipe of a child.
#[pyclass(frozen, weakref, module = "ferrio._ferrio")]
pub(crate) struct PipeProtocol {
    /// The child's descriptor: 0, 1 or 2.
    fd: usize,
    state: Guarded<State>,
}

collected!(PipeProtocol { state } not { fd }, clear { state { process, reader } });

impl Class for PipeProtocol {}

struct State {
    /// `None` after the pipe is closed.
    process: Option<Py<SubprocessTransport>>,
    /// Gets data directly, without the child's protocol.
    reader: Option<Py<StreamReader>>,
}

gc!(State { process, reader });

impl PipeProtocol {
    pub(super) fn new(process: &Bound<'_, SubprocessTransport>, fd: usize) -> Self {
        Self { fd, state: Guarded::new(State { process: Some(process.clone().unbind()), reader: None }) }
    }

    /// Makes data go to `reader` from now on.
    pub(super) fn feed(&self, reader: &Bound<'_, StreamReader>) {
        let held = reader.clone().unbind();
        let old = self.state.with(reader.py(), |state| state.reader.replace(held));
        drop(old);
    }

    fn process<'py>(&self, py: Python<'py>) -> Option<Bound<'py, SubprocessTransport>> {
        self.state.with(py, |state| state.process.as_ref().map(|process| process.bind(py).clone()))
    }

    fn receive(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        let Some(process) = self.process(py) else { return Ok(()) };
        let reader = self.state.with(py, |state| state.reader.as_ref().map(|reader| reader.clone_ref(py)));
        if let Some(reader) = reader {
            let event_loop = process.get().core.event_loop.get();
            if event_loop.is_busy(py) {
                let data = PyBytes::new(py, data).into_any().unbind();
                return event_loop.push(py, Item::Watch(reader.into_any(), data, feed_late));
            }
            let outcome = feed::feed(reader.bind(py), data);
            reader.drop_ref(py);
            return outcome;
        }
        let arguments = (self.fd, PyBytes::new(py, data)).into_pyobject(py)?;
        SubprocessTransport::call(&process, intern!(py, "pipe_data_received"), arguments)
    }

    /// Calls a method of the child's protocol during a call of the pipe's method.
    fn pass_on(&self, py: Python<'_>, method: &str) -> PyResult<()> {
        let Some(protocol) = self.process(py).and_then(|process| process.get().core.protocol(py)) else {
            return Ok(());
        };
        protocol.call_method0(method).map(drop)
    }
}

#[pymethods]
impl PipeProtocol {
    /// The pipe's transport exists; the child's protocol is told when all of them do.
    #[pyo3(signature = (transport))]
    fn connection_made(&self, transport: &Bound<'_, PyAny>) {
        let _ = transport;
    }

    /// Data has come from the child.
    #[pyo3(signature = (data))]
    fn data_received(&self, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        self.receive(data.py(), data.as_bytes())
    }

    /// The child has closed its end; the end of the pipe follows.
    fn eof_received(&self) {}

    fn pause_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.pass_on(py, "pause_writing")
    }

    fn resume_writing(&self, py: Python<'_>) -> PyResult<()> {
        self.pass_on(py, "resume_writing")
    }

    /// The pipe is closed, because of the exception `exc` if there is one.
    #[pyo3(signature = (exc))]
    fn connection_lost(&self, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = exc.py();
        let (process, reader) = self.state.with(py, |state| (state.process.take(), state.reader.take()));
        drop(reader);
        let Some(process) = process else { return Ok(()) };
        let process = process.bind(py);
        process.get().core.state.with(py, |state| {
            if let Some(pipe) = &mut state.own.pipes[self.fd] {
                pipe.disconnected = true;
            }
        });
        let arguments = (self.fd, exc).into_pyobject(py)?;
        let told = SubprocessTransport::call(process, intern!(py, "pipe_connection_lost"), arguments);
        told.and(exit::finish_if_over(process))
    }

    fn __repr__(&self) -> String {
        format!("<PipeProtocol fd={}>", self.fd)
    }
}

/// Gives `data` to `reader` in a turn of its own.
fn feed_late(reader: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    feed::feed(reader.cast::<StreamReader>()?, data.cast::<PyBytes>()?.as_bytes())
}

inventory::submit! { NativeProtocol::new(interpreter::is_exactly::<PipeProtocol>, take) }

/// Takes what the pipe's transport has read.
fn take(protocol: &Bound<'_, PyAny>, data: &[u8]) -> PyResult<()> {
    protocol.cast::<PipeProtocol>()?.get().receive(protocol.py(), data)
}
