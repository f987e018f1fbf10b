//! How bytes that arrive reach a protocol.
//!
//! A protocol written in Python gets `data_received(bytes)`, or hands out its buffer if it is a `BufferedProtocol`. A
//! protocol of ours takes them as a Rust slice. `NATIVE` lists those that do.

use ferrio_engine::net::{self, Attempt};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use pyo3::{PyTraverseError, PyVisit, intern};

use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::context;
use crate::base::{error, imports};
use crate::core::event_loop::Loop;
use crate::core::event_loop::received::Expected;
use crate::net::streams::protocol as streams;
use crate::net::{process, tls};

/// Takes bytes that have arrived, from a slice that is good for the call only.
pub(crate) type Take = for<'py> fn(&Bound<'py, PyAny>, &[u8]) -> PyResult<()>;

/// Says whether it takes a protocol's bytes natively, and how.
type Takes = fn(&Bound<'_, PyAny>) -> Option<Take>;

/// One for each of our own protocols.
const NATIVE: [Takes; 2] = [tls::read::native_take, process::pipe::native_take];

/// A protocol, by how it gets its bytes.
#[derive(Default)]
pub(crate) enum Receiver {
    /// None was set, or the connection is lost.
    #[default]
    Nobody,
    Streaming(Py<PyAny>),
    Buffered(Py<PyAny>),
    /// A plain `StreamReaderProtocol`: objects go to its reader, past `data_received`.
    Reader(Py<PyAny>),
    Native(Py<PyAny>, Take),
}

/// What went wrong while bytes were received, with the words for the report; an `OSError` came from the socket.
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
    /// How `protocol` takes bytes.
    pub(crate) fn of(protocol: &Bound<'_, PyAny>) -> PyResult<Self> {
        let held = protocol.clone().unbind();
        if let Some(take) = NATIVE.iter().find_map(|takes| takes(protocol)) {
            return Ok(Self::Native(held, take));
        }
        if streams::is_plain(protocol) {
            return Ok(Self::Reader(held));
        }
        if protocol.is_instance(imports::BUFFERED_PROTOCOL.get(protocol.py())?)? {
            return Ok(Self::Buffered(held));
        }
        Ok(Self::Streaming(held))
    }

    /// The protocol.
    pub(crate) fn protocol(&self) -> Option<&Py<PyAny>> {
        match self {
            Self::Nobody => None,
            Self::Streaming(protocol)
            | Self::Buffered(protocol)
            | Self::Reader(protocol)
            | Self::Native(protocol, _) => Some(protocol),
        }
    }

    #[inline]
    pub(crate) fn clone_ref(&self, py: Python<'_>) -> Self {
        match self {
            Self::Nobody => Self::Nobody,
            Self::Streaming(protocol) => Self::Streaming(protocol.clone_ref(py)),
            Self::Buffered(protocol) => Self::Buffered(protocol.clone_ref(py)),
            Self::Reader(protocol) => Self::Reader(protocol.clone_ref(py)),
            Self::Native(protocol, take) => Self::Native(protocol.clone_ref(py), *take),
        }
    }

    /// Lets go of it while attached, which spares a look at the thread's state.
    #[inline]
    pub(crate) fn release(self, py: Python<'_>) {
        match self {
            Self::Nobody => {}
            Self::Streaming(protocol)
            | Self::Buffered(protocol)
            | Self::Reader(protocol)
            | Self::Native(protocol, _) => protocol.drop_ref(py),
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.protocol())
    }

    /// Whether receiving had better wait for the next turn: of a stream, whose task should run before others get their data.
    #[inline]
    pub(crate) fn can_wait(&self, native: &Bound<'_, Loop>) -> bool {
        matches!(self, Self::Reader(_)) && native.get().puts_off()
    }

    /// Receives once from the socket `fd`, and hands over what came, in `scope` if that is Python code. `expected` is what
    /// the connection is known to bring.
    #[inline]
    pub(crate) fn receive(
        &self,
        native: &Bound<'_, Loop>,
        fd: i32,
        scope: &Bound<'_, PyAny>,
        expected: &mut Expected,
    ) -> Result<Received, Failed> {
        let (py, home) = (native.py(), native.get());
        let broken =
            |failure: std::io::Error| Failed { message: READ, error: error::from_system(py, &failure) };
        match self {
            Self::Nobody => Ok(Received::Nothing),
            Self::Streaming(protocol) | Self::Reader(protocol) => {
                let received = home
                    .receive_expecting(py, fd, expected)
                    .map_err(|error| Failed { message: READ, error })?
                    .map_err(broken)?;
                match received {
                    None => Ok(Received::Nothing),
                    Some(bytes) if bytes.as_bytes().is_empty() => Ok(Received::End),
                    Some(bytes) if matches!(self, Self::Reader(_)) => {
                        home.hand_out(bytes.as_bytes().len());
                        streams::receive(protocol.bind(py), bytes)
                            .map(|()| Received::Something)
                            .map_err(|error| Failed { message: DATA_RECEIVED, error })
                    }
                    Some(bytes) => data_received(protocol.bind(py), scope, bytes.into_any()),
                }
            }
            Self::Native(protocol, take) => {
                let taken = home.receive_for(py, fd, |bytes| {
                    if bytes.is_empty() {
                        return Ok(Received::End);
                    }
                    take(protocol.bind(py), bytes).map(|()| Received::Something)
                });
                taken
                    .map_err(broken)?
                    .unwrap_or(Ok(Received::Nothing))
                    .map_err(|error| Failed { message: DATA_RECEIVED, error })
            }
            Self::Buffered(protocol) => {
                let protocol = protocol.bind(py);
                let mut buffer = context::run(scope, |_| get_buffer(protocol, -1))
                    .map_err(|error| Failed { message: GET_BUFFER, error })?;
                let attempt = buffer.write(py, |bytes| net::receive(fd, bytes)).map_err(broken)?;
                // The protocol may resize its buffer from here on.
                drop(buffer);
                match attempt {
                    Attempt::WouldBlock => Ok(Received::Nothing),
                    Attempt::Done(0) => Ok(Received::End),
                    Attempt::Done(count) => buffer_updated(protocol, scope, count),
                }
            }
        }
    }

    /// Hands over bytes that came from elsewhere, a TLS record mostly; in `scope` if that is Python code.
    pub(crate) fn deliver(
        &self,
        py: Python<'_>,
        scope: &Bound<'_, PyAny>,
        mut bytes: &[u8],
    ) -> Result<(), Failed> {
        match self {
            Self::Nobody => Ok(()),
            Self::Streaming(protocol) => {
                data_received(protocol.bind(py), scope, PyBytes::new(py, bytes).into_any()).map(drop)
            }
            Self::Reader(protocol) => streams::receive_copy(protocol.bind(py), bytes)
                .map_err(|error| Failed { message: DATA_RECEIVED, error }),
            Self::Native(protocol, take) => {
                take(protocol.bind(py), bytes).map_err(|error| Failed { message: DATA_RECEIVED, error })
            }
            Self::Buffered(protocol) => {
                let protocol = protocol.bind(py);
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
