//! The reads of a subclass that replaced a method on which other methods rely.
//!
//! asyncio's `readline()` calls `self.readuntil()`, its `read()` without a size calls `self.read(limit)`, its
//! iteration `self.readline()`. These operations call and await the same, so that a subclass sees every call.

use pyo3::exceptions::{PyStopAsyncIteration, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::feed;
use super::reader::StreamReader;
use crate::base::ffi::buffer::Buffer;
use crate::base::ffi::coroutine::Sent;
use crate::base::gc::gc;
use crate::base::imports;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

/// Which method is implemented by another one.
pub(super) enum Role {
    /// `readline()` by `readuntil(b"\n")`.
    Line,
    /// `__anext__()` by `readline()`.
    Next,
    /// `read()` by `read(limit)`: what has been read so far.
    All(Vec<u8>),
}

/// A read by a Python method.
pub(super) struct Delegate {
    reader: Py<StreamReader>,
    role: Role,
    /// What is awaited.
    inner: Option<Py<PyAny>>,
}

gc!(Delegate { reader, inner } not { role });

impl Delegate {
    pub(super) fn start(reader: &Bound<'_, StreamReader>, role: Role) -> Unawaited {
        Unawaited::new(Self { reader: reader.clone().unbind(), role, inner: None })
    }

    /// Calls the method.
    fn call<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let reader = self.reader.bind(py);
        let awaitable = match self.role {
            Role::Line => reader.call_method1(intern!(py, "readuntil"), (PyBytes::new(py, b"\n"),))?,
            Role::Next => reader.call_method0(intern!(py, "readline"))?,
            Role::All(_) => {
                let limit = reader.getattr(intern!(py, "_limit"))?;
                reader.call_method1(intern!(py, "read"), (limit,))?
            }
        };
        operation::start_awaiting(&awaitable)
    }

    /// What the method's return value means; `None` if it is to be called again.
    fn returned<'py>(&mut self, value: Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = value.py();
        match &mut self.role {
            Role::Line => Ok(Some(value)),
            Role::Next if value.eq(PyBytes::new(py, b""))? => Err(PyStopAsyncIteration::new_err(())),
            Role::Next => Ok(Some(value)),
            Role::All(taken) => {
                if !value.is_truthy()? {
                    return Ok(Some(PyBytes::new(py, taken).into_any()));
                }
                Buffer::to_read(&value)?.read(py, |bytes| taken.extend_from_slice(bytes));
                Ok(None)
            }
        }
    }

    /// What the method's error means for a line: either part of a line, or a line that is too long and is dropped.
    fn raised<'py>(&self, py: Python<'py>, failure: PyErr) -> PyResult<Bound<'py, PyAny>> {
        if !matches!(self.role, Role::Line) {
            return Err(failure);
        }
        if failure.matches(py, imports::INCOMPLETE_READ_ERROR.get(py)?)? {
            return failure.value(py).getattr(intern!(py, "partial"));
        }
        if !failure.matches(py, imports::LIMIT_OVERRUN_ERROR.get(py)?)? {
            return Err(failure);
        }
        let consumed: usize = failure.value(py).getattr(intern!(py, "consumed"))?.extract()?;
        let message = failure.value(py).getattr(intern!(py, "args"))?.get_item(0)?;
        let reader = self.reader.bind(py);
        StreamReader::load_buffer(reader)?;
        reader.get().state.with(py, |state| {
            if state.unread.as_slice(py).get(consumed) == Some(&b'\n') {
                state.unread.consume(py, consumed + 1);
            } else {
                state.unread.clear(py);
            }
        });
        StreamReader::store_buffer(reader)?;
        feed::maybe_resume(reader)?;
        Err(PyValueError::new_err(message.unbind()))
    }
}

impl Run for Delegate {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let mut resume = resume;
        loop {
            let inner = match (&self.inner, &resume) {
                (Some(inner), _) => inner.bind(py).clone(),
                (None, Resume::Throw(exception)) => return Err(PyErr::from_value(exception.clone())),
                (None, Resume::Send) => {
                    let inner = self.call(py)?;
                    self.inner = Some(inner.clone().unbind());
                    inner
                }
            };
            let value = match operation::forward(&inner, resume) {
                Sent::Yielded(yielded) => return Ok(Progress::Forward(yielded)),
                Sent::Returned(value) => value,
                Sent::Raised(failure) => return self.raised(py, failure).map(Progress::Ready),
            };
            self.inner = None;
            if let Some(value) = self.returned(value)? {
                return Ok(Progress::Ready(value));
            }
            resume = Resume::Send;
        }
    }

    fn name(&self) -> &'static str {
        match self.role {
            Role::Line => "StreamReader.readline",
            Role::Next => "StreamReader.__anext__",
            Role::All(_) => "StreamReader.read",
        }
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.inner.as_ref().map(|inner| inner.bind(py).clone())
    }
}
