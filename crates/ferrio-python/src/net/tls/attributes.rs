//! Private attributes of asyncio's `SSLProtocol` that libraries read and print.
//!
//! They are made on demand, and are copies: changing one changes nothing.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::protocol::SSLProtocol;
use super::state::{Stage, Told};
use crate::base::imports;
use crate::core::event_loop::receive::LARGEST_RECEIVED;

#[pymethods]
impl SSLProtocol {
    /// The state of the connection: a member of asyncio's `SSLProtocolState`.
    #[getter]
    fn _state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = match self.state.with(py, |state| state.life.stage()) {
            Stage::Unwrapped => "UNWRAPPED",
            Stage::Handshake => "DO_HANDSHAKE",
            Stage::Wrapped => "WRAPPED",
            Stage::Flushing => "FLUSHING",
            Stage::Shutdown => "SHUTDOWN",
        };
        imports::SSL_PROTOCOL_STATE.get(py)?.getattr(name)
    }

    /// What the program's protocol has been told: a member of asyncio's `AppProtocolState`.
    #[getter]
    fn _app_state<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let name = match self.state.with(py, |state| state.life.told()) {
            Told::Nothing => "STATE_INIT",
            Told::Made => "STATE_CON_MADE",
            Told::Ended => "STATE_EOF",
            Told::Lost => "STATE_CON_LOST",
        };
        imports::APP_PROTOCOL_STATE.get(py)?.getattr(name)
    }

    /// Whether this is the server's end.
    #[getter]
    fn _server_side(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.server_side)
    }

    /// The name that the server's certificate must have; `None` on the server's end.
    #[getter]
    fn _server_hostname(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.server_hostname.as_ref().map(|name| name.clone_ref(py)))
    }

    /// The future that waits for the handshake; `None` afterwards.
    #[getter]
    fn _waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.waiter.as_ref().map(|waiter| waiter.clone_ref(py)))
    }

    /// What `get_extra_info` knows in addition to the transport below.
    #[getter]
    fn _extra<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyDict>> {
        let extra = PyDict::new(slf.py());
        for name in ["sslcontext", "peercert", "cipher", "compression", "ssl_object"] {
            if let Some(known) = super::extra::own(slf, name)? {
                extra.set_item(name, known)?;
            }
        }
        Ok(extra)
    }

    /// Seconds that the handshake may take.
    #[getter]
    fn _ssl_handshake_timeout<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.state.with(py, |state| state.timers.handshake_limit(py))
    }

    /// Seconds that the closing handshake may take.
    #[getter]
    fn _ssl_shutdown_timeout<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.state.with(py, |state| state.timers.shutdown_limit(py))
    }

    /// What the program has written and TLS hasn't encrypted yet.
    #[getter]
    fn _write_backlog<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pieces = self.state.with(py, |state| state.backlog.copy(py));
        imports::DEQUE.get(py)?.call1((PyList::new(py, pieces)?,))
    }

    /// How many bytes that is.
    #[getter]
    fn _write_buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.backlog.size())
    }

    /// 0 until the connection is lost; then 1 plus the number of writes since.
    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost_writes)
    }

    /// Whether the transport below has reached the end of input.
    #[getter]
    fn _eof_received(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.life.has_ended())
    }

    /// Whether the transport below told us to write no more.
    #[getter]
    fn _ssl_writing_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.lower_writing_paused)
    }

    /// Whether the transport below was told to read no more.
    #[getter]
    fn _ssl_reading_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.lower_reading_paused)
    }

    /// Whether the program has paused reading.
    #[getter]
    fn _app_reading_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.reading_paused)
    }

    /// Whether the program was told to pause writing.
    #[getter]
    fn _app_writing_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.writing_paused)
    }

    /// How many received bytes pause the transport below.
    #[getter]
    fn _incoming_high_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.read_marks.high)
    }

    /// How many received bytes, or fewer, let the transport below read again.
    #[getter]
    fn _incoming_low_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.read_marks.low)
    }

    /// How many waiting bytes pause the program.
    #[getter]
    fn _outgoing_high_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.write_marks.high)
    }

    /// How many waiting bytes, or fewer, let the program write again.
    #[getter]
    fn _outgoing_low_water(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.write_marks.low)
    }

    /// Whether the program's transport has been made.
    #[getter]
    fn _app_transport_created(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.session.is_some())
    }

    /// Whether the program's protocol is a `BufferedProtocol`.
    #[getter]
    fn _app_protocol_is_buffer(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.buffered)
    }

    /// The most that one read takes, in bytes.
    #[classattr]
    fn max_size() -> usize {
        LARGEST_RECEIVED
    }
}
