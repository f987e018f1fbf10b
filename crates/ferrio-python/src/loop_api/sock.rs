//! `sock_recv`, `sock_sendall` and related operations on the program's own non-blocking sockets.
//!
//! Each tries its call at once and waits for the descriptor only if the call would block. `sock_connect.rs` and
//! `sendfile.rs` have the two that take several steps. Data is only taken from the socket when the waiting task runs,
//! so a cancellation loses none.

use ferrio_engine::net::{self, Attempt};
use pyo3::PyVisit;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use crate::base::error::{self, unless_blocked};
use crate::base::ffi::Cast;
use crate::base::ffi::buffer::Buffer;
use crate::base::gc::{Traverse, Visited, gc};
use crate::base::{imports, slice};
use crate::core::event_loop::descriptors::Side;
use crate::core::event_loop::{Loop, sides};
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::net::plain_socket;

#[pymethods]
impl Loop {
    /// Receive up to `n` bytes from the non-blocking socket `sock`; `b""` at the end of input.
    ///
    /// Return an awaitable. Raises what `sock.recv` raises.
    #[pyo3(signature = (sock, n))]
    fn sock_recv(slf: Bound<'_, Self>, sock: Bound<'_, PyAny>, n: isize) -> Unawaited {
        start(slf, sock, Receive { size: n })
    }

    /// Receive from the non-blocking socket `sock` into the writable buffer `buf`; return the number of bytes
    /// received.
    ///
    /// Return an awaitable. Raises what `sock.recv_into` raises.
    #[pyo3(signature = (sock, buf))]
    fn sock_recv_into(slf: Bound<'_, Self>, sock: Bound<'_, PyAny>, buf: Py<PyAny>) -> Unawaited {
        start(slf, sock, ReceiveInto { object: buf, buffer: None })
    }

    /// Receive a datagram of up to `bufsize` bytes from the non-blocking socket `sock`; return the data and the
    /// sender's address.
    ///
    /// Return an awaitable. Raises what `sock.recvfrom` raises.
    #[pyo3(signature = (sock, bufsize))]
    fn sock_recvfrom<'py>(slf: Bound<'py, Self>, sock: Bound<'py, PyAny>, bufsize: Py<PyAny>) -> Unawaited {
        start(slf, sock, ReceiveFrom { size: bufsize })
    }

    /// Receive a datagram of up to `nbytes` bytes (0: as many as fit) from `sock` into the buffer `buf`; return its
    /// length and the sender's address.
    ///
    /// Return an awaitable. Raises what `sock.recvfrom_into` raises.
    #[pyo3(signature = (sock, buf, nbytes = 0))]
    fn sock_recvfrom_into(
        slf: Bound<'_, Self>,
        sock: Bound<'_, PyAny>,
        buf: Py<PyAny>,
        nbytes: isize,
    ) -> Unawaited {
        start(slf, sock, ReceiveFromInto { buffer: buf, size: nbytes })
    }

    /// Send all of `data` over the non-blocking socket `sock`.
    ///
    /// Return an awaitable. Raises what `sock.send` raises; then it is unknown how much was sent before.
    #[pyo3(signature = (sock, data))]
    pub(crate) fn sock_sendall(slf: Bound<'_, Self>, sock: Bound<'_, PyAny>, data: Py<PyAny>) -> Unawaited {
        start(slf, sock, SendAll { data: Data::Unseen(data), sent: 0 })
    }

    /// Send the datagram `data` to `address` over the non-blocking socket `sock`; return the number of bytes sent.
    ///
    /// Return an awaitable. Raises what `sock.sendto` raises.
    #[pyo3(signature = (sock, data, address))]
    fn sock_sendto(
        slf: Bound<'_, Self>,
        sock: Bound<'_, PyAny>,
        data: Py<PyAny>,
        address: Py<PyAny>,
    ) -> Unawaited {
        start(slf, sock, SendTo { data, address })
    }

    /// Accept a connection on the non-blocking listening socket `sock`; return the new, non-blocking socket and the
    /// peer's address.
    ///
    /// Return an awaitable. Raises what `sock.accept` raises.
    #[pyo3(signature = (sock))]
    fn sock_accept(slf: Bound<'_, Self>, sock: Bound<'_, PyAny>) -> Unawaited {
        start(slf, sock, Accept)
    }
}

/// asyncio's checks of a socket: raises `TypeError` for an `SSLSocket` and, in debug mode, `ValueError` for one in
/// blocking mode.
pub(crate) fn check(native: &Bound<'_, Loop>, socket: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = native.py();
    if !socket.get_type().is(imports::SOCKET.get(py)?) {
        // If the module isn't loaded there can be no such socket, and loading it takes time.
        let modules = imports::MODULES.get(py)?;
        let ssl = modules.get_item(intern!(py, "ssl")).ok().filter(|module| !module.is_none());
        if let Some(class) = ssl.and_then(|ssl| ssl.getattr(intern!(py, "SSLSocket")).ok())
            && socket.is_instance(&class)?
        {
            return Err(PyTypeError::new_err("Socket cannot be of type SSLSocket"));
        }
    }
    if native.get().debug() && !socket.call_method0(intern!(py, "gettimeout"))?.eq(0)? {
        return Err(PyValueError::new_err("the socket must be non-blocking"));
    }
    Ok(())
}

