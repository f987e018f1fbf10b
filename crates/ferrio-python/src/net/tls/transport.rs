//! `SSLTransport`: the transport that a protocol over TLS sees.
//!
//! It only knows whether it was closed; all other state belongs to its `SSLProtocol`.

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::{PyNotImplementedError, PyValueError};
use pyo3::prelude::*;

use super::protocol::{Marks, SSLProtocol};
use super::write as outgoing;
use super::{extra, read, shutdown};
use crate::base::arguments::SaturatingInt;
use crate::base::class::{Class, Standard};
use crate::base::ffi::fastcall::{Quick, quick};
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::ffi::room::TransportRoom;
use crate::base::ffi::{Cast, Guarded, interpreter};
use crate::base::functions::Functions;
use crate::base::gc::collected;
use crate::base::imports;
use crate::net::transport::native::NativeTransport;
use crate::net::transport::{flow, report};

/// The transport of a connection over TLS: an `asyncio.Transport`.
///
/// Data is encrypted and sent at the end of the loop's turn, however many writes it came in.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio.sslproto")]
pub(crate) struct SSLTransport {
    protocol: Guarded<Option<Py<SSLProtocol>>>,
    /// The program closed it, or it closed itself: no warning is needed.
    closed: AtomicBool,
    /// An attribute was set, perhaps a method: then native code calls the Python methods.
    altered: AtomicBool,
}

collected!(SSLTransport { protocol } not { closed, altered }, written by protocol, clear { protocol });

impl Class for SSLTransport {
    const BELOW: Option<Standard> = Some(("asyncio.sslproto", "_SSLProtocolTransport"));
}

impl Functions for SSLTransport {
    const QUICK: &'static [Quick] = quick!(SSLTransport {
        "write" (1 to 1) |transport, given| transport.get().write(&given.get(0));
    });
}

impl SSLTransport {
    /// The transport of `protocol`.
    pub(super) fn new(protocol: &Bound<'_, SSLProtocol>) -> Self {
        Self {
            protocol: Guarded::new(Some(protocol.clone().unbind())),
            closed: AtomicBool::new(false),
            altered: AtomicBool::new(false),
        }
    }

    pub(super) fn mark_closed(&self) {
        self.closed.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_marked_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    #[inline]
    fn ssl_protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, SSLProtocol>> {
        self.protocol
            .with(py, |protocol| protocol.as_ref().map(|protocol| protocol.bind(py).clone()))
            .ok_or_else(|| PyValueError::new_err("the garbage collector has cleared this transport"))
    }
}

#[pymethods]
impl SSLTransport {
    /// Return the value called `name`: "ssl_object", "sslcontext", "peercert", "cipher", "compression", or what the
    /// transport below knows ("socket", "peername"...); `default` for anything else.
    #[pyo3(signature = (name, default = None))]
    fn get_extra_info<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        extra::extra_info(&self.ssl_protocol(name.py())?, name, default)
    }

    /// Send `data` (`bytes`, `bytearray` or `memoryview`); never blocks. After the end of the connection `data` is
    /// dropped.
    ///
    /// Raises `TypeError` for anything else.
    #[pyo3(signature = (data))]
    fn write(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        outgoing::write(&self.ssl_protocol(data.py())?, outgoing::bytes_of(data)?)
    }

    /// Send every item of the iterable `list_of_data`, as `write` would.
    #[pyo3(signature = (list_of_data))]
    fn writelines(&self, list_of_data: &Bound<'_, PyAny>) -> PyResult<()> {
        let mut pieces = Vec::new();
        for data in list_of_data.try_iter()? {
            let data = data?;
            pieces.push(outgoing::bytes_of(&data).or_else(|_| outgoing::copied(&data))?);
        }
        outgoing::write_several(&self.ssl_protocol(list_of_data.py())?, pieces)
    }

    /// Raise `NotImplementedError`: TLS connections can't be half-closed here.
    fn write_eof(&self) -> PyResult<()> {
        Err(PyNotImplementedError::new_err(()))
    }

