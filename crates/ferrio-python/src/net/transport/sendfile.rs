//! What `loop.sendfile` needs from a stream transport: it waits for the socket itself, as `sock_sendfile` does for a
//! program's own.
//!
//! Meanwhile the transport gets no events from the loop. If the transport is closed, `sendfile` is woken.

use pyo3::prelude::*;

use super::core::Transport;
use super::read;
use super::socket::SocketTransport;
use crate::base::error;

#[pymethods]
impl SocketTransport {
    /// Let operations wait for the socket. The transport gets none of its events until `_take_back()`.
    fn _lend(&self, py: Python<'_>) {
        if self.core.is_open(py) {
            self.core.event_loop.get().unwatch_natively(py, self.fd);
        }
    }

    /// Watch the socket again, if it is still open.
    fn _take_back(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        this.core.state.with(py, |state| state.own.forget_interest());
        if !this.core.is_open(py) {
            return Ok(());
        }
        this.core
            .event_loop
            .get()
            .watch_natively(this.fd, slf.as_any(), read::on_event, None)
            .map_err(|failure| error::from_system(py, &failure))?;
        Self::settle_interest(slf)
    }
}
