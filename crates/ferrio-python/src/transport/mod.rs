//! Transports: what stands between a protocol and a descriptor.
//!
//! `socket.rs` is the class for stream sockets (TCP, Unix); `state.rs` has its state and the transitions, `read.rs` and
//! `write.rs` what an event does, `lifetime.rs` beginning and end. `outgoing.rs` holds bytes that wait to be sent,
//! `receiver.rs` knows how bytes reach a protocol, `report.rs` tells of failures.
//!
//! A transport never runs Python code while its state is borrowed: a protocol may do anything to its transport.

mod lifetime;
mod outgoing;
mod read;
pub(crate) mod receiver;
pub(crate) mod report;
pub(crate) mod socket;
mod state;
pub(crate) mod write;

use pyo3::intern;
use pyo3::prelude::*;

use self::socket::SocketTransport;
use crate::ffi::interpreter;

/// Writes `data` over any transport; over one of ours, whose methods nobody replaced, without a Python call.
#[inline]
pub(crate) fn write(transport: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    if interpreter::is_exactly::<SocketTransport>(transport) {
        let socket = transport.cast::<SocketTransport>()?;
        if !socket.get().is_altered() {
            return write::write(socket, data);
        }
    }
    transport.call_method1(intern!(transport.py(), "write"), (data,)).map(drop)
}
