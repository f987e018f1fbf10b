//! `SubprocessTransport`: the transport of a child process.

use ferrio_engine::process::Child;
use pyo3::exceptions::{PyPermissionError, PyProcessLookupError};
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::exit;
use super::launch::{KILL, Launch};
use super::pipe::PipeProtocol;
use crate::base::class::{Class, Standard};
use crate::base::ffi::context;
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::ffi::room::TransportRoom;
use crate::base::functions::Functions;
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::Item;
use crate::core::operation::unawaited::Unawaited;
use crate::net::streams::reader::StreamReader;
use crate::net::transport::core::{Core, Order, Own, Transport};
use crate::net::transport::methods::{extra_attribute, transport_methods};
use crate::net::transport::read_pipe::ReadPipeTransport;
use crate::net::transport::write_pipe::WritePipeTransport;
use crate::net::transport::{lifetime, report};
use crate::sync::locks::waiters::WaitList;

/// The transport of a child process: an `asyncio.SubprocessTransport`.
///
/// Made by the loop's `subprocess_exec` and `subprocess_shell`.
#[pyclass(extends = TransportRoom, frozen, weakref, dict, module = "ferrio._ferrio")]
pub(crate) struct SubprocessTransport {
    pub(super) core: Core<Process>,
    pub(super) pid: i32,
}

impl Class for SubprocessTransport {
    const BELOW: Option<Standard> = Some(("asyncio.transports", "SubprocessTransport"));
}

impl Functions for SubprocessTransport {
    const COROUTINES: &'static [&'static str] = &["_wait"];
}

transport_methods!(SubprocessTransport);
extra_attribute!(SubprocessTransport);

/// What only a child's transport has.
pub(crate) struct Process {
    /// The `subprocess.Popen`; `None` after the connection is lost.
    pub(super) popen: Option<Py<PyAny>>,
    /// `None` after it has ended.
    pub(super) child: Option<Child>,
    /// The loop watches for its end.
    pub(super) watched: bool,
    pub(super) returncode: Option<i32>,
    /// By the child's descriptor.
    pub(super) pipes: [Option<Pipe>; 3],
    /// The operations that wait for the end.
    pub(super) waiters: WaitList,
}

gc!(Process { popen, waiters, pipes } not { child, watched, returncode });

impl Own for Process {
    type References = (Option<Py<PyAny>>, WaitList, [Option<Pipe>; 3]);
    type Resource = Py<PyAny>;
    type Unsent = ();

    fn is_open(&self) -> bool {
        self.popen.is_some()
    }

    fn take(&mut self) -> Option<Py<PyAny>> {
        self.popen.take()
    }

    fn is_sent(&self) -> bool {
        true
    }

    fn take_unsent(&mut self) {}

    fn clear(&mut self) -> Self::References {
        let pipes = std::mem::replace(&mut self.pipes, [const { None }; 3]);
        (self.popen.take(), std::mem::take(&mut self.waiters), pipes)
    }
}

impl Transport for SubprocessTransport {
    type Own = Process;

    const REPORTS: Option<&'static str> = Some("Exception in a method of a subprocess's protocol");

    fn core(&self) -> &Core<Process> {
        &self.core
    }

    /// The loop watches for the child's end from the start until it has come.
    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()> {
        exit::watch(slf)
    }

    fn close_resource(_slf: &Bound<'_, Self>, popen: Py<PyAny>) -> PyResult<()> {
        drop(popen);
        Ok(())
    }

    /// Closes the pipes and kills the child; the connection is lost when they have ended.
    fn break_off(slf: &Bound<'_, Self>, _failure: &Bound<'_, PyAny>) -> PyResult<()> {
        Self::close(slf)
    }
}

/// One of the child's streams that is a pipe to us.
pub(crate) struct Pipe {
    pub(super) transport: Py<PyAny>,
    pub(super) protocol: Py<PipeProtocol>,
    pub(super) disconnected: bool,
}

gc!(Pipe { transport, protocol } not { disconnected });

