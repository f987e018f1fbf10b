//! Transports: they connect a protocol to a descriptor.
//!
//! All transports share these files. `core.rs` has their state and what a class adds to it, `lifetime.rs` their start
//! and end. `flow.rs` decides when the protocol pauses writing. `methods.rs` has the methods that are the same in
//! several classes, and `report.rs` reports failures. `native.rs` lets ferrio's own protocols and transports work
//! without a Python call. `receiver.rs` passes bytes to a protocol. `host.rs` is the server that accepted a
//! connection.
//!
//! `socket.rs` is the class for stream sockets (TCP, Unix). `state.rs` has its state, `read.rs` and `write.rs` handle
//! events, and `sendfile.rs` has what `loop.sendfile` needs. `outgoing.rs` holds bytes that wait to be sent,
//! `channel.rs` owns the descriptor, and `by_method.rs` calls a socket's own methods if a program has replaced them.
//!
//! `read_pipe.rs` and `write_pipe.rs` are the classes for the two ends of a pipe, `pipe.rs` what they share.
//! `datagram.rs` is the class for datagram sockets, `datagram_io.rs` what it does with its socket. `address.rs`
//! converts the kernel's addresses to Python's and back.
//!
//! A transport never runs Python code while its state is borrowed: a protocol may do anything to its transport.

pub(crate) mod address;
mod by_method;
mod channel;
pub(crate) mod core;
pub(crate) mod datagram;
mod datagram_io;
pub(crate) mod flow;
pub(crate) mod host;
pub(crate) mod lifetime;
pub(crate) mod methods;
pub(crate) mod native;
mod outgoing;
mod pipe;
mod read;
pub(crate) mod read_pipe;
pub(crate) mod receiver;
pub(crate) mod report;
mod sendfile;
pub(crate) mod socket;
mod state;
pub(crate) mod write;
pub(crate) mod write_pipe;
use pyo3::prelude::*;

use self::native::NativeTransport;
use self::socket::SocketTransport;
use crate::base::ffi::{Cast, interpreter};

/// Writes `data` to any transport. A transport of ferrio's with its own methods is called without Python.
#[inline]
pub(crate) fn write(transport: &Bound<'_, PyAny>, data: &Bound<'_, PyAny>) -> PyResult<()> {
    if interpreter::is_exactly::<SocketTransport>(transport) {
        let socket = transport.cast::<SocketTransport>()?;
        if !socket.get().is_altered() {
            return write::write(socket, data);
        }
    } else if let Some(native) = NativeTransport::find(transport) {
        return (native.write)(transport, data);
    }
    transport.call_method1(intern!(transport.py(), "write"), (data,)).map(drop)
}

/// Whether it is a `SocketTransport` with its own methods, without TLS.
#[inline]
pub(crate) fn is_plain_socket(transport: &Bound<'_, PyAny>) -> bool {
    transport.as_exactly::<SocketTransport>().is_some_and(|socket| !socket.get().is_altered())
}

/// `transport.is_closing()` of any transport. A transport of ferrio's is asked without a Python call.
#[inline]
pub(crate) fn is_closing(transport: &Bound<'_, PyAny>) -> PyResult<bool> {
    if interpreter::is_exactly::<SocketTransport>(transport) {
        let socket = transport.cast::<SocketTransport>()?;
        if !socket.get().is_altered() {
            return Ok(socket.get().is_closing(transport.py()));
        }
    } else if let Some(native) = NativeTransport::find(transport) {
        return (native.is_closing)(transport);
    }
    transport.call_method0(intern!(transport.py(), "is_closing"))?.is_truthy()
}

/// Sends at once what a `SocketTransport` keeps for the end of the turn.
pub(crate) fn send_now(transport: &Bound<'_, PyAny>) -> PyResult<()> {
    match transport.as_instance::<SocketTransport>() {
        Some(socket) => write::send_gathered(socket),
        None => Ok(()),
    }
}
