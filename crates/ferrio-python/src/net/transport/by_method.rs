//! Receives and sends with the methods of a socket that isn't plain: of a subclass, a mock, or one whose methods a
//! test suite has replaced. The calls and their arguments are asyncio's.

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use pyo3::types::PyByteArray;

use super::native::NativeProtocol;
use super::receiver::{self, Failed, Received, Receiver, Way};
use crate::base::error::unless_blocked;
use crate::base::ffi::context;
use crate::base::imports;
use crate::core::event_loop::receive::LARGEST_RECEIVED;

/// Receives once, and hands over what came; see `Receiver::receive`.
#[cold]
pub(super) fn receive(
    receiver: &Receiver,
    socket: &Bound<'_, PyAny>,
    scope: &Bound<'_, PyAny>,
) -> Result<Received, Failed> {
    let py = socket.py();
    let broken = |error| Failed { message: receiver::READ, error };
    let into = |buffer: &Bound<'_, PyAny>| -> PyResult<Option<usize>> {
        let count = unless_blocked(py, socket.call_method1(intern!(py, "recv_into"), (buffer,)))?;
        count.map(|count| count.extract()).transpose()
    };
    let Some(protocol) = receiver.protocol() else { return Ok(Received::Nothing) };
    let protocol = protocol.bind(py);
    match receiver.way {
        Way::Native(NativeProtocol { keep: None, take, .. }) => {
            let buffer = PyByteArray::new_with(py, LARGEST_RECEIVED, |_| Ok(())).map_err(broken)?;
            match into(buffer.as_any()).map_err(broken)? {
                None => Ok(Received::Nothing),
                Some(0) => Ok(Received::End),
                Some(count) => {
                    let mut bytes = buffer.to_vec();
                    bytes.truncate(count);
                    take(protocol, &bytes)
                        .map(|()| Received::Something)
                        .map_err(|error| Failed { message: receiver::DATA_RECEIVED, error })
                }
            }
        }
        Way::Method | Way::Native(_) => {
            let received = unless_blocked(py, socket.call_method1(intern!(py, "recv"), (LARGEST_RECEIVED,)))
                .map_err(broken)?;
            let Some(data) = received else { return Ok(Received::Nothing) };
            if !data.is_truthy().map_err(broken)? {
                return Ok(Received::End);
            }
            receiver::data_received(protocol, scope, data)
        }
        Way::Buffer => {
            let buffer = context::run(scope, |py| {
                let buffer = protocol.call_method1(intern!(py, "get_buffer"), (-1,))?;
                if buffer.len()? == 0 {
                    return Err(PyRuntimeError::new_err("get_buffer() returned an empty buffer"));
                }
                Ok(buffer)
            })
            .map_err(|error| Failed { message: receiver::GET_BUFFER, error })?;
            match into(&buffer).map_err(broken)? {
                None => Ok(Received::Nothing),
                Some(0) => Ok(Received::End),
                Some(count) => receiver::buffer_updated(protocol, scope, count),
            }
        }
    }
}

/// Sends one piece; returns how many bytes were sent, `None` if the socket is full.
#[cold]
pub(super) fn send(socket: &Bound<'_, PyAny>, piece: &Bound<'_, PyAny>) -> PyResult<Option<usize>> {
    let py = socket.py();
    let sent = unless_blocked(py, socket.call_method1(intern!(py, "send"), (piece,)))?;
    sent.map(|count| count.extract()).transpose()
}

/// Closes the sending direction.
#[cold]
pub(super) fn shut_down_sending(socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = socket.py();
    socket.call_method1(intern!(py, "shutdown"), (imports::SHUT_WR.get(py)?,)).map(drop)
}