/// The descriptor of a socket. It is -1 if the socket is closed; then every call fails as it should.
#[inline]
pub(crate) fn descriptor(socket: &Bound<'_, PyAny>) -> PyResult<i32> {
    socket.call_method0(intern!(socket.py(), "fileno"))?.extract()
}

/// Parks `operation` until `fd` is ready. Raises `RuntimeError` if a transport uses it, `OSError` if it is closed.
pub(crate) fn park(
    native: &Bound<'_, Loop>,
    socket: &Bound<'_, PyAny>,
    fd: i32,
    side: Side,
    operation: &Bound<'_, Operation>,
) -> PyResult<()> {
    native.get().require_open()?;
    sides::require_no_transport(native, fd, socket)?;
    native
        .get()
        .park(fd, side, operation, socket)
        .map_err(|failure| error::from_system(native.py(), &failure))
}

fn start<A: Action + 'static>(native: Bound<'_, Loop>, socket: Bound<'_, PyAny>, action: A) -> Unawaited {
    Unawaited::new(SocketCall { home: native.unbind(), socket: socket.unbind(), stage: Stage::Fresh, action })
}

/// One call on a socket, repeated until it doesn't block.
trait Action: Traverse + Send + 'static {
    const NAME: &'static str;
    const SIDE: Side;

    /// Makes the call; `None` if it would block. A call without a native form goes by the socket's method.
    fn attempt<'py>(
        &mut self,
        _native: &Bound<'py, Loop>,
        socket: &Bound<'py, PyAny>,
        _fd: i32,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.attempt_by_method(socket)
    }

    /// Calls the method of a socket that isn't plain; `None` if it would block.
    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>>;
}

#[derive(Clone, Copy)]
enum Stage {
    Fresh,
    /// Parked, or woken, on this descriptor.
    Waiting(i32),
}

struct SocketCall<A> {
    home: Py<Loop>,
    socket: Py<PyAny>,
    stage: Stage,
    action: A,
}

impl<A: Action> Traverse for SocketCall<A> {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.home.traverse(visit)?;
        self.socket.traverse(visit)?;
        self.action.traverse(visit)
    }
}

impl<A: Action> Run for SocketCall<A> {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let (native, socket) = (self.home.bind(py), self.socket.bind(py));
        if let Resume::Throw(exception) = resume {
            if let Stage::Waiting(fd) = self.stage {
                native.get().unpark(fd, A::SIDE, this);
            }
            return Err(PyErr::from_value(exception));
        }
        if let Stage::Fresh = self.stage {
            check(native, socket)?;
        }
        if !plain_socket::is_plain(socket)? {
            if let Some(value) = native.get().try_on(py, || self.action.attempt_by_method(socket))? {
                return Ok(Progress::Ready(value));
            }
            let fd = descriptor(socket)?;
            park(native, socket, fd, A::SIDE, this)?;
            self.stage = Stage::Waiting(fd);
            return Ok(Progress::Park);
        }
        // Asked again each time: the socket may have been closed meanwhile, and its number reused.
        let fd = descriptor(socket)?;
        if let Some(value) = native.get().try_on(py, || self.action.attempt(native, socket, fd))? {
            return Ok(Progress::Ready(value));
        }
        park(native, socket, fd, A::SIDE, this)?;
        self.stage = Stage::Waiting(fd);
        Ok(Progress::Park)
    }

    fn name(&self) -> &'static str {
        A::NAME
    }
}

struct Receive {
    size: isize,
}

gc!(Receive {  } not { size });

impl Action for Receive {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_recv";
    const SIDE: Side = Side::Reading;

    fn attempt<'py>(
        &mut self,
        native: &Bound<'py, Loop>,
        _socket: &Bound<'py, PyAny>,
        fd: i32,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = native.py();
        let size = usize::try_from(self.size)
            .map_err(|_| PyValueError::new_err(format!("negative buffersize in recv: {}", self.size)))?;
        if size == 0 {
            // As `sock.recv` does, without asking the system, which would make us wait.
            return Ok(Some(PyBytes::new(py, &[]).into_any()));
        }
        let received = native
            .get()
            .receiving()
            .receive(py, fd, size)
            .map_err(|failure| error::from_system(py, &failure))?;
        Ok(received.map(Bound::into_any))
    }

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        unless_blocked(py, socket.call_method1(intern!(py, "recv"), (self.size,)))
    }
}

struct ReceiveInto {
    object: Py<PyAny>,
    buffer: Option<Buffer>,
}

gc!(ReceiveInto { object } not { buffer });

impl Action for ReceiveInto {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_recv_into";
    const SIDE: Side = Side::Reading;

