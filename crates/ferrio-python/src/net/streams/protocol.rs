//! `StreamReaderProtocol`: the protocol between a transport and a `StreamReader`.
//!
//! Native transports pass bytes to the reader through `receive`, without `data_received`. This file handles the start
//! and the end of a connection. On a server the start calls the program's `client_connected_cb`, see `accept.rs`.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType, PyWeakrefMethods, PyWeakrefReference};

use super::accept;
use super::attributes::{flag_attributes, optional_attributes};
use super::feed;
use super::flow::FlowControlMixin;
use super::reader::StreamReader;
use crate::base::class::{Class, Standard};
use crate::base::ffi::interpreter::is_exactly;
use crate::base::ffi::{Cast, Guarded};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::core::event_loop::LoopRef;
use crate::core::future;
use crate::net::transport;
use crate::net::transport::native::NativeProtocol;

/// Passes received data to `stream_reader`; on a server calls `client_connected_cb(reader, writer)` for the
/// connection. Meaning and methods are those of `asyncio.StreamReaderProtocol`.
#[pyclass(extends = FlowControlMixin, subclass, frozen, module = "ferrio.streams")]
pub(crate) struct StreamReaderProtocol {
    pub(super) state: Guarded<State>,
}

collected!(StreamReaderProtocol { state }, written by state, clear { state });

impl Class for StreamReaderProtocol {
    const BELOW: Option<Standard> = Some(("asyncio.streams", "StreamReaderProtocol"));
}

impl Functions for StreamReaderProtocol {}

#[derive(Default)]
pub(super) struct State {
    /// The program owns the reader; if the program drops it, what arrives is dropped too.
    reader: Option<Py<PyWeakrefReference>>,
    /// On a server, until the connection is made.
    strong_reader: Option<Py<PyAny>>,
    pub(super) client_connected: Option<Py<PyAny>>,
    pub(super) task: Option<Py<PyAny>>,
    pub(super) transport: Option<Py<PyAny>>,
    pub(super) writer: Option<Py<PyAny>>,
    pub(super) source_traceback: Option<Py<PyAny>>,
    closed: Closed,
    over_ssl: bool,
    pub(super) reject: bool,
}

gc!(State { reader, strong_reader, client_connected, task, transport, writer, source_traceback, closed } not { over_ssl, reject });

/// What `wait_closed()` waits for; a future is made only on demand.
#[derive(Default)]
enum Closed {
    #[default]
    Open,
    Future(Py<PyAny>),
    /// The connection is lost, with this exception or none.
    Lost(Option<Py<PyAny>>),
}

gc!(match Closed {
    Self::Open => (),
    Self::Future(future) => (future),
    Self::Lost(exception) => (exception),
});

#[pymethods]
impl StreamReaderProtocol {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(stream_reader, client_connected_cb=None, loop=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<PyClassInitializer<Self>> {
        let flow = FlowControlMixin::empty(class)?;
        Ok(PyClassInitializer::from(flow).add_subclass(Self { state: Guarded::new(State::default()) }))
    }

    #[pyo3(signature = (stream_reader, client_connected_cb = None, r#loop = None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        stream_reader: Option<Bound<'_, PyAny>>,
        client_connected_cb: Option<Bound<'_, PyAny>>,
        r#loop: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let py = slf.py();
        slf.as_super().get().initialize(py, r#loop)?;
        let mut fresh = State::default();
        if let Some(reader) = &stream_reader {
            fresh.reader = Some(PyWeakrefReference::new(reader)?.unbind());
            let traceback = match reader.as_exactly::<StreamReader>() {
                Some(reader) => reader.get()._source_traceback(py),
                None => Some(reader.getattr(intern!(py, "_source_traceback"))?.unbind()),
            };
            fresh.source_traceback = traceback.filter(|traceback| !traceback.is_none(py));
        }
        if client_connected_cb.is_some() {
            fresh.strong_reader = stream_reader.map(Bound::unbind);
        }
        fresh.client_connected = client_connected_cb.map(Bound::unbind);
        let old = slf.get().state.with(py, |state| std::mem::replace(state, fresh));
        drop(old);
        Ok(())
    }

    /// The connection is made: the reader gets its transport, and a server's callback is called.
    #[pyo3(signature = (transport))]
    fn connection_made(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        if slf.get().state.with(py, |state| state.reject) {
            return accept::reject(slf, transport);
        }
        slf.get().put_transport(py, Some(transport.clone().unbind()));
        let reader = slf.get().reader(py);
        if let Some(reader) = &reader {
            match reader.as_exactly::<StreamReader>() {
                Some(reader) => reader.get().set_transport(py, transport.clone().unbind())?,
                None => {
                    reader.call_method1(intern!(py, "set_transport"), (transport,))?;
                }
            }
        }
        slf.get().note_encryption(transport)?;
        accept::call_back(slf, transport, reader.as_ref())
    }

    /// The connection is lost: readers, drains and `wait_closed()` end, with `exc` if there is one.
    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let exception = Some(exc).filter(|exc| !exc.is_none());
        if let Some(reader) = slf.get().reader(py) {
            match (reader.as_exactly::<StreamReader>(), exception) {
                (Some(reader), None) => feed::feed_eof(reader)?,
                (Some(reader), Some(exception)) => feed::set_exception(reader, exception)?,
                (None, None) => {
                    reader.call_method0(intern!(py, "feed_eof"))?;
                }
                (None, Some(exception)) => {
                    reader.call_method1(intern!(py, "set_exception"), (exception,))?;
                }
            }
        }
        slf.get().finish(py, exception)?;
        slf.as_super().get().lose_connection(py, exception)?;
        let released = slf
            .get()
            .state
            .with(py, |state| (state.reader.take(), state.task.take(), state.transport.take()));
        drop(released);
        Ok(())
    }