impl SubprocessTransport {
    /// The transport of the child that `popen`, or `launch` on its behalf, has started. In the next turn it tells the
    /// protocol, begins to wait for the end, and sets the result of the waiter.
    ///
    /// Raises `OSError` when the process is out of descriptors; the child keeps running then.
    pub(crate) fn create<'py>(
        order: &Order<'_, 'py>,
        popen: &Bound<'py, PyAny>,
        launch: Option<&Bound<'py, Launch>>,
    ) -> PyResult<Bound<'py, Self>> {
        let py = order.py();
        let extra = order.begin()?;
        let pid = popen.getattr(intern!(py, "pid"))?.extract()?;
        extra.set_item(intern!(py, "subprocess"), popen)?;
        let child = match launch.and_then(|launch| launch.get().take_child(py)) {
            Some(child) => child,
            None => Child::of(pid).map_err(|failure| error::from_system(py, &failure))?,
        };
        let own = Process {
            popen: Some(popen.clone().unbind()),
            child: Some(child),
            watched: false,
            returncode: None,
            pipes: [const { None }; 3],
            waiters: WaitList::default(),
        };
        let core = Core::new(order, extra, context::copy_current(py)?, own)?;
        let transport = Bound::new(py, Self { core, pid })?;
        if let Err(failure) = transport.get().connect_pipes(&transport, popen) {
            // Nobody will learn about this transport, nor about its pipes.
            Self::close(&transport)?;
            return Err(failure);
        }
        lifetime::begin(&transport, order.waiter)?;
        Ok(transport)
    }

    fn connect_pipes(&self, this: &Bound<'_, Self>, popen: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let event_loop = self.core.event_loop.bind(py);
        for (fd, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
            let file = popen.getattr(name)?;
            if file.is_none() {
                continue;
            }
            let protocol = Bound::new(py, PipeProtocol::new(this, fd))?;
            let order = Order { event_loop, protocol: protocol.as_any(), waiter: None, extra: None };
            let transport = if fd == 0 {
                WritePipeTransport::create(&order, &file)?.into_any()
            } else {
                ReadPipeTransport::create(&order, &file)?.into_any()
            };
            let pipe =
                Pipe { transport: transport.unbind(), protocol: protocol.unbind(), disconnected: false };
            self.core.state.with(py, |state| state.own.pipes[fd] = Some(pipe));
        }
        Ok(())
    }

    /// Calls a method of the protocol, in the transport's context, and reports what it raises.
    pub(super) fn tell<'py>(
        this: &Bound<'py, Self>,
        call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>>,
    ) -> PyResult<()> {
        lifetime::reported(this, lifetime::tell(this, |protocol| call(protocol).map(drop)))
    }

    /// As `tell`, but in the next turn if the loop has more to run: the order of asyncio's `call_soon`.
    pub(super) fn call<'py>(
        this: &Bound<'py, Self>,
        method: &Bound<'py, PyString>,
        arguments: Bound<'py, PyTuple>,
    ) -> PyResult<()> {
        let (py, event_loop) = (this.py(), this.get().core.event_loop.get());
        if event_loop.is_busy(py) {
            let what = (method, arguments).into_pyobject(py)?.into_any().unbind();
            return event_loop.push(py, Item::Watch(this.clone().into_any().unbind(), what, call_late));
        }
        Self::tell(this, |protocol| protocol.call_method1(method, arguments))
    }

    fn pipe(&self, py: Python<'_>, fd: usize) -> Option<Py<PyAny>> {
        self.core.state.with(py, |state| Some(state.own.pipes.get(fd)?.as_ref()?.transport.clone_ref(py)))
    }

    /// Raises `ProcessLookupError` after the connection is lost.
    fn send(&self, py: Python<'_>, signal: i32) -> PyResult<()> {
        if signal == KILL {
            self.core.event_loop.get().child_stands_still(self.pid, false);
        }
        let sent = self.core.state.with(py, |state| {
            if state.own.popen.is_none() {
                return Err(None);
            }
            match &state.own.child {
                Some(child) => child.signal(signal).map_err(Some),
                None => Ok(()),
            }
        });
        sent.map_err(|failure| match failure {
            Some(failure) => error::from_system(py, &failure),
            None => PyProcessLookupError::new_err(()),
        })
    }
}

#[pymethods]
impl SubprocessTransport {
    /// Return the child's process number.
    fn get_pid(&self) -> i32 {
        self.pid
    }

    /// Return the child's exit status, the negative number of the signal that ended it, or `None`.
    fn get_returncode(&self, py: Python<'_>) -> Option<i32> {
        self.core.state.with(py, |state| state.own.returncode)
    }

    /// Return the transport of the pipe that is the child's descriptor `fd` (0, 1 or 2), or `None`.
    #[pyo3(signature = (fd))]
    fn get_pipe_transport(&self, py: Python<'_>, fd: i32) -> Option<Py<PyAny>> {
        self.pipe(py, usize::try_from(fd).ok()?)
    }

    /// Send `signal` to the child; does nothing if it has ended.
    ///
    /// Raises `ProcessLookupError` after the connection is lost, `OSError` if `signal` isn't a signal or isn't
    /// allowed.
    #[pyo3(signature = (signal))]
    fn send_signal(&self, py: Python<'_>, signal: i32) -> PyResult<()> {
        self.send(py, signal)
    }

    /// Send the child SIGTERM. As `send_signal` otherwise.
    fn terminate(&self, py: Python<'_>) -> PyResult<()> {
        self.send(py, imports::SIGTERM.get(py)?.extract()?)
    }

