//! The transport below TLS: a socket's transport is called directly, any other by its methods.
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::base::ffi::{Cast, interpreter};
use crate::net::transport;
use crate::net::transport::socket::SocketTransport;

/// A transport as TLS uses it; cheap to copy.
pub(super) struct Lower<'py>(pub(super) Bound<'py, PyAny>);

impl Lower<'_> {
    /// Sends `data`.
    #[inline]
    pub(super) fn write(&self, data: &Bound<'_, PyBytes>) -> PyResult<()> {
        transport::write(&self.0, data.as_any())
    }

    /// Sends at once what waits for the end of the turn. Called before breaking off.
    pub(super) fn send_now(&self) -> PyResult<()> {
        transport::send_now(&self.0)
    }

    /// The context of the transport, if the loop passes us the socket's data without a Python call, and so outside of
    /// any context.
    pub(super) fn scope(&self) -> Option<Py<PyAny>> {
        if !interpreter::is_exactly::<SocketTransport>(&self.0) {
            return None;
        }
        let socket = self.0.as_instance::<SocketTransport>()?;
        Some(socket.get().scope(self.0.py()))
    }

    pub(super) fn pause_reading(&self) -> PyResult<()> {
        self.0.call_method0(intern!(self.0.py(), "pause_reading")).map(drop)
    }

    pub(super) fn resume_reading(&self) -> PyResult<()> {
        self.0.call_method0(intern!(self.0.py(), "resume_reading")).map(drop)
    }

    pub(super) fn is_closing(&self) -> PyResult<bool> {
        transport::is_closing(&self.0)
    }

    pub(super) fn close(&self) -> PyResult<()> {
        self.0.call_method0(intern!(self.0.py(), "close")).map(drop)
    }

    /// Breaks off; `connection_lost` gets `failure`. A transport that can't pass it on is aborted.
    pub(super) fn force_close(&self, failure: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        let py = self.0.py();
        match self.0.getattr_opt(intern!(py, "_force_close"))? {
            Some(force_close) => force_close.call1((failure,)).map(drop),
            None => self.0.call_method0(intern!(py, "abort")).map(drop),
        }
    }
}