    /// Return `False`: TLS can't close one direction.
    fn can_write_eof(&self) -> bool {
        false
    }

    /// Close: send what was written, exchange closing notes, then call the protocol's `connection_lost(None)`.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        if self.closed.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        shutdown::close(&self.ssl_protocol(py)?)
    }

    /// Close at once: unsent data is dropped, and no closing notes are exchanged.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        self._force_close(py, None)
    }

    /// Close at once; the protocol's `connection_lost` gets the exception `exc`, or `None`.
    #[pyo3(signature = (exc))]
    fn _force_close(&self, py: Python<'_>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.mark_closed();
        shutdown::abort(&self.ssl_protocol(py)?, exc)
    }

    /// Return whether the transport is closing or closed.
    fn is_closing(&self, py: Python<'_>) -> PyResult<bool> {
        if self.closed.load(Ordering::Relaxed) {
            return Ok(true);
        }
        match self.ssl_protocol(py)?.get().lower(py) {
            Some(lower) => lower.is_closing(),
            None => Ok(false),
        }
    }

    /// Make `protocol` the receiver of what comes from now on.
    #[pyo3(signature = (protocol))]
    fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        self.ssl_protocol(protocol.py())?.get().set_receiver(protocol)
    }

    /// Return the protocol; `None` after the connection is lost.
    fn get_protocol(&self, py: Python<'_>) -> PyResult<Option<Py<PyAny>>> {
        Ok(self.ssl_protocol(py)?.get()._app_protocol(py))
    }

    /// Return whether arriving data is handed to the protocol.
    fn is_reading(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.ssl_protocol(py)?.get().state.with(py, |state| !state.reading_paused))
    }

    /// Stop handing over arriving data until `resume_reading()`. Does nothing if reading is paused.
    fn pause_reading(&self, py: Python<'_>) -> PyResult<()> {
        read::pause(&self.ssl_protocol(py)?);
        Ok(())
    }

    /// Hand over arriving data again. Does nothing unless reading is paused.
    fn resume_reading(&self, py: Python<'_>) -> PyResult<()> {
        read::resume(&self.ssl_protocol(py)?)
    }

    /// Set how many bytes may wait to be sent: from `high` on the protocol's `pause_writing()` is called, at `low` or
    /// below its `resume_writing()`. The defaults are 512 KiB and a quarter of `high`.
    ///
    /// Raises `ValueError` unless `high >= low >= 0`.
    #[pyo3(signature = (high = None, low = None))]
    fn set_write_buffer_limits(
        &self,
        py: Python<'_>,
        high: Option<SaturatingInt>,
        low: Option<SaturatingInt>,
    ) -> PyResult<()> {
        let marks = marks(high, low, 512 << 10)?;
        let protocol = self.ssl_protocol(py)?;
        protocol.get().state.with(py, |state| state.write_marks = marks);
        outgoing::control_program(&protocol, &*protocol.get().session(py)?)
    }

    /// Return the marks for writing as `(low, high)`, in bytes.
    fn get_write_buffer_limits(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        Ok(self
            .ssl_protocol(py)?
            .get()
            .state
            .with(py, |state| (state.write_marks.low, state.write_marks.high)))
    }

    /// Return how many bytes wait to be sent and haven't been handed to the transport below.
    fn get_write_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        outgoing::waiting(&self.ssl_protocol(py)?)
    }

    /// Set how many received bytes may wait for the protocol: from `high` on the transport below is paused, at `low`
    /// or below it goes on. The defaults are 256 KiB and a quarter of `high`.
    ///
    /// Raises `ValueError` unless `high >= low >= 0`.
    #[pyo3(signature = (high = None, low = None))]
    fn set_read_buffer_limits(
        &self,
        py: Python<'_>,
        high: Option<SaturatingInt>,
        low: Option<SaturatingInt>,
    ) -> PyResult<()> {
        let marks = marks(high, low, 256 << 10)?;
        let protocol = self.ssl_protocol(py)?;
        protocol.get().state.with(py, |state| state.read_marks = marks);
        read::control_lower(&protocol, None)
    }

    /// Return the marks for reading as `(low, high)`, in bytes.
    fn get_read_buffer_limits(&self, py: Python<'_>) -> PyResult<(usize, usize)> {
        Ok(self.ssl_protocol(py)?.get().state.with(py, |state| (state.read_marks.low, state.read_marks.high)))
    }

    /// Return how many received bytes wait for the protocol.
    fn get_read_buffer_size(&self, py: Python<'_>) -> PyResult<usize> {
        read::waiting(&self.ssl_protocol(py)?)
    }

    /// Whether the protocol was told to pause writing; `loop.sendfile()` asks.
    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.ssl_protocol(py)?.get().state.with(py, |state| state.writing_paused))
    }

    /// Whether the transport was closed, by the program or by itself.
    #[getter]
    fn _closed(&self) -> bool {
        self.is_marked_closed()
    }

    #[getter]
    fn _ssl_protocol<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, SSLProtocol>> {
        self.ssl_protocol(py)
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.ssl_protocol(py)?.get()._loop(py))
    }

    /// Queue `data` without encrypting it: asyncio's own tests fill the backlog this way.
    #[pyo3(name = "_test__append_write_backlog", signature = (data))]
    fn _append_to_backlog(&self, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let bytes = outgoing::bytes_of(data)?;
        let (length, bytes) = (bytes.as_bytes().len(), bytes.unbind());
        self.ssl_protocol(data.py())?.get().state.with(data.py(), |state| state.backlog.push(bytes, length))
    }

    /// `loop.start_tls()` works on it: TLS in TLS.
    #[classattr]
    fn _start_tls_compatible() -> bool {
        true
    }

    /// `loop.sendfile()` has to read the file itself.
    #[classattr]
    fn _sendfile_compatible(py: Python<'_>) -> PyResult<Py<PyAny>> {
        Ok(imports::SENDFILE_MODE.get(py)?.getattr(intern!(py, "FALLBACK"))?.unbind())
    }

    fn __setattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().altered.store(true, Ordering::Relaxed);
        interpreter::set_attribute(slf.as_any(), name, Some(value))
    }

    fn __delattr__(slf: &Bound<'_, Self>, name: &Bound<'_, PyAny>) -> PyResult<()> {
        interpreter::set_attribute(slf.as_any(), name, None)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let protocol = slf.get().ssl_protocol(py)?;
        let stage = protocol.get().state.with(py, |state| state.life.stage());
        Ok(match protocol.get().lower(py) {
            Some(lower) => format!("<SSLTransport {stage:?} over {}>", lower.0.repr()?),
            None => format!("<SSLTransport {stage:?}>"),
        })
    }
}

inventory::submit! {
    NativeTransport {
        is_plain,
        write: |transport, data| transport.cast::<SSLTransport>()?.get().write(data),
        is_closing: |transport| transport.cast::<SSLTransport>()?.get().is_closing(transport.py()),
    }
}

/// Whether it is exactly one of ours, with its own methods.
#[inline]
fn is_plain(transport: &Bound<'_, PyAny>) -> bool {
    transport
        .as_exactly::<SSLTransport>()
        .is_some_and(|transport| !transport.get().altered.load(Ordering::Relaxed))
}

impl Finalize for SSLTransport {
    #[inline]
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        !dying.get().closed.load(Ordering::Relaxed)
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().mark_closed();
        report::unclosed(slf.as_any())
    }

    general!();
}

/// The marks that the arguments stand for. Raises `ValueError` unless `high >= low >= 0`.
fn marks(high: Option<SaturatingInt>, low: Option<SaturatingInt>, default: isize) -> PyResult<Marks> {
    let (high, low) = flow::limits(high, low, default)?;
    Ok(Marks { high, low })
}
