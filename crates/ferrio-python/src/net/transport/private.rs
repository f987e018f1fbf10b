//! Private attributes of asyncio's transports for sockets and datagrams, which libraries and their tests read.
//!
//! They are made when they are asked for, and are copies: to change one changes nothing.

use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyMemoryView};

use super::datagram::DatagramTransport;
use super::socket::SocketTransport;
use crate::base::imports;
use crate::core::event_loop::received::LARGEST_RECEIVED;

/// Pieces that wait to be sent, in the shape of the running Python's asyncio: a `deque` from 3.12 on, a `bytearray` before.
fn shown(py: Python<'_>, pieces: Vec<Vec<u8>>) -> PyResult<Bound<'_, PyAny>> {
    if cfg!(Py_3_12) {
        let views = pieces.iter().map(|piece| PyMemoryView::from(&PyBytes::new(py, piece)));
        return imports::DEQUE.get(py)?.call1((views.collect::<PyResult<Vec<_>>>()?,));
    }
    Ok(PyByteArray::new(py, &pieces.concat()).into_any())
}

#[pymethods]
impl SocketTransport {
    /// Whether `close()` was called or the connection failed.
    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    /// Whether `write_eof()` was called.
    #[getter]
    fn _eof(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.output_ended)
    }

    /// What waits to be sent, a copy.
    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let pieces = self.state.with(py, |state| state.outgoing.copy(py));
        shown(py, pieces)
    }

    /// The future of who waits for an empty buffer, `None` for nobody.
    #[getter]
    fn _empty_waiter(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.empty_waiter.as_ref().map(|waiter| waiter.clone_ref(py)))
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

    /// Whether there is a protocol.
    #[getter]
    fn _protocol_connected(&self, py: Python<'_>) -> bool {
        self.protocol(py).is_some()
    }

    /// The most that one read takes, in bytes.
    #[getter]
    fn max_size(&self) -> usize {
        LARGEST_RECEIVED
    }
}

#[pymethods]
impl DatagramTransport {
    /// Whether `close()` was called or the connection failed.
    #[getter]
    fn _closing(&self, py: Python<'_>) -> bool {
        self.is_closing(py)
    }

    /// Where everything is sent, `None` if each datagram says so itself.
    #[getter]
    fn _address(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.address.as_ref().map(|address| address.clone_ref(py))
    }

    /// The datagrams that wait to be sent, each with its address: a copy.
    #[getter]
    fn _buffer<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let waiting: Vec<_> = self.state.with(py, |state| {
            let copy = |(data, address): &(Py<_>, Option<Py<PyAny>>)| {
                (data.clone_ref(py), address.as_ref().map(|address| address.clone_ref(py)))
            };
            state.queue.iter().map(copy).collect()
        });
        imports::DEQUE.get(py)?.call1((PyList::new(py, waiting)?,))
    }

    /// How much waits, as `get_write_buffer_size` counts.
    #[getter]
    fn _buffer_size(&self, py: Python<'_>) -> usize {
        self.state.with(py, |state| state.queued)
    }

    /// 0 until `connection_lost` is on its way, then how often somebody sent since, and one.
    #[getter]
    fn _conn_lost(&self, py: Python<'_>) -> u32 {
        self.state.with(py, |state| state.lost)
    }

    /// Whether `pause_reading()` was called.
    #[getter]
    fn _paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.paused)
    }

    /// The protocol, `None` once the connection is lost.
    #[getter]
    fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.protocol(py)
    }

    /// Whether there is a protocol.
    #[getter]
    fn _protocol_connected(&self, py: Python<'_>) -> bool {
        self.protocol(py).is_some()
    }

    /// Whether the protocol was told to stop sending.
    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.marks.is_paused())
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

    /// No server makes datagram transports.
    #[getter]
    fn _server(&self) -> Option<Py<PyAny>> {
        None
    }

    /// The number of the descriptor, also when it is closed.
    #[getter]
    fn _sock_fd(&self) -> i32 {
        self.fd
    }

    /// What the inherited `get_extra_info` looks into.
    #[getter]
    fn _extra(&self, py: Python<'_>) -> Py<PyDict> {
        self.extra.clone_ref(py)
    }

    /// The most that one datagram may have, in bytes.
    #[getter]
    fn max_size(&self) -> usize {
        LARGEST_RECEIVED
    }
}
