//! `sock_connect`: resolves a name if necessary, connects, and waits for the outcome.

use ferrio_engine::net::{self, Connecting};
use pyo3::exceptions::{PyBlockingIOError, PyInterruptedError, PyOSError};
use pyo3::prelude::*;

use crate::base::ffi::coroutine::Sent;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::Loop;
use crate::core::event_loop::descriptors::Side;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};
use crate::loop_api::resolve::{self, Resolution};
use crate::loop_api::sock::{check, descriptor, park};
use crate::net::plain_socket;

#[pymethods]
impl Loop {
    /// Connect the non-blocking socket `sock` to `address`; a host name in it is resolved without blocking the loop.
    ///
    /// Return an awaitable. Raises what `sock.connect` raises; if the connection is refused later, `OSError` with
    /// "Connect call failed".
    #[pyo3(signature = (sock, address))]
    fn sock_connect(slf: Bound<'_, Self>, sock: Bound<'_, PyAny>, address: Py<PyAny>) -> Unawaited {
        Unawaited::new(Connect { home: slf.unbind(), socket: sock.unbind(), address, stage: Stage::Fresh })
    }

    /// As `sock_connect`, for a socket `sock` of the loop's own and an `address` that needs no look-up. If the
    /// program has replaced `sock_connect`, that is called.
    #[pyo3(signature = (sock, address))]
    fn _connect<'py>(
        slf: Bound<'py, Self>,
        sock: Bound<'py, PyAny>,
        address: Py<PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if slf.get().overrides().sock_connect() {
            return slf.call_method1(intern!(py, "sock_connect"), (sock, address));
        }
        let (home, socket) = (slf.unbind(), sock.unbind());
        Unawaited::new(Connect { home, socket, address, stage: Stage::Resolved }).into_pyobject(py)
    }
}

struct Connect {
    home: Py<Loop>,
    socket: Py<PyAny>,
    /// The address; replaced by what it resolves to.
    address: Py<PyAny>,
    stage: Stage,
}

gc!(Connect { home, socket, address, stage });

enum Stage {
    Fresh,
    /// As fresh, but the address is resolved.
    Resolved,
    /// The iterator of the awaitable that resolves the name.
    Resolving(Py<PyAny>),
    /// On this descriptor.
    Connecting(i32),
}

gc!(match Stage {
    Self::Resolving(inner) => (inner),
    Self::Fresh | Self::Resolved | Self::Connecting(_) => (),
});

impl Run for Connect {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Stage::Resolving(inner) = &self.stage {
            return match operation::forward(inner.bind(py), resume) {
                Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
                Sent::Returned(resolved) => {
                    self.take_address(&resolved)?;
                    self.connect(this)
                }
                Sent::Raised(failure) => Err(failure),
            };
        }
        match (&self.stage, resume) {
            (Stage::Connecting(fd), Resume::Throw(exception)) => {
                self.home.get().unpark(*fd, Side::Writing, this);
                Err(PyErr::from_value(exception))
            }
            (_, Resume::Throw(exception)) => Err(PyErr::from_value(exception)),
            (Stage::Connecting(_), Resume::Send) => self.outcome(py),
            (Stage::Resolved, Resume::Send) => self.connect_quickly(this),
            (_, Resume::Send) => {
                check(self.home.bind(py), self.socket.bind(py))?;
                self.resolve(this)
            }
        }
    }

    fn name(&self) -> &'static str {
        "BaseSelectorEventLoop.sock_connect"
    }

    fn awaits<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        match &self.stage {
            Stage::Resolving(inner) => Some(inner.bind(py).clone()),
            Stage::Fresh | Stage::Resolved | Stage::Connecting(_) => None,
        }
    }
}

