//! `sock_sendfile`: sends a file over a socket, by the kernel if it can, else in pieces that a thread reads.
//!
//! However it ends, the file's position is behind what was sent.

use ferrio_engine::net::{self, Attempt};
use pyo3::exceptions::{PyAttributeError, PyConnectionError, PyOSError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyInt, PyString};

use crate::base::arguments::truth;
use crate::base::ffi::Cast;
use crate::base::ffi::coroutine::Sent;
use crate::base::ffi::raise::raise;
use crate::base::gc::gc;
use crate::base::{error, imports, slice};
use crate::core::event_loop::Loop;
use crate::core::event_loop::descriptors::Side;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::loop_api::sock::{check, descriptor, park};

/// How many bytes a thread reads at a time if the kernel can't send the file.
const PIECE: usize = 256 * 1024;

/// The most that the kernel sends in one call.
const LARGEST_CALL: usize = 0x7fff_f000;

#[pymethods]
impl Loop {
    /// Send `count` bytes (or all) of the binary file `file`, beginning at `offset`, over the non-blocking stream
    /// socket `sock`.
    ///
    /// Return an awaitable of the number of bytes sent. Raises `SendfileNotAvailableError` if the system can't do it
    /// and `fallback` is false, `ValueError` or `TypeError` for invalid arguments.
    #[pyo3(
        signature = (sock, file, offset = None, count = None, *, fallback = true),
        text_signature = "($self, sock, file, offset=0, count=None, *, fallback=True)"
    )]
    fn sock_sendfile(
        slf: Bound<'_, Self>,
        sock: Bound<'_, PyAny>,
        file: Py<PyAny>,
        offset: Option<Py<PyAny>>,
        count: Option<Py<PyAny>>,
        #[pyo3(from_py_with = truth)] fallback: bool,
    ) -> Unawaited {
        Unawaited::new(SendFile {
            home: slf.unbind(),
            socket: sock.unbind(),
            file,
            given: (offset, count),
            fallback,
            offset: 0,
            count: None,
            sent: 0,
            stage: Stage::Fresh,
        })
    }
}

struct SendFile {
    home: Py<Loop>,
    socket: Py<PyAny>,
    file: Py<PyAny>,
    /// Offset and count as the caller gave them.
    given: (Option<Py<PyAny>>, Option<Py<PyAny>>),
    fallback: bool,
    offset: u64,
    /// Bytes; `None` for all of the file.
    count: Option<u64>,
    /// Bytes.
    sent: u64,
    stage: Stage,
}

gc!(SendFile { home, socket, file, given, stage } not { fallback, offset, count, sent });

enum Stage {
    Fresh,
    /// The kernel sends from the file's descriptor; the operation parks on the socket's descriptor when the socket is
    /// full.
    Kernel {
        file: i32,
        socket: Option<i32>,
    },
    /// A thread reads into this memory.
    Reading {
        piece: Py<PyAny>,
        inner: Py<PyAny>,
    },
    /// This many bytes of the memory are being sent.
    Sending {
        piece: Py<PyAny>,
        length: u64,
        inner: Py<PyAny>,
    },
}

gc!(match Stage {
    Self::Fresh | Self::Kernel { .. } => (),
    Self::Reading { piece, inner } | Self::Sending { piece, inner, .. } => (piece, inner),
});

impl Run for SendFile {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let outcome = match (&self.stage, resume) {
            (Stage::Fresh, Resume::Throw(exception)) => return Err(PyErr::from_value(exception)),
            (Stage::Fresh, Resume::Send) => {
                check(self.home.bind(py), self.socket.bind(py))?;
                self.check_arguments(py)?;
                self.begin(this)
            }
            (Stage::Kernel { socket, .. }, Resume::Throw(exception)) => {
                if let Some(fd) = socket {
                    self.home.get().unpark(*fd, Side::Writing, this);
                }
                Err(PyErr::from_value(exception))
            }
            (Stage::Kernel { file, .. }, Resume::Send) => {
                let file = *file;
                self.send_by_kernel(this, file)
            }
            (Stage::Reading { inner, .. } | Stage::Sending { inner, .. }, resume) => {
                let sent = operation::forward(inner.bind(py), resume);
                self.go_on(py, sent)
            }
        };
        if !matches!(outcome, Ok(Progress::Park | Progress::Yield | Progress::Forward(_))) {
            let is_done = outcome.is_ok();
            self.leave_position(py, is_done)
                .or_else(|failure| if is_done { Err(failure) } else { Ok(()) })?;
        }
        outcome
    }

    fn name(&self) -> &'static str {
        "BaseEventLoop.sock_sendfile"
    }

    fn inner_names(&self) -> &'static [&'static str] {
        &["_UnixSelectorEventLoop._sock_sendfile_native"]
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Fresh | Stage::Kernel { .. } => None,
            Stage::Reading { inner, .. } | Stage::Sending { inner, .. } => Some(inner.bind(py).clone()),
        }
    }
}

