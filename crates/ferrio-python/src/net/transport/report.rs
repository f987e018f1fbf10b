//! How a transport reports failures: to the loop's exception handler, to the log, as warnings.

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyOSError, PyResourceWarning};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::core::Transport;
use crate::base::ffi::raise;
use crate::base::{error, imports};
use crate::core::event_loop::Loop;

/// After this many writes to a lost connection the log says that they have no effect.
const WRITES_BEFORE_WARNING: u32 = 5;

/// Reports `failure`, which ends the transport's connection. An `OSError` is the way networks end connections, so it
/// is only logged in debug mode.
///
/// Raises errors that must end the program.
pub(super) fn fatal<T: Transport>(transport: &Bound<'_, T>, failure: &PyErr, message: &str) -> PyResult<()> {
    let py = transport.py();
    if error::ends_program(py, failure) || !failure.is_instance_of::<PyOSError>(py) {
        return problem(transport, failure, message);
    }
    if transport.get().core().event_loop.get().debug() {
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "exc_info"), failure.value(py))?;
        imports::LOGGER.get(py)?.call_method(
            intern!(py, "debug"),
            ("%r: %s", transport, message),
            Some(&keywords),
        )?;
    }
    Ok(())
}

/// Tells the loop's exception handler what a protocol's method raised.
///
/// Raises errors that must end the program.
#[cold]
pub(crate) fn problem<T: Transport>(
    transport: &Bound<'_, T>,
    failure: &PyErr,
    message: &str,
) -> PyResult<()> {
    let (py, core) = (transport.py(), transport.get().core());
    if error::ends_program(py, failure) {
        return Err(failure.clone_ref(py));
    }
    let context = PyDict::new(py);
    context.set_item(intern!(py, "message"), message)?;
    context.set_item(intern!(py, "exception"), failure.value(py))?;
    context.set_item(intern!(py, "transport"), transport)?;
    context.set_item(intern!(py, "protocol"), core.protocol(py))?;
    raise::while_handling(failure.value(py), || {
        core.event_loop.bind(py).call_method1(intern!(py, "call_exception_handler"), (context,)).map(drop)
    })
}

/// Handles the `count`th write to a lost connection: from the fifth on, it is logged.
pub(crate) fn lost_write(py: Python<'_>, count: u32) -> PyResult<()> {
    if count >= WRITES_BEFORE_WARNING {
        imports::LOGGER
            .get(py)?
            .call_method1(intern!(py, "warning"), ("socket.send() raised exception.",))?;
    }
    Ok(())
}

/// In debug mode, a line in the log: `format` with `%r` for the transport.
pub(crate) fn debug(
    event_loop: &Bound<'_, Loop>,
    format: &str,
    transport: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let py = event_loop.py();
    if event_loop.get().debug() {
        imports::LOGGER.get(py)?.call_method1(intern!(py, "debug"), (format, transport))?;
    }
    Ok(())
}

/// The warning of a transport that is dropped open.
pub(crate) fn unclosed(transport: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = transport.py();
    let keywords = PyDict::new(py);
    keywords.set_item(intern!(py, "source"), transport)?;
    let text = format!("unclosed transport {}", transport.repr()?);
    imports::WARN.get(py)?.call((text, PyResourceWarning::type_object(py)), Some(&keywords)).map(drop)
}
