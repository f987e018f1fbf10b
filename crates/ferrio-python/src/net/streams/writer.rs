//! `StreamWriter`: writes to a transport, and waits for it.

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAssertionError, PyResourceWarning, PyRuntimeError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::drain::{Drain, WaitClosed};
use super::reader::StreamReader;
use crate::base::class::{Class, Standard};
use crate::base::ffi::Guarded;
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::LoopRef;
use crate::core::operation::unawaited::Unawaited;
use crate::net::transport;

/// Writes to `transport`; `drain()` waits while `protocol` says that too much is buffered. Meaning and methods are
/// those of `asyncio.StreamWriter`.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio.streams")]
pub(crate) struct StreamWriter {
    state: Guarded<Option<State>>,
}

collected!(StreamWriter { state }, written by state, clear { state });

impl Class for StreamWriter {
    const BELOW: Option<Standard> = Some(("asyncio.streams", "StreamWriter"));
}

impl Functions for StreamWriter {
    const COROUTINES: &'static [&'static str] = &["drain", "start_tls", "wait_closed"];
    const QUICK: &'static [Quick] = quick!(StreamWriter {
        "write" (1 to 1) |writer, given| writer.get().write(&given.get(0));
        "drain" (0 to 0) |writer, _| StreamWriter::drain(writer);
    });
}

/// A writer's whole state; `None` until `__init__` has run.
struct State {
    transport: Py<PyAny>,
    protocol: Py<PyAny>,
    reader: Option<Py<PyAny>>,
    event_loop: LoopRef,
}

gc!(State { transport, protocol, reader, event_loop });

#[pymethods]
impl StreamWriter {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(transport, protocol, reader, loop)")]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self { state: Guarded::new(None) }
    }

    #[pyo3(signature = (transport, protocol, reader, r#loop))]
    fn __init__(
        &self,
        py: Python<'_>,
        transport: Py<PyAny>,
        protocol: Py<PyAny>,
        reader: Option<Bound<'_, PyAny>>,
        r#loop: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if let Some(reader) = &reader
            && !reader.is_instance_of::<StreamReader>()
            && !reader.is_instance(imports::STANDARD_STREAM_READER.get(py)?)?
        {
            return Err(PyAssertionError::new_err(format!(
                "the reader must be a StreamReader or None, got {}",
                reader.repr()?
            )));
        }
        let fresh = State {
            transport,
            protocol,
            reader: reader.map(Bound::unbind),
            event_loop: LoopRef::new(r#loop),
        };
        let old = self.state.with(py, |state| state.replace(fresh));
        drop(old);
        Ok(())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let writer = slf.get();
        let mut text = format!("<{} transport={}", slf.get_type().name()?, writer.transport(py)?.repr()?);
        if let Some(reader) = writer.reader(py) {
            text += &format!(" reader={}", reader.repr()?);
        }
        Ok(text + ">")
    }

    /// The transport.
    #[getter(transport)]
    fn shown_transport<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py)
    }

    /// Write `data` without waiting; call `drain()` afterwards.
    #[pyo3(signature = (data))]
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        transport::write(&self.transport(data.py())?, data)
    }

    /// Write every item of the iterable `data` without waiting; call `drain()` afterwards.
    #[pyo3(signature = (data))]
    fn writelines(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = data.py();
        self.transport(py)?.call_method1(intern!(py, "writelines"), (data,)).map(drop)
    }

    /// Close the writing direction after everything is written.
    fn write_eof<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py)?.call_method0(intern!(py, "write_eof"))
    }

    /// Return whether the transport can close the writing direction alone.
    fn can_write_eof<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py)?.call_method0(intern!(py, "can_write_eof"))
    }

    /// Close the stream after everything is written; call `wait_closed()` afterwards.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py)?.call_method0(intern!(py, "close"))
    }

    /// Return whether the stream is closing or closed.
    fn is_closing<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py)?.call_method0(intern!(py, "is_closing"))
    }

    /// Wait until the stream is closed. Raises the exception that ended the connection.
    fn wait_closed(slf: &Bound<'_, Self>) -> Unawaited {
        WaitClosed::start(slf)
    }

    /// Return what the transport knows as `name`, or `default`.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = name.py();
        self.transport(py)?.call_method1(intern!(py, "get_extra_info"), (name, default))
    }

    /// Wait until the transport's buffer has room. Doesn't suspend if it has, and the stream is open.
    ///
    /// Raises the exception that ended the connection, and `ConnectionResetError` after it is lost.
    fn drain(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Drain::of_writer(slf))
    }

    /// Go on with TLS on the same connection. Takes an `ssl.SSLContext` and the arguments of `loop.start_tls()`.
    ///
    /// Return an awaitable.
    #[pyo3(signature = (
        sslcontext, *, server_hostname = None, ssl_handshake_timeout = None, ssl_shutdown_timeout = None
    ))]
    fn start_tls<'py>(
        slf: &Bound<'py, Self>,
        sslcontext: Bound<'py, PyAny>,
        server_hostname: Option<Bound<'py, PyAny>>,
        ssl_handshake_timeout: Option<Bound<'py, PyAny>>,
        ssl_shutdown_timeout: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let options = PyDict::new(py);
        options.set_item(intern!(py, "server_hostname"), server_hostname)?;
        options.set_item(intern!(py, "ssl_handshake_timeout"), ssl_handshake_timeout)?;
        options.set_item(intern!(py, "ssl_shutdown_timeout"), ssl_shutdown_timeout)?;
        imports::START_TLS_OF_STREAM.get(py)?.call1((slf, sslcontext, options))
    }

    // Attributes that libraries read and change.

    #[getter]
    fn _transport<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.transport(py)
    }

    #[setter(_transport)]
    fn set_transport(&self, py: Python<'_>, value: Py<PyAny>) {
        let old = self.state.with(py, |state| match state {
            Some(state) => std::mem::replace(&mut state.transport, value),
            None => value,
        });
        drop(old);
    }

    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    #[setter(_protocol)]
    fn set_protocol(&self, py: Python<'_>, value: Py<PyAny>) {
        let old = self.state.with(py, |state| match state {
            Some(state) => std::mem::replace(&mut state.protocol, value),
            None => value,
        });
        drop(old);
    }

    #[getter]
    fn _reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.reader(py)
    }

    #[setter(_reader)]
    fn set_reader(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
        let old = self.state.with(py, |state| match state {
            Some(state) => std::mem::replace(&mut state.reader, value),
            None => value,
        });
        drop(old);
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.look(py, |state| state.event_loop.object(py))
    }
}