impl Connect {
    fn resolve<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let socket = self.socket.bind(py);
        let family = socket.getattr(intern!(py, "family"))?;
        if !family.eq(imports::AF_INET.get(py)?)? && !family.eq(imports::AF_INET6.get(py)?)? {
            return self.connect(this);
        }
        let (kind, protocol) = (socket.getattr(intern!(py, "type"))?, socket.getattr(intern!(py, "proto"))?);
        match resolve::resolve(self.home.bind(py), self.address.bind(py), &family, &kind, &protocol)? {
            Resolution::Known(info) => {
                self.address = info.get_item(4)?.unbind();
                self.connect(this)
            }
            Resolution::Wanted(awaitable) => {
                let inner = operation::start_awaiting(&awaitable)?;
                let sent = operation::forward(&inner, Resume::Send);
                self.stage = Stage::Resolving(inner.unbind());
                match sent {
                    Sent::Yielded(yielded) => Ok(Progress::Forward(yielded)),
                    Sent::Returned(resolved) => {
                        self.take_address(&resolved)?;
                        self.connect(this)
                    }
                    Sent::Raised(failure) => Err(failure),
                }
            }
        }
    }

    fn take_address(&mut self, resolved: &Bound<'_, PyAny>) -> PyResult<()> {
        if resolved.len()? == 0 {
            return Err(PyOSError::new_err("getaddrinfo() returned empty list"));
        }
        self.address = resolved.get_item(0)?.get_item(4)?.unbind();
        Ok(())
    }

    fn connect<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let socket = self.socket.bind(py);
        let fd = descriptor(socket)?;
        match socket.call_method1(intern!(py, "connect"), (&self.address,)) {
            Ok(_) => Ok(Progress::Ready(py.None().into_bound(py))),
            Err(failure) if is_in_progress(py, &failure)? => {
                park(self.home.bind(py), socket, fd, Side::Writing, this)?;
                self.stage = Stage::Connecting(fd);
                Ok(Progress::Park)
            }
            Err(failure) => Err(failure),
        }
    }

    /// As `connect`, without exceptions in the usual cases. A peer on this machine has answered when the call
    /// returns, which saves the wait.
    fn connect_quickly<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let socket = self.socket.bind(py);
        if !plain_socket::is_plain(socket)? {
            return self.connect(this);
        }
        let arguments = (socket, &self.address);
        let number =
            imports::C_SOCKET.get(py)?.call_method1(intern!(py, "connect_ex"), arguments)?.extract()?;
        let fd = descriptor(socket)?;
        match net::connecting(number) {
            Connecting::Done => return Ok(Progress::Ready(py.None().into_bound(py))),
            // Nothing else could tell whether it took a turn.
            Connecting::Pending
                if !self.home.get().is_busy(py) && net::has_connected(fd).unwrap_or(false) =>
            {
                return self.outcome(py);
            }
            Connecting::Pending => {}
            Connecting::Failed(failure) => return Err(error::from_system(py, &failure)),
        }
        park(self.home.bind(py), socket, fd, Side::Writing, this)?;
        self.stage = Stage::Connecting(fd);
        Ok(Progress::Park)
    }

    fn failed(&self, py: Python<'_>, number: i32) -> PyErr {
        match self.address.bind(py).str() {
            Ok(address) => PyOSError::new_err((number, format!("Connect call failed {address}"))),
            Err(failure) => failure,
        }
    }

    fn outcome<'py>(&self, py: Python<'py>) -> PyResult<Progress<'py>> {
        let (level, option) = (imports::SOL_SOCKET.get(py)?, imports::SO_ERROR.get(py)?);
        let number: i32 =
            self.socket.bind(py).call_method1(intern!(py, "getsockopt"), (level, option))?.extract()?;
        if number == 0 {
            return Ok(Progress::Ready(py.None().into_bound(py)));
        }
        Err(self.failed(py, number))
    }
}

/// Whether the connection is being made. A Unix socket whose listener has no room says "try again" instead. Waiting
/// wouldn't help then, because what the descriptor reports looks like success.
fn is_in_progress(py: Python<'_>, failure: &PyErr) -> PyResult<bool> {
    if failure.is_instance_of::<PyInterruptedError>(py) {
        return Ok(true);
    }
    if !failure.is_instance_of::<PyBlockingIOError>(py) {
        return Ok(false);
    }
    let number = failure.value(py).getattr(intern!(py, "errno"))?;
    Ok(!number.eq(imports::EAGAIN.get(py)?)?)
}
