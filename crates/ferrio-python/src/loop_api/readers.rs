//! `add_reader`, `add_writer` and their removal: Python callbacks on file descriptors.

use pyo3::exceptions::{PyAttributeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyTuple};

use crate::base::error;
use crate::base::ffi::context;
use crate::core::event_loop::descriptors::Side;
use crate::core::event_loop::sides::require_no_transport;
use crate::core::event_loop::{Loop, LoopRef};
use crate::core::handle::{self, Args, Handle};

#[pymethods]
impl Loop {
    /// Call `callback(*args)` whenever `fd`, a file descriptor or an object with a `fileno()`, can be read.
    ///
    /// It replaces the present reader of `fd`, if any. Raises `ValueError` if `fd` isn't a descriptor, and
    /// `RuntimeError` if a transport uses it or the loop is closed. Raises `OSError` if it is closed or can't be
    /// watched (a regular file).
    #[pyo3(signature = (fd, callback, *args))]
    fn add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        require_free(slf, &fd)?;
        add(slf, Side::Reading, fd, callback, args, None).map(drop)
    }

    /// Remove the reader of `fd`; return whether there was one.
    #[pyo3(signature = (fd))]
    fn remove_reader(slf: &Bound<'_, Self>, fd: Bound<'_, PyAny>) -> PyResult<bool> {
        require_free(slf, &fd)?;
        remove(slf, Side::Reading, &fd)
    }

    /// Call `callback(*args)` whenever `fd`, a file descriptor or an object with a `fileno()`, can be written.
    ///
    /// Otherwise as `add_reader`.
    #[pyo3(signature = (fd, callback, *args))]
    fn add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        require_free(slf, &fd)?;
        add(slf, Side::Writing, fd, callback, args, None).map(drop)
    }

    /// Remove the writer of `fd`; return whether there was one.
    #[pyo3(signature = (fd))]
    fn remove_writer(slf: &Bound<'_, Self>, fd: Bound<'_, PyAny>) -> PyResult<bool> {
        require_free(slf, &fd)?;
        remove(slf, Side::Writing, &fd)
    }

    /// As `add_reader`, even if a transport uses the descriptor; return the handle. Libraries with their own
    /// transports use it.
    #[pyo3(signature = (fd, callback, *args, context = None))]
    fn _add_reader<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<Handle>> {
        add(slf, Side::Reading, fd, callback, args, context)
    }

    /// As `remove_reader`, even if a transport uses the descriptor.
    #[pyo3(signature = (fd))]
    fn _remove_reader(slf: &Bound<'_, Self>, fd: Bound<'_, PyAny>) -> PyResult<bool> {
        remove(slf, Side::Reading, &fd)
    }

    /// As `add_writer`, even if a transport uses the descriptor; return the handle.
    #[pyo3(signature = (fd, callback, *args, context = None))]
    fn _add_writer<'py>(
        slf: &Bound<'py, Self>,
        fd: Bound<'py, PyAny>,
        callback: Bound<'py, PyAny>,
        args: Bound<'py, PyTuple>,
        context: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Py<Handle>> {
        add(slf, Side::Writing, fd, callback, args, context)
    }

    /// As `remove_writer`, even if a transport uses the descriptor.
    #[pyo3(signature = (fd))]
    fn _remove_writer(slf: &Bound<'_, Self>, fd: Bound<'_, PyAny>) -> PyResult<bool> {
        remove(slf, Side::Writing, &fd)
    }

    /// Raise `RuntimeError` if the transport of a socket uses the descriptor `fd` and is not closing.
    #[pyo3(signature = (fd))]
    fn _ensure_fd_no_transport(slf: &Bound<'_, Self>, fd: Bound<'_, PyAny>) -> PyResult<()> {
        require_free(slf, &fd)
    }
}

fn add<'py>(
    native: &Bound<'py, Loop>,
    side: Side,
    object: Bound<'py, PyAny>,
    callback: Bound<'py, PyAny>,
    args: Bound<'py, PyTuple>,
    given: Option<Bound<'py, PyAny>>,
) -> PyResult<Py<Handle>> {
    let py = native.py();
    native.get().require_open()?;
    let fd = require_valid(number(&object)?)?;
    let context = context::given_or_copy(py, given)?;
    let home = LoopRef::Native(native.clone().unbind());
    let handle = Py::new(
        py,
        Handle::build(py, home, callback, Args::from_tuple(args), context, native.get().debug())?,
    )?;
    let object = (!object.is_instance_of::<PyInt>()).then(|| object.unbind());
    let replaced = native
        .get()
        .watch_descriptor(py, fd, side, handle.clone_ref(py), object)
        .map_err(|failure| error::from_system(py, &failure))?;
    if let Some(replaced) = replaced {
        handle::cancel(replaced.bind(py))?;
    }
    Ok(handle)
}

fn remove(native: &Bound<'_, Loop>, side: Side, object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = native.py();
    if native.get().closed() {
        return Ok(false);
    }
    let fd = number(object)?;
    // An object that was closed first is still found by its identity.
    let found = if fd < 0 { native.get().find_watched(object, side) } else { None };
    let fd = match found {
        Some(fd) => fd,
        None => require_valid(fd)?,
    };
    match native.get().unwatch_descriptor(py, fd, side) {
        Some(handle) => handle::cancel(handle.bind(py)).map(|()| true),
        None => Ok(false),
    }
}

/// As `require_no_transport`, for a descriptor or an object with one.
fn require_free(native: &Bound<'_, Loop>, object: &Bound<'_, PyAny>) -> PyResult<()> {
    require_no_transport(native, number(object)?, object)
}

/// The number of a descriptor, or of an object that has one (-1 for a closed socket).
fn number(object: &Bound<'_, PyAny>) -> PyResult<i32> {
    if object.is_instance_of::<PyInt>() {
        return object.extract().map_err(|_| invalid_number(object));
    }
    let py = object.py();
    match object.call_method0(intern!(py, "fileno")).and_then(|fd| fd.extract()) {
        Ok(fd) => Ok(fd),
        Err(failure)
            if failure.is_instance_of::<PyAttributeError>(py)
                || failure.is_instance_of::<PyTypeError>(py)
                || failure.is_instance_of::<PyValueError>(py) =>
        {
            Err(PyValueError::new_err(format!("Invalid file object: {}", object.repr()?)))
        }
        Err(failure) => Err(failure),
    }
}

fn require_valid(fd: i32) -> PyResult<i32> {
    if fd < 0 { Err(invalid_number(fd)) } else { Ok(fd) }
}

fn invalid_number(fd: impl std::fmt::Display) -> PyErr {
    PyValueError::new_err(format!("Invalid file descriptor: {fd}"))
}