    /// Data arrived: feed the reader.
    #[pyo3(signature = (data))]
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        match slf.get().reader(slf.py()) {
            Some(reader) => reader.call_method1(intern!(slf.py(), "feed_data"), (data,)).map(drop),
            None => Ok(()),
        }
    }

    /// The other end will send no more: tell the reader. Return whether the transport stays open for writing, which
    /// TLS can't.
    fn eof_received(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let py = slf.py();
        if let Some(reader) = slf.get().reader(py) {
            match reader.as_exactly::<StreamReader>() {
                Some(reader) => feed::feed_eof(reader)?,
                None => {
                    reader.call_method0(intern!(py, "feed_eof"))?;
                }
            }
        }
        Ok(!slf.get().state.with(py, |state| state.over_ssl))
    }

    /// Go on with another transport: after `start_tls`.
    #[pyo3(signature = (transport))]
    fn _replace_transport(slf: &Bound<'_, Self>, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        slf.get().put_transport(py, Some(transport.clone().unbind()));
        slf.get().note_encryption(transport)?;
        match slf.get().reader(py) {
            Some(reader) => reader.call_method1(intern!(py, "_replace_transport"), (transport,)).map(drop),
            None => Ok(()),
        }
    }

    /// A future that is done after the connection is closed.
    #[pyo3(signature = (stream))]
    fn _get_close_waiter<'py>(
        slf: &Bound<'py, Self>,
        stream: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = stream;
        Self::closed(slf)
    }

    // Attributes that libraries read and change.

    /// The reader, as long as the program holds it.
    #[getter]
    fn _stream_reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader(py)
    }

    /// A weak reference to the reader; `None` if there is no reader, and after the connection is lost.
    #[getter]
    fn _stream_reader_wr(&self, py: Python<'_>) -> Option<Py<PyWeakrefReference>> {
        self.state.with(py, |state| state.reader.as_ref().map(|reader| reader.clone_ref(py)))
    }

    #[setter(_stream_reader_wr)]
    fn set_stream_reader_wr(&self, py: Python<'_>, value: Option<Py<PyWeakrefReference>>) {
        let old = self.state.with(py, |state| std::mem::replace(&mut state.reader, value));
        drop(old);
    }

    /// What `wait_closed()` waits for.
    #[getter]
    fn _closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        Self::closed(slf)
    }

    #[setter(_closed)]
    fn set_closed(&self, py: Python<'_>, value: Py<PyAny>) {
        let old = self.state.with(py, |state| std::mem::replace(&mut state.closed, Closed::Future(value)));
        drop(old);
    }

    #[getter]
    fn _source_traceback(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.source_traceback.as_ref().map(|stack| stack.clone_ref(py)))
    }
}

optional_attributes! {
    StreamReaderProtocol, state;
    /// The reader, until the connection is made.
    _strong_reader: set_strong_reader, strong_reader;
    /// Set by programs only; up to Python 3.12 asyncio kept the server's writer here.
    _stream_writer: set_stream_writer, writer;
    _client_connected_cb: set_client_connected_cb, client_connected;
    _transport: put_transport, transport;
    /// The task that runs a server's callback.
    _task: set_task, task;
}

flag_attributes! {
    StreamReaderProtocol, state;
    _over_ssl: set_over_ssl, over_ssl;
    _reject_connection: set_reject_connection, reject;
}