    fn attempt<'py>(
        &mut self,
        native: &Bound<'py, Loop>,
        _socket: &Bound<'py, PyAny>,
        fd: i32,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = native.py();
        let buffer = match &mut self.buffer {
            Some(buffer) => buffer,
            None => self.buffer.insert(Buffer::to_write(self.object.bind(py))?),
        };
        let received = if buffer.len() == 0 {
            Ok(Attempt::Done(0))
        } else {
            buffer.write(py, |bytes| net::receive(fd, bytes))
        };
        match received {
            Ok(Attempt::Done(count)) => {
                native.get().receiving().note_received(count);
                Ok(Some(count.into_pyobject(py)?.into_any()))
            }
            Ok(Attempt::WouldBlock) => Ok(None),
            Err(failure) => Err(error::from_system(py, &failure)),
        }
    }

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        unless_blocked(py, socket.call_method1(intern!(py, "recv_into"), (&self.object,)))
    }
}

struct ReceiveFrom {
    size: Py<PyAny>,
}

gc!(ReceiveFrom { size });

impl Action for ReceiveFrom {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_recvfrom";
    const SIDE: Side = Side::Reading;

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        unless_blocked(py, socket.call_method1(intern!(py, "recvfrom"), (&self.size,)))
    }
}

struct ReceiveFromInto {
    buffer: Py<PyAny>,
    size: isize,
}

gc!(ReceiveFromInto { buffer } not { size });

impl Action for ReceiveFromInto {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_recvfrom_into";
    const SIDE: Side = Side::Reading;

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        unless_blocked(py, socket.call_method1(intern!(py, "recvfrom_into"), (&self.buffer, self.size)))
    }
}

/// The data to send; examined when the operation is awaited, as in a coroutine.
enum Data {
    Unseen(Py<PyAny>),
    Bytes(Py<PyBytes>),
    Other(Buffer),
}

gc!(match Data {
    Self::Unseen(object) => (object),
    Self::Bytes(_) | Self::Other(_) => (),
});

struct SendAll {
    data: Data,
    sent: usize,
}

gc!(SendAll { data } not { sent });

impl SendAll {
    /// Sends until the socket is full; returns whether all has been sent.
    fn send(&mut self, py: Python<'_>, fd: i32) -> std::io::Result<bool> {
        let mut go_on = |bytes: &[u8]| {
            loop {
                match net::send(fd, bytes.get(self.sent..).unwrap_or_default())? {
                    Attempt::Done(count) => self.sent += count,
                    Attempt::WouldBlock => return Ok(false),
                }
                if self.sent >= bytes.len() {
                    return Ok(true);
                }
            }
        };
        match &self.data {
            Data::Bytes(bytes) => go_on(bytes.as_bytes(py)),
            Data::Other(buffer) => buffer.read(py, go_on),
            Data::Unseen(_) => go_on(&[]),
        }
    }
}

impl Action for SendAll {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_sendall";
    const SIDE: Side = Side::Writing;

    fn attempt<'py>(
        &mut self,
        native: &Bound<'py, Loop>,
        _socket: &Bound<'py, PyAny>,
        fd: i32,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = native.py();
        if let Data::Unseen(object) = &self.data {
            let object = object.bind(py);
            self.data = match object.as_exactly::<PyBytes>() {
                Some(bytes) => Data::Bytes(bytes.clone().unbind()),
                None => Data::Other(Buffer::to_read(object)?),
            };
        }
        let before = self.sent;
        let outcome = self.send(py, fd);
        native.get().traffic().sent.add((self.sent - before) as u64);
        match outcome {
            Ok(true) => Ok(Some(py.None().into_bound(py))),
            Ok(false) => Ok(None),
            Err(failure) => Err(error::from_system(py, &failure)),
        }
    }

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        let data = match &self.data {
            Data::Unseen(data) => data.bind(py).clone(),
            Data::Bytes(bytes) => bytes.bind(py).clone().into_any(),
            Data::Other(buffer) => buffer.read(py, |bytes| PyBytes::new(py, bytes)).into_any(),
        };
        let rest = if self.sent == 0 {
            data
        } else {
            slice::part(PyMemoryView::from(&data)?.as_any(), self.sent, None)?
        };
        let length = rest.len()?;
        let Some(count) = unless_blocked(py, socket.call_method1(intern!(py, "send"), (rest,)))? else {
            return Ok(None);
        };
        let count: usize = count.extract()?;
        self.sent += count;
        Ok((count >= length).then(|| py.None().into_bound(py)))
    }
}

struct SendTo {
    data: Py<PyAny>,
    address: Py<PyAny>,
}

gc!(SendTo { data, address });

impl Action for SendTo {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_sendto";
    const SIDE: Side = Side::Writing;

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        unless_blocked(py, socket.call_method1(intern!(py, "sendto"), (&self.data, &self.address)))
    }
}

struct Accept;

gc!(Accept {});

impl Action for Accept {
    const NAME: &'static str = "BaseSelectorEventLoop.sock_accept";
    const SIDE: Side = Side::Reading;

    fn attempt_by_method<'py>(&mut self, socket: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = socket.py();
        let accepted = unless_blocked(py, socket.call_method0(intern!(py, "accept")))?;
        if let Some(accepted) = &accepted {
            accepted.get_item(0)?.call_method1(intern!(py, "setblocking"), (false,))?;
        }
        Ok(accepted)
    }
}
