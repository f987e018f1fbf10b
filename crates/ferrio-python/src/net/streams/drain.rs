//! The operations behind `drain()` and `wait_closed()`.
//!
//! A drain whose writer isn't paused ends without suspending. On a closing transport it first lets one turn pass, so
//! that a program which writes and drains in a loop notices the end.

use pyo3::exceptions::PyConnectionResetError;
use pyo3::prelude::*;

use super::flow::FlowControlMixin;
use super::protocol::StreamReaderProtocol;
use super::reader::StreamReader;
use super::writer::StreamWriter;
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::ffi::raise::raise;
use crate::base::gc::gc;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::net::transport;
use crate::sync::locks::waiters::Ticket;

/// `writer.drain()`, or `protocol._drain_helper()`.
pub(crate) struct Drain {
    /// `None` for the protocol's own.
    writer: Option<Py<StreamWriter>>,
    /// The protocol, after it was asked.
    flow: Option<Py<FlowControlMixin>>,
    stage: Stage,
}

gc!(Drain { writer, flow, stage });

enum Stage {
    Fresh,
    /// One turn passes.
    Yielded,
    /// In the protocol's list.
    Waiting(Ticket),
    /// A protocol's own `_drain_helper()` is awaited.
    Awaiting(Py<PyAny>),
}

gc!(match Stage {
    Self::Awaiting(inner) => (inner),
    Self::Fresh | Self::Yielded | Self::Waiting(_) => (),
});

impl Drain {
    #[inline]
    pub(super) fn of_writer(writer: &Bound<'_, StreamWriter>) -> Self {
        Self { writer: Some(writer.clone().unbind()), flow: None, stage: Stage::Fresh }
    }

    pub(super) fn helper(flow: &Bound<'_, FlowControlMixin>) -> Self {
        Self { writer: None, flow: Some(flow.clone().unbind()), stage: Stage::Fresh }
    }

    /// Asks the protocol whether there is anything to wait for, and waits.
    #[inline]
    fn ask_protocol<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Some(writer) = &self.writer {
            let protocol = writer.get().protocol(py)?;
            match protocol.as_instance::<FlowControlMixin>() {
                Some(flow) if !flow.get().drains_itself() => {
                    if free(flow)? {
                        return Ok(Progress::Ready(py.None().into_bound(py)));
                    }
                    self.flow = Some(flow.clone().unbind());
                }
                _ => {
                    let awaitable = protocol.call_method0(intern!(py, "_drain_helper"))?;
                    let inner = operation::start_awaiting(&awaitable)?;
                    self.stage = Stage::Awaiting(inner.clone().unbind());
                    return self.forward(py, Resume::Send);
                }
            }
        }
        let Some(flow) = &self.flow else { return Ok(Progress::Ready(py.None().into_bound(py))) };
        let flow = flow.bind(py);
        if free(flow)? {
            return Ok(Progress::Ready(py.None().into_bound(py)));
        }
        let entry = this.clone().unbind();
        self.stage = Stage::Waiting(flow.get().flow.with(py, |flow| flow.waiters.push(py, entry))?);
        Ok(Progress::Park)
    }

    fn forward<'py>(&mut self, py: Python<'py>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let Stage::Awaiting(inner) = &self.stage else {
            return Ok(Progress::Ready(py.None().into_bound(py)));
        };
        match operation::forward(inner.bind(py), resume) {
            Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
            Sent::Returned(_) => Ok(Progress::Ready(py.None().into_bound(py))),
            Sent::Raised(failure) => Err(failure),
        }
    }
}

/// Whether there is no need to wait. Raises `ConnectionResetError` after the connection is lost.
#[inline]
fn free(flow: &Bound<'_, FlowControlMixin>) -> PyResult<bool> {
    let (lost, paused) = flow.get().flow.with(flow.py(), |flow| (flow.connection_lost, flow.paused));
    if lost {
        return Err(PyConnectionResetError::new_err("Connection lost"));
    }
    Ok(!paused)
}