impl StreamReaderProtocol {
    /// The reader, as long as the program holds it.
    #[inline]
    pub(super) fn reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.reader.as_ref().and_then(|reader| reader.bind(py).upgrade()))
    }

    /// The future that is done after the connection is closed.
    pub(super) fn closed<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(known) = slf.get().close_waiter(py) {
            return Ok(known);
        }
        let made = match slf.as_super().get().event_loop(py)? {
            event_loop @ LoopRef::Native(_) => future::create(py, event_loop)?.into_any(),
            LoopRef::Foreign(event_loop) => event_loop.bind(py).call_method0(intern!(py, "create_future"))?,
        };
        let kept = made.clone().unbind();
        let before =
            slf.get().state.with(py, |state| std::mem::replace(&mut state.closed, Closed::Future(kept)));
        if let Closed::Lost(exception) = before {
            settle(&made, exception.as_ref().map(|exception| exception.bind(py)))?;
        }
        Ok(made)
    }

    fn close_waiter<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| match &state.closed {
            Closed::Future(future) => Some(future.bind(py).clone()),
            Closed::Open | Closed::Lost(_) => None,
        })
    }

    /// Wakes whatever waits for the end of the connection.
    fn finish(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(future) = self.close_waiter(py) {
            if !future.call_method0(intern!(py, "done"))?.is_truthy()? {
                settle(&future, exception)?;
            }
            return Ok(());
        }
        let told = exception.map(|exception| exception.clone().unbind());
        let old = self.state.with(py, |state| match state.closed {
            Closed::Open => Some(std::mem::replace(&mut state.closed, Closed::Lost(told))),
            Closed::Future(_) | Closed::Lost(_) => None,
        });
        drop(old);
        Ok(())
    }

    fn note_encryption(&self, transport: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = transport.py();
        if transport::is_plain_socket(transport) {
            self.state.with(py, |state| state.over_ssl = false);
            return Ok(());
        }
        let context = transport.call_method1(intern!(py, "get_extra_info"), (intern!(py, "sslcontext"),))?;
        self.state.with(py, |state| state.over_ssl = !context.is_none());
        Ok(())
    }
}

/// Return the protocol of a server's new connection, with its reader: what `StreamReader(limit, loop)` and
/// `StreamReaderProtocol(reader, client_connected_cb, loop)` make, in one call.
#[pyfunction]
#[pyo3(signature = (limit, client_connected_cb, r#loop))]
pub(crate) fn _stream_protocol<'py>(
    limit: &Bound<'py, PyAny>,
    client_connected_cb: Option<Py<PyAny>>,
    r#loop: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, StreamReaderProtocol>> {
    let py = limit.py();
    let event_loop = LoopRef::new(r#loop);
    let reader = StreamReader::create(limit, event_loop.duplicate(py))?;
    let state = State {
        reader: Some(PyWeakrefReference::new(&reader)?.unbind()),
        source_traceback: reader.get()._source_traceback(py),
        strong_reader: client_connected_cb.is_some().then(|| reader.into_any().unbind()),
        client_connected: client_connected_cb,
        ..State::default()
    };
    let protocol = StreamReaderProtocol { state: Guarded::new(state) };
    Bound::new(py, PyClassInitializer::from(FlowControlMixin::on(event_loop)).add_subclass(protocol))
}

/// Ends a future with the exception, or with `None`. The exception counts as retrieved, since reads and writes raise
/// it.
fn settle(future: &Bound<'_, PyAny>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    let py = future.py();
    match exception {
        None => future.call_method1(intern!(py, "set_result"), (py.None(),))?,
        Some(exception) => {
            future.call_method1(intern!(py, "set_exception"), (exception,))?;
            future.call_method0(intern!(py, "exception"))?
        }
    };
    Ok(())
}

// Native transports feed the reader of a plain protocol without `data_received`.
inventory::submit! {
    NativeProtocol::new(is_exactly::<StreamReaderProtocol>, receive_copy).keeping(receive)
}

/// Passes an object of exactly the class `bytes` to the reader of a plain protocol. A read may return it as it is.
#[inline]
fn receive(protocol: &Bound<'_, PyAny>, data: Bound<'_, PyBytes>) -> PyResult<()> {
    let py = protocol.py();
    let Some(reader) = protocol.cast::<StreamReaderProtocol>()?.get().reader(py) else { return Ok(()) };
    match reader.as_exactly::<StreamReader>() {
        Some(reader) => feed::put(reader, data),
        None => reader.call_method1(intern!(py, "feed_data"), (data,)).map(drop),
    }
}

/// As `receive`, for bytes that are valid only during the call.
#[inline]
fn receive_copy(protocol: &Bound<'_, PyAny>, data: &[u8]) -> PyResult<()> {
    let py = protocol.py();
    let Some(reader) = protocol.cast::<StreamReaderProtocol>()?.get().reader(py) else { return Ok(()) };
    match reader.as_exactly::<StreamReader>() {
        Some(reader) => feed::feed(reader, data),
        None => reader.call_method1(intern!(py, "feed_data"), (data,)).map(drop),
    }
}