    /// Send the child SIGKILL. As `send_signal` otherwise.
    fn kill(&self, py: Python<'_>) -> PyResult<()> {
        self.send(py, imports::SIGKILL.get(py)?.extract()?)
    }

    /// Close the pipes, and kill the child if it still runs.
    fn close(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if this.core.state.with(py, |state| std::mem::replace(&mut state.closing, true)) {
            return Ok(());
        }
        if !this.core.event_loop.get().closed() {
            for fd in 0..3 {
                if let Some(pipe) = this.pipe(py, fd) {
                    pipe.bind(py).call_method0(intern!(py, "close"))?;
                }
            }
        }
        let runs = this
            .core
            .state
            .with(py, |state| state.own.child.as_ref().is_some_and(|child| !child.has_ended()));
        if !runs {
            return Ok(());
        }
        if this.core.event_loop.get().debug() {
            let text = "Close running child process: kill %r";
            imports::LOGGER.get(py)?.call_method1(intern!(py, "warning"), (text, slf))?;
        }
        let popen =
            this.core.state.with(py, |state| state.own.popen.as_ref().map(|popen| popen.clone_ref(py)));
        let Some(popen) = popen else { return Ok(()) };
        this.core.event_loop.get().child_stands_still(this.pid, false);
        match popen.bind(py).call_method0(intern!(py, "kill")) {
            // It may have ended meanwhile, or run as another user.
            Err(failure)
                if failure.is_instance_of::<PyPermissionError>(py)
                    || failure.is_instance_of::<PyProcessLookupError>(py) =>
            {
                Ok(())
            }
            outcome => outcome.map(drop),
        }
    }

    /// Wait until the child has ended; return its `returncode`.
    fn _wait(slf: &Bound<'_, Self>) -> Unawaited {
        exit::wait(slf)
    }

    /// Say that the child has ended. Called by the thread that waits for it if there is no process descriptor.
    fn _ended(slf: &Bound<'_, Self>) -> PyResult<()> {
        exit::look(slf)
    }

    /// The number of the child process.
    #[getter]
    fn _pid(&self) -> i32 {
        self.pid
    }

    /// The child's exit status, `None` while it runs.
    #[getter]
    fn _returncode(&self, py: Python<'_>) -> Option<i32> {
        self.core.state.with(py, |state| state.own.returncode)
    }

    /// Whether `close()` was called.
    #[getter]
    fn _closed(&self, py: Python<'_>) -> bool {
        self.core.state.with(py, |state| state.closing)
    }

    /// Whether `connection_lost` is scheduled.
    #[getter]
    fn _finished(&self, py: Python<'_>) -> bool {
        self.core.state.with(py, |state| state.ended)
    }

    /// Whether a thread must wait for the child and call `_ended()`.
    #[getter]
    fn _needs_waiting(&self, py: Python<'_>) -> bool {
        self.core
            .state
            .with(py, |state| state.own.child.as_ref().is_some_and(|child| child.descriptor().is_none()))
    }

    /// Pass what comes from the child's descriptor `fd` directly to `reader`.
    #[pyo3(signature = (fd, reader))]
    fn _feed(&self, fd: usize, reader: &Bound<'_, StreamReader>) {
        let py = reader.py();
        let protocol =
            self.core.state.with(py, |state| Some(state.own.pipes.get(fd)?.as_ref()?.protocol.clone_ref(py)));
        if let Some(protocol) = protocol {
            protocol.get().feed(reader);
        }
    }

    #[getter]
    fn _proc(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.state.with(py, |state| state.own.popen.as_ref().map(|popen| popen.clone_ref(py)))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (closed, returncode) = self.core.state.with(py, |state| (state.closing, state.own.returncode));
        let mut words = vec!["SubprocessTransport".to_owned()];
        if closed {
            words.push("closed".to_owned());
        }
        words.push(format!("pid={}", self.pid));
        words.push(returncode.map_or_else(|| "running".to_owned(), |code| format!("returncode={code}")));
        for (fd, name) in ["stdin", "stdout", "stderr"].into_iter().enumerate() {
            if let Some(pipe) = self.pipe(py, fd) {
                words.push(format!("{name}={}", pipe.bind(py).repr()?));
            }
        }
        Ok(format!("<{}>", words.join(" ")))
    }
}

/// `what` is a method of the protocol and its arguments.
fn call_late(owner: &Bound<'_, PyAny>, what: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<SubprocessTransport>()?;
    let (method, arguments): (Bound<'_, PyString>, Bound<'_, PyTuple>) = what.extract()?;
    SubprocessTransport::tell(transport, |protocol| protocol.call_method1(method, arguments))
}

impl Finalize for SubprocessTransport {
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        !dying.get().core.is_closing(dying.py())
    }

    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let warned = report::unclosed(slf.as_any());
        let closed = Self::close(slf);
        warned.and(closed)
    }

    general!();
}
