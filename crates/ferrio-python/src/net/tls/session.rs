//! The interpreter's TLS object between its two memory BIOs: what goes in, what comes out, what it answers.
//!
//! All cryptography is OpenSSL's, through the user's own `ssl.SSLContext`. Here `SSLWantReadError` becomes a value.
//! If no subclass has changed the Python methods of `ssl.SSLObject`, calls go directly to the C object behind them.
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::base::ffi::memory;
use crate::base::gc::gc;
use crate::base::imports;

/// Up to this many bytes, a copy is cheaper than a view.
const COPIED: usize = 2048;

/// What the TLS object answered.
pub(crate) enum Answer<T> {
    Done(T),
    /// It needs more input first.
    Again,
}

/// One TLS object and its BIOs.
pub(crate) struct Session {
    /// The `ssl.SSLObject`.
    object: Py<PyAny>,
    /// What is called: the C object behind `object`, or `object` itself.
    callee: Py<PyAny>,
    /// Whether `callee` is the C object, which copies what it gets and keeps no view of it.
    direct: bool,
    incoming: Py<PyAny>,
    outgoing: Py<PyAny>,
}

gc!(Session { object, callee, incoming, outgoing } not { direct });

impl Session {
    /// A session of `context` (`ssl.SSLContext`). Raises what `context.wrap_bio` raises.
    pub(crate) fn new(
        context: &Bound<'_, PyAny>,
        server_side: bool,
        server_hostname: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let py = context.py();
        let incoming = imports::MEMORY_BIO.get(py)?.call0()?;
        let outgoing = imports::MEMORY_BIO.get(py)?.call0()?;
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "server_side"), server_side)?;
        keywords.set_item(intern!(py, "server_hostname"), server_hostname)?;
        let object = context.call_method(intern!(py, "wrap_bio"), (&incoming, &outgoing), Some(&keywords))?;
        let (callee, direct) = callee_of(&object)?;
        Ok(Self {
            object: object.unbind(),
            callee: callee.unbind(),
            direct,
            incoming: incoming.unbind(),
            outgoing: outgoing.unbind(),
        })
    }

    /// The same BIOs with another TLS object, for programs that set their own.
    pub(crate) fn with_object(&self, object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let (callee, direct) = callee_of(object)?;
        Ok(Self {
            object: object.clone().unbind(),
            callee: callee.unbind(),
            direct,
            incoming: self.incoming.clone_ref(py),
            outgoing: self.outgoing.clone_ref(py),
        })
    }

    /// The `ssl.SSLObject`.
    pub(crate) fn object<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.object.bind(py)
    }

    /// The `ssl.MemoryBIO` of what was received.
    pub(crate) fn incoming<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.incoming.bind(py)
    }

    /// The `ssl.MemoryBIO` with the bytes to send.
    pub(crate) fn outgoing<'py>(&self, py: Python<'py>) -> &Bound<'py, PyAny> {
        self.outgoing.bind(py)
    }

    /// Whether no other Python code runs in between, so that a lent view is given back.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct
    }

    /// Gives it what was received.
    #[inline]
    pub(crate) fn feed(&self, py: Python<'_>, data: &[u8]) -> PyResult<()> {
        if data.is_empty() {
            return Ok(());
        }
        let (incoming, write) = (self.incoming.bind(py), intern!(py, "write"));
        if data.len() <= COPIED {
            incoming.call_method1(write, (PyBytes::new(py, data),)).map(drop)
        } else {
            memory::write_to_bio(incoming, data).map(drop)
        }
    }

    /// How many received bytes the TLS object hasn't taken yet.
    #[inline]
    pub(crate) fn unread(&self, py: Python<'_>) -> PyResult<usize> {
        self.incoming.bind(py).getattr(intern!(py, "pending"))?.extract()
    }

    /// How many bytes there are to send.
    #[inline]
    pub(crate) fn unsent(&self, py: Python<'_>) -> PyResult<usize> {
        self.outgoing.bind(py).getattr(intern!(py, "pending"))?.extract()
    }

    /// Takes the bytes to send; there may be none.
    #[inline]
    pub(crate) fn take_unsent<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(self.outgoing.bind(py).call_method0(intern!(py, "read"))?.cast_into::<PyBytes>()?)
    }

    /// How many bytes of the last record are decrypted and not taken yet.
    #[inline]
    pub(crate) fn decrypted(&self, py: Python<'_>) -> PyResult<usize> {
        self.callee.bind(py).call_method0(intern!(py, "pending"))?.extract()
    }

    /// Goes on with the handshake.
    pub(crate) fn handshake(&self, py: Python<'_>) -> PyResult<Answer<()>> {
        answer(py, self.callee.bind(py).call_method0(intern!(py, "do_handshake")).map(drop))
    }

    /// Up to `size` bytes of what the peer wrote, from one record; empty after the peer has closed.
    #[inline]
    pub(crate) fn read<'py>(&self, py: Python<'py>, size: usize) -> PyResult<Answer<Bound<'py, PyBytes>>> {
        match answer(py, self.callee.bind(py).call_method1(intern!(py, "read"), (size,)))? {
            Answer::Done(data) => Ok(Answer::Done(data.cast_into::<PyBytes>()?)),
            Answer::Again => Ok(Answer::Again),
        }
    }

    /// As `read`, into `buffer`; returns the number of bytes.
    #[inline]
    pub(crate) fn read_into(
        &self,
        py: Python<'_>,
        size: usize,
        buffer: &Bound<'_, PyAny>,
    ) -> PyResult<Answer<usize>> {
        match answer(py, self.callee.bind(py).call_method1(intern!(py, "read"), (size, buffer)))? {
            Answer::Done(count) => Ok(Answer::Done(count.extract()?)),
            Answer::Again => Ok(Answer::Again),
        }
    }

    /// Encrypts `data[start..end]`; returns how many bytes it took.
    #[inline]
    pub(crate) fn write<'py>(
        &self,
        data: &Bound<'py, PyBytes>,
        start: usize,
        end: usize,
    ) -> PyResult<Answer<usize>> {
        let py = data.py();
        let (callee, write) = (self.callee.bind(py), intern!(py, "write"));
        let outcome = if start == 0 && end == data.as_bytes().len() {
            callee.call_method1(write, (data,))
        } else {
            let part = &data.as_bytes()[start..end];
            if part.len() <= COPIED || !self.direct {
                callee.call_method1(write, (PyBytes::new(py, part),))
            } else {
                callee.call_method1(write, (memory::part_of(data, start, end)?,))
            }
        };
        match answer(py, outcome)? {
            Answer::Done(count) => Ok(Answer::Done(count.extract()?)),
            Answer::Again => Ok(Answer::Again),
        }
    }

    /// Goes on with the closing handshake.
    pub(crate) fn shutdown(&self, py: Python<'_>) -> PyResult<Answer<()>> {
        let name = if self.direct { intern!(py, "shutdown") } else { intern!(py, "unwrap") };
        answer(py, self.callee.bind(py).call_method0(name).map(drop))
    }
}

/// What to call for `object`: a subclass of `ssl.SSLObject` may have methods of its own.
fn callee_of<'py>(object: &Bound<'py, PyAny>) -> PyResult<(Bound<'py, PyAny>, bool)> {
    let py = object.py();
    if object.get_type().is(imports::SSL_OBJECT.get(py)?)
        && let Ok(inner) = object.getattr(intern!(py, "_sslobj"))
        && inner.get_type().is(imports::SSL_SOCKET_TYPE.get(py)?)
    {
        return Ok((inner, true));
    }
    Ok((object.clone(), false))
}

/// Turns `SSLWantReadError` into a value.
#[inline]
fn answer<T>(py: Python<'_>, outcome: PyResult<T>) -> PyResult<Answer<T>> {
    match outcome {
        Ok(value) => Ok(Answer::Done(value)),
        Err(failure) if is_again(py, &failure)? => Ok(Answer::Again),
        Err(failure) => Err(failure),
    }
}

#[cold]
fn is_again(py: Python<'_>, failure: &PyErr) -> PyResult<bool> {
    Ok(failure.is_instance(py, imports::SSL_WANT_READ.get(py)?)
        || failure.is_instance(py, imports::SSL_SYSCALL_ERROR.get(py)?))
}
