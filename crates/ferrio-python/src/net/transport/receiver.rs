//! How arriving bytes reach a protocol.
//!
//! A protocol written in Python gets `data_received(bytes)`, or hands out its buffer if it is a `BufferedProtocol`. A
//! protocol of ours takes them without a Python call, as its entry says (`native.rs`).

use ferrio_engine::net::{self, Attempt};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::native::NativeProtocol;
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::context;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::Loop;
use crate::core::event_loop::receive::Expected;

/// How a protocol takes what arrives.
#[derive(Clone, Copy, Default)]
pub(crate) enum Way {
    /// `data_received(bytes)`.
    #[default]
    Method,
    /// `get_buffer(sizehint)` and `buffer_updated(nbytes)`.
    Buffer,
    /// Without a Python call.
    Native(&'static NativeProtocol),
}

/// A protocol and how it takes data; empty before one is set and after the connection is lost.
#[derive(Default)]
pub(crate) struct Receiver {
    protocol: Option<Py<PyAny>>,
    pub(crate) way: Way,
}

gc!(Receiver { protocol } not { way });

/// An error while bytes were received, with the words for the report; an `OSError` came from the socket.
pub(crate) struct Failed {
    pub(crate) message: &'static str,
    pub(crate) error: PyErr,
}

/// What was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    Something,
    Nothing,
    /// The end of input.
    End,
}

pub(super) const READ: &str = "Fatal read error on socket transport";
pub(super) const DATA_RECEIVED: &str = "Fatal error: protocol.data_received() call failed.";
pub(super) const GET_BUFFER: &str = "Fatal error: protocol.get_buffer() call failed.";
const BUFFER_UPDATED: &str = "Fatal error: protocol.buffer_updated() call failed.";