impl StreamWriter {
    /// The writer of a connection.
    pub(super) fn create<'py>(
        transport: &Bound<'py, PyAny>,
        protocol: &Bound<'py, PyAny>,
        reader: Option<&Bound<'py, PyAny>>,
        event_loop: &LoopRef,
    ) -> PyResult<Bound<'py, Self>> {
        let py = transport.py();
        let state = State {
            transport: transport.clone().unbind(),
            protocol: protocol.clone().unbind(),
            reader: reader.map(|reader| reader.clone().unbind()),
            event_loop: event_loop.duplicate(py),
        };
        Bound::new(py, Self { state: Guarded::new(Some(state)) })
    }

    #[inline]
    pub(super) fn transport<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.look(py, |state| state.transport.bind(py).clone())
    }

    #[inline]
    pub(super) fn protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.look(py, |state| state.protocol.bind(py).clone())
    }

    #[inline]
    pub(super) fn reader<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| {
            state.as_ref().and_then(|state| state.reader.as_ref().map(|reader| reader.bind(py).clone()))
        })
    }

    /// Raises `RuntimeError` if `__init__` was never called.
    #[inline]
    fn look<R>(&self, py: Python<'_>, look: impl FnOnce(&State) -> R) -> PyResult<R> {
        self.state.with(py, |state| state.as_ref().map(look)).ok_or_else(|| {
            PyRuntimeError::new_err("StreamWriter object is not initialized: call super().__init__() first")
        })
    }
}

impl Finalize for StreamWriter {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        dying.get().state.with(dying.py(), |state| state.is_some())
    }

    /// "unclosed <StreamWriter ...>".
    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if transport::is_closing(&slf.get().transport(py)?)? {
            return Ok(());
        }
        let warn =
            |text: String| imports::WARN.get(py)?.call1((text, PyResourceWarning::type_object(py))).map(drop);
        let event_loop = slf.get().look(py, |state| state.event_loop.object(py))?;
        if event_loop.call_method0(intern!(py, "is_closed"))?.is_truthy()? {
            return warn("loop is closed".to_owned());
        }
        slf.call_method0(intern!(py, "close"))?;
        warn(format!("unclosed {}", slf.repr()?))
    }

    general!();
}