/// Raises the exception that ended the reader's connection.
#[inline]
fn require_no_exception(py: Python<'_>, reader: &Bound<'_, PyAny>) -> PyResult<()> {
    let exception = match reader.as_exactly::<StreamReader>() {
        Some(reader) => reader.get().exception(py).map(|exception| exception.into_bound(py)),
        None => Some(reader.call_method0(intern!(py, "exception"))?).filter(|exception| !exception.is_none()),
    };
    exception.map_or(Ok(()), |exception| Err(raise(exception)))
}

impl Run for Drain {
    #[inline]
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match self.stage {
            Stage::Fresh | Stage::Yielded => {
                if let Resume::Throw(exception) = resume {
                    return Err(PyErr::from_value(exception));
                }
                if let (Stage::Fresh, Some(writer)) = (&self.stage, &self.writer) {
                    let writer = writer.get();
                    if let Some(reader) = writer.reader(py) {
                        require_no_exception(py, &reader)?;
                    }
                    if transport::is_closing(&writer.transport(py)?)? {
                        self.stage = Stage::Yielded;
                        return Ok(Progress::Yield);
                    }
                }
                self.ask_protocol(this)
            }
            Stage::Waiting(ticket) => {
                if let Some(flow) = &self.flow {
                    let gone = flow.get().flow.with(py, |flow| flow.waiters.remove(ticket));
                    drop(gone);
                }
                match resume {
                    Resume::Throw(exception) => Err(PyErr::from_value(exception)),
                    Resume::Send => Ok(Progress::Ready(py.None().into_bound(py))),
                }
            }
            Stage::Awaiting(_) => self.forward(py, resume),
        }
    }

    fn name(&self) -> &'static str {
        if self.writer.is_some() { "StreamWriter.drain" } else { "FlowControlMixin._drain_helper" }
    }

    fn inner_names(&self) -> &'static [&'static str] {
        match (&self.stage, &self.writer) {
            (_, None) => &[],
            (Stage::Yielded, _) => &["sleep"],
            _ => &["FlowControlMixin._drain_helper"],
        }
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Awaiting(inner) => Some(inner.bind(py).clone()),
            Stage::Fresh | Stage::Yielded | Stage::Waiting(_) => None,
        }
    }
}

/// `writer.wait_closed()`.
pub(super) struct WaitClosed {
    writer: Py<StreamWriter>,
    inner: Option<Py<PyAny>>,
}

gc!(WaitClosed { writer, inner });

impl WaitClosed {
    pub(super) fn start(writer: &Bound<'_, StreamWriter>) -> Unawaited {
        Unawaited::new(Self { writer: writer.clone().unbind(), inner: None })
    }

    /// The awaitable that is done after the connection is closed.
    fn begin<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let protocol = self.writer.get().protocol(py)?;
        let waiter = match protocol.as_instance::<StreamReaderProtocol>() {
            Some(protocol) if !protocol.as_super().get().closes_itself() => {
                StreamReaderProtocol::closed(protocol)?
            }
            _ => protocol.call_method1(intern!(py, "_get_close_waiter"), (&self.writer,))?,
        };
        operation::start_awaiting(&waiter)
    }
}

impl Run for WaitClosed {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let inner = match (&self.inner, &resume) {
            (Some(inner), _) => inner.bind(py).clone(),
            (None, Resume::Throw(exception)) => return Err(PyErr::from_value(exception.clone())),
            (None, Resume::Send) => {
                let inner = self.begin(py)?;
                self.inner = Some(inner.clone().unbind());
                inner
            }
        };
        match operation::forward(&inner, resume) {
            Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
            Sent::Returned(_) => Ok(Progress::Ready(py.None().into_bound(py))),
            Sent::Raised(failure) => Err(failure),
        }
    }

    fn name(&self) -> &'static str {
        "StreamWriter.wait_closed"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.as_ref().map(|inner| inner.bind(py).clone())
    }
}