impl Receiver {
    /// `protocol`, and how it takes bytes.
    pub(crate) fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let way = if let Some(native) = NativeProtocol::find(protocol) {
            Way::Native(native)
        } else if protocol.is_instance(imports::BUFFERED_PROTOCOL.get(protocol.py())?)? {
            Way::Buffer
        } else {
            Way::Method
        };
        Ok(Self { protocol: Some(protocol.clone().unbind()), way })
    }

    /// The protocol.
    #[inline]
    pub(crate) fn protocol(&self) -> Option<&Py<PyAny>> {
        self.protocol.as_ref()
    }

    #[inline]
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        Self { protocol: self.protocol.as_ref().map(|protocol| protocol.clone_ref(py)), way: self.way }
    }

    /// Drops it while attached, which is cheaper than a drop that checks the thread's state.
    #[inline]
    pub(crate) fn drop_ref(self, py: Python<'_>) {
        if let Some(protocol) = self.protocol {
            protocol.drop_ref(py);
        }
    }

    /// Whether receiving should wait for the next turn, so that a stream's task runs before others get their data.
    #[inline]
    pub(super) fn can_wait(&self, event_loop: &Bound<'_, Loop>) -> bool {
        matches!(self.way, Way::Native(NativeProtocol { keep: Some(_), .. }))
            && event_loop.get().receiving().defers()
    }

    /// Receives once from the socket `fd`, and hands over what came, in `scope` if that is Python code. `expected` is
    /// how much the connection usually brings.
    #[inline]
    pub(super) fn receive(
        &self,
        event_loop: &Bound<'_, Loop>,
        fd: i32,
        scope: &Bound<'_, PyAny>,
        expected: &mut Expected,
    ) -> Result<Received, Failed> {
        let (py, event_loop) = (event_loop.py(), event_loop.get());
        let broken =
            |failure: std::io::Error| Failed { message: READ, error: error::from_system(py, &failure) };
        let Some(protocol) = &self.protocol else { return Ok(Received::Nothing) };
        let protocol = protocol.bind(py);
        match self.way {
            Way::Native(NativeProtocol { keep: None, take, .. }) => {
                let taken = event_loop.receiving().receive_for(py, fd, |bytes| {
                    if bytes.is_empty() {
                        return Ok(Received::End);
                    }
                    take(protocol, bytes).map(|()| Received::Something)
                });
                taken
                    .map_err(broken)?
                    .unwrap_or(Ok(Received::Nothing))
                    .map_err(|error| Failed { message: DATA_RECEIVED, error })
            }
            Way::Method | Way::Native(_) => {
                let received = event_loop
                    .receiving()
                    .receive_expecting(py, fd, expected)
                    .map_err(|error| Failed { message: READ, error })?
                    .map_err(broken)?;
                match received {
                    None => Ok(Received::Nothing),
                    Some(bytes) if bytes.as_bytes().is_empty() => Ok(Received::End),
                    Some(bytes) => match self.way {
                        Way::Native(NativeProtocol { keep: Some(keep), .. }) => {
                            event_loop.receiving().hand_out(bytes.as_bytes().len());
                            keep(protocol, bytes)
                                .map(|()| Received::Something)
                                .map_err(|error| Failed { message: DATA_RECEIVED, error })
                        }
                        _ => data_received(protocol, scope, bytes.into_any()),
                    },
                }
            }
            Way::Buffer => {
                let mut buffer = context::run(scope, |_| get_buffer(protocol, -1))
                    .map_err(|error| Failed { message: GET_BUFFER, error })?;
                let attempt = buffer.write(py, |bytes| net::receive(fd, bytes)).map_err(broken)?;
                // The protocol may resize its buffer from here on.
                drop(buffer);
                match attempt {
                    Attempt::WouldBlock => Ok(Received::Nothing),
                    Attempt::Done(0) => Ok(Received::End),
                    Attempt::Done(count) => {
                        event_loop.receiving().note_received(count);
                        buffer_updated(protocol, scope, count)
                    }
                }
            }
        }
    }

    /// Hands over bytes from another source, in `scope` if that is Python code.
    pub(super) fn deliver(
        &self,
        py: Python<'_>,
        scope: &Bound<'_, PyAny>,
        mut bytes: &[u8],
    ) -> Result<(), Failed> {
        let Some(protocol) = &self.protocol else { return Ok(()) };
        let protocol = protocol.bind(py);
        match self.way {
            Way::Method => data_received(protocol, scope, PyBytes::new(py, bytes).into_any()).map(drop),
            Way::Native(native) => {
                (native.take)(protocol, bytes).map_err(|error| Failed { message: DATA_RECEIVED, error })
            }
            Way::Buffer => {
                while !bytes.is_empty() {
                    let hint = isize::try_from(bytes.len()).unwrap_or(-1);
                    let mut buffer = context::run(scope, |_| get_buffer(protocol, hint))
                        .map_err(|error| Failed { message: GET_BUFFER, error })?;
                    let count = buffer.write(py, |room| {
                        let count = room.len().min(bytes.len());
                        room[..count].copy_from_slice(&bytes[..count]);
                        count
                    });
                    drop(buffer);
                    bytes = &bytes[count..];
                    buffer_updated(protocol, scope, count)?;
                }
                Ok(())
            }
        }
    }
}

#[inline]
pub(super) fn data_received(
    protocol: &Bound<'_, PyAny>,
    scope: &Bound<'_, PyAny>,
    bytes: Bound<'_, PyAny>,
) -> Result<Received, Failed> {
    let outcome =
        context::run(scope, |py| protocol.call_method1(intern!(py, "data_received"), (bytes,)).map(drop));
    match outcome {
        Ok(()) => Ok(Received::Something),
        Err(error) => Err(Failed { message: DATA_RECEIVED, error }),
    }
}

fn get_buffer(protocol: &Bound<'_, PyAny>, hint: isize) -> PyResult<Buffer> {
    let buffer = Buffer::to_write(&protocol.call_method1(intern!(protocol.py(), "get_buffer"), (hint,))?)?;
    if buffer.len() == 0 {
        return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
    }
    Ok(buffer)
}

#[inline]
pub(super) fn buffer_updated(
    protocol: &Bound<'_, PyAny>,
    scope: &Bound<'_, PyAny>,
    count: usize,
) -> Result<Received, Failed> {
    let outcome =
        context::run(scope, |py| protocol.call_method1(intern!(py, "buffer_updated"), (count,)).map(drop));
    match outcome {
        Ok(()) => Ok(Received::Something),
        Err(error) => Err(Failed { message: BUFFER_UPDATED, error }),
    }
}