impl SendFile {
    fn check_arguments(&mut self, py: Python<'_>) -> PyResult<()> {
        if let Ok(mode) = self.file.bind(py).getattr(intern!(py, "mode"))
            && mode.as_instance::<PyString>().is_some_and(|mode| !mode.to_string_lossy().contains('b'))
        {
            return Err(PyValueError::new_err("file should be opened in binary mode"));
        }
        if !self.socket.bind(py).getattr(intern!(py, "type"))?.eq(imports::SOCK_STREAM.get(py)?)? {
            return Err(PyValueError::new_err("only SOCK_STREAM type sockets are supported"));
        }
        let (offset, count) = (self.given.0.take(), self.given.1.take());
        if let Some(count) = count {
            self.count = Some(whole(count.bind(py), "count must be a positive integer", 1)?);
        }
        if let Some(offset) = offset {
            self.offset = whole(offset.bind(py), "offset must be a non-negative integer", 0)?;
        }
        Ok(())
    }

    fn begin<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let Some((fd, size)) = self.regular_file(py)? else {
            return self.without_kernel(py, "not a regular file");
        };
        if self.count.is_none() && size == 0 {
            return self.done(py);
        }
        self.stage = Stage::Kernel { file: fd, socket: None };
        self.send_by_kernel(this, fd)
    }

    /// Descriptor and size of the file, if it has them.
    fn regular_file(&self, py: Python<'_>) -> PyResult<Option<(i32, u64)>> {
        let found = self.file.bind(py).call_method0(intern!(py, "fileno"));
        let fd: i32 = match found {
            Ok(fd) => fd.extract()?,
            Err(failure)
                if failure.is_instance_of::<PyAttributeError>(py)
                    || failure.matches(py, imports::UNSUPPORTED_OPERATION.get(py)?)? =>
            {
                return Ok(None);
            }
            Err(failure) => return Err(failure),
        };
        match imports::FSTAT.get(py)?.call1((fd,)) {
            Ok(status) => Ok(Some((fd, status.getattr(intern!(py, "st_size"))?.extract()?))),
            Err(failure) if failure.is_instance_of::<PyOSError>(py) => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    fn send_by_kernel<'py>(&mut self, this: &Bound<'py, Operation>, file: i32) -> PyResult<Progress<'py>> {
        let py = this.py();
        loop {
            let left = self.count.map_or(u64::MAX, |count| count - self.sent);
            if left == 0 {
                return self.done(py);
            }
            let socket = descriptor(self.socket.bind(py))?;
            let size = usize::try_from(left).unwrap_or(usize::MAX).min(LARGEST_CALL);
            let offset = self.offset + self.sent;
            // Detached, because the file may have to come from its disk.
            match py.detach(|| net::sendfile(socket, file, offset, size)) {
                Ok(Attempt::Done(0)) => return self.done(py),
                Ok(Attempt::Done(count)) => {
                    self.sent += count as u64;
                    if let Some(native) = self.home.bind(py).as_instance::<Loop>() {
                        native.get().traffic().sent.add(count as u64);
                    }
                }
                Ok(Attempt::WouldBlock) => {
                    park(self.home.bind(py), self.socket.bind(py), socket, Side::Writing, this)?;
                    self.stage = Stage::Kernel { file, socket: Some(socket) };
                    return Ok(Progress::Park);
                }
                // Usually a file that the kernel can't send.
                Err(_) if self.sent == 0 => return self.without_kernel(py, "os.sendfile call failed"),
                Err(failure) if failure.kind() == std::io::ErrorKind::NotConnected => {
                    return Err(PyConnectionError::new_err((
                        "socket is not connected",
                        failure.raw_os_error(),
                    )));
                }
                Err(failure) => return Err(error::from_system(py, &failure)),
            }
        }
    }

    fn without_kernel<'py>(&mut self, py: Python<'py>, reason: &str) -> PyResult<Progress<'py>> {
        if !self.fallback {
            let class = imports::SENDFILE_NOT_AVAILABLE.get(py)?;
            return Err(raise(class.call1((reason,))?));
        }
        if self.offset > 0 {
            self.file.bind(py).call_method1(intern!(py, "seek"), (self.offset,))?;
        }
        let size = self.count.map_or(PIECE, |count| usize::try_from(count).unwrap_or(PIECE).min(PIECE));
        let piece = PyByteArray::new(py, &vec![0; size]).into_any();
        let sent = self.read(&piece)?;
        self.go_on(py, sent)
    }

    /// Makes a thread read the next piece.
    fn read<'py>(&mut self, piece: &Bound<'py, PyAny>) -> PyResult<Sent<'py>> {
        let py = piece.py();
        let view = self.view(piece, self.count.map_or(u64::MAX, |count| count - self.sent))?;
        let read = self.file.bind(py).getattr(intern!(py, "readinto"))?;
        let future =
            self.home.bind(py).call_method1(intern!(py, "run_in_executor"), (py.None(), read, view))?;
        let inner = operation::start_awaiting(&future)?;
        let sent = operation::forward(&inner, Resume::Send);
        self.stage = Stage::Reading { piece: piece.clone().unbind(), inner: inner.unbind() };
        Ok(sent)
    }

    /// A view of the first `length` bytes of `piece`.
    fn view<'py>(&self, piece: &Bound<'py, PyAny>, length: u64) -> PyResult<Bound<'py, PyAny>> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(piece.len()?);
        let view = pyo3::types::PyMemoryView::from(piece)?;
        slice::part(view.as_any(), 0, Some(length))
    }

    /// Reads and sends alternately until it must wait for something.
    fn go_on<'py>(&mut self, py: Python<'py>, mut sent: Sent<'py>) -> PyResult<Progress<'py>> {
        loop {
            let value = match sent {
                Sent::Yielded(yielded) => return Ok(Progress::Forward(yielded)),
                Sent::Raised(failure) => return Err(failure),
                Sent::Returned(value) => value,
            };
            sent = match std::mem::replace(&mut self.stage, Stage::Fresh) {
                Stage::Reading { piece, .. } => {
                    let length: u64 = value.extract::<Option<u64>>()?.unwrap_or(0);
                    if length == 0 {
                        return self.done(py);
                    }
                    let view = self.view(piece.bind(py), length)?;
                    let sending = Loop::sock_sendall(
                        self.home.bind(py).clone(),
                        self.socket.bind(py).clone(),
                        view.unbind(),
                    );
                    let inner = sending.bare(py)?.into_any();
                    let sent = operation::forward(&inner, Resume::Send);
                    self.stage = Stage::Sending { piece, length, inner: inner.unbind() };
                    sent
                }
                Stage::Sending { piece, length, .. } => {
                    self.sent += length;
                    if self.count == Some(self.sent) {
                        return self.done(py);
                    }
                    self.read(piece.bind(py))?
                }
                Stage::Fresh | Stage::Kernel { .. } => return self.done(py),
            };
        }
    }

    fn done<'py>(&self, py: Python<'py>) -> PyResult<Progress<'py>> {
        Ok(Progress::Ready(self.sent.into_pyobject(py)?.into_any()))
    }

    /// Moves the file's position behind what was sent; if nothing was sent, only after success (`is_done`).
    fn leave_position(&self, py: Python<'_>, is_done: bool) -> PyResult<()> {
        if self.sent == 0 && !is_done {
            return Ok(());
        }
        let position = self.offset + self.sent;
        if let Stage::Kernel { file, .. } = self.stage {
            imports::LSEEK.get(py)?.call1((file, position, 0))?;
        } else if let Ok(seek) = self.file.bind(py).getattr(intern!(py, "seek")) {
            seek.call1((position,))?;
        }
        Ok(())
    }
}

/// An integer of at least `least`. Raises `TypeError` or `ValueError` with asyncio's words for anything else.
fn whole(given: &Bound<'_, PyAny>, rule: &str, least: u64) -> PyResult<u64> {
    let look = given.repr()?;
    if !given.is_instance_of::<PyInt>() {
        return Err(PyTypeError::new_err(format!("{rule} (got {look})")));
    }
    match given.extract::<u64>() {
        Ok(number) if number >= least => Ok(number),
        _ => Err(PyValueError::new_err(format!("{rule} (got {look})"))),
    }
}
