//! Lending a stream transport's descriptor: `loop.sendfile` waits for the socket itself, as `sock_sendfile` does for a
//! program's own.
//!
//! While it is lent the loop brings the transport no events; one that is closed meanwhile wakes who waits.

use pyo3::prelude::*;

use super::socket::SocketTransport;
use super::{lifetime, read};
use crate::base::error;

#[pymethods]
impl SocketTransport {
    /// Let operations wait for the socket, which the transport takes no events of until `_take_back()`.
    fn _lend(&self, py: Python<'_>) {
        if !self.state.with(py, |state| state.channel.is_closed()) {
            self.home.get().unwatch_natively(py, self.fd);
        }
    }

    /// Look after the socket again, if it is still open.
    fn _take_back(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        let open = this.state.with(py, |state| {
            state.forget_interest();
            !state.channel.is_closed()
        });
        if !open {
            return Ok(());
        }
        this.home
            .get()
            .watch_natively(this.fd, slf.as_any(), read::on_event, None)
            .map_err(|failure| error::from_system(py, &failure))?;
        lifetime::settle_interest(this.home.bind(py), slf)
    }

    /// Whether the protocol was told to stop writing.
    #[getter]
    fn _protocol_paused(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.marks.is_paused())
    }
}
