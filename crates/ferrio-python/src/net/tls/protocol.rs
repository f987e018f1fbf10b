//! `SSLProtocol`: TLS between the transport below, whose protocol it is, and the program's protocol.
//!
//! The class and its state. `handshake.rs`, `read.rs`, `write.rs` and `shutdown.rs` say what happens; `transport.rs`
//! is what the program's protocol sees.
//!
//! Every method here is called in the context in which the program's protocol is to run. When the loop calls
//! natively, the context is entered first (`in_scope`).

use std::sync::Arc;

use ferrio_engine::tls_record::Records;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use super::backlog::Backlog;
use super::lower::Lower;
use super::session::Session;
use super::state::Life;
use super::transport::SSLTransport;
use super::{handshake, read, shutdown, write};
use crate::base::arguments::truth;
use crate::base::class::{Class, Standard};
use crate::base::ffi::{Guarded, context};
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::event_loop::LoopRef;
use crate::core::timer::Timer;
use crate::net::transport::receiver::Receiver;

/// Seconds for the handshake, unless the program says otherwise.
const HANDSHAKE_SECONDS: f64 = 60.0;
/// Seconds for the closing handshake, unless the program says otherwise.
const SHUTDOWN_SECONDS: f64 = 30.0;

/// TLS between a transport, whose protocol this is, and the protocol `app_protocol`.
///
/// `sslcontext` is an `ssl.SSLContext`, or `None` for a client's default one; the future `waiter` gets its result
/// after the handshake. Raises `ValueError` for a timeout that isn't positive, and for a server without a context.
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio.sslproto")]
#[derive(Default)]
pub(crate) struct SSLProtocol {
    pub(super) state: Guarded<State>,
}

collected!(SSLProtocol { state }, written by state, clear { state });

impl Class for SSLProtocol {
    const BELOW: Option<Standard> = Some(("asyncio.sslproto", "SSLProtocol"));
}

impl Functions for SSLProtocol {}

impl Default for Guarded<State> {
    fn default() -> Self {
        Self::new(State::default())
    }
}

/// Everything that changes during a connection. Only the loop's thread touches it.
pub(super) struct State {
    /// The event loop; `None` before `__init__`.
    pub(super) event_loop: Option<LoopRef>,
    pub(super) life: Life,
    pub(super) server_side: bool,
    pub(super) server_hostname: Option<Py<PyAny>>,
    pub(super) session: Option<Arc<Session>>,
    pub(super) records: Records,
    /// The program's protocol, and how it takes its bytes.
    pub(super) receiver: Receiver,
    /// Whether that protocol, or the last one, is a `BufferedProtocol`.
    pub(super) buffered: bool,
    pub(super) app_transport: Option<Py<SSLTransport>>,
    /// The transport below, from `connection_made` to `connection_lost`.
    pub(super) lower: Option<Py<PyAny>>,
    /// The context of the transport below, if that calls us outside of it.
    pub(super) scope: Option<Py<PyAny>>,
    pub(super) waiter: Option<Py<PyAny>>,
    pub(super) timers: Timers,
    /// The buffer that a transport below fills, between `get_buffer` and `buffer_updated`.
    pub(super) lent: Option<Py<PyAny>>,
    /// What was received while the program wasn't reading.
    pub(super) kept: Vec<u8>,
    /// The session may have more to read than the arriving records say.
    pub(super) leftover: bool,
    pub(super) read_marks: Marks,
    /// The program has paused reading.
    pub(super) reading_paused: bool,
    /// The transport below was told to pause reading.
    pub(super) lower_reading_paused: bool,
    pub(super) backlog: Backlog,
    pub(super) write_marks: Marks,
    /// The program was told to pause writing.
    pub(super) writing_paused: bool,
    /// The transport below told us so.
    pub(super) lower_writing_paused: bool,
    /// Something is to be encrypted at the end of the turn, or of the present read.
    pub(super) queued: bool,
    /// How often the program wrote after the end.
    pub(super) lost_writes: u32,
    /// What `get_extra_info` knows: the context, and after the handshake the rest.
    pub(super) extra: Option<Py<PyDict>>,
    pub(super) context: Option<Py<PyAny>>,
}

gc!(State { event_loop, session, server_hostname, receiver, app_transport, lower, scope, waiter, timers, lent, extra, context } not { life, server_side, buffered, records, kept, leftover, read_marks, reading_paused, lower_reading_paused, backlog, write_marks, writing_paused, lower_writing_paused, queued, lost_writes });

/// The two time limits, and their timers.
pub(super) struct Timers {
    /// As the program gave it; `None` for the default.
    pub(super) handshake_seconds: Option<Py<PyAny>>,
    pub(super) shutdown_seconds: Option<Py<PyAny>>,
    pub(super) handshake: Option<Timer>,
    pub(super) shutdown: Option<Timer>,
    /// In debug mode: when the handshake began, in seconds of the loop's clock.
    pub(super) began: Option<f64>,
}

gc!(Timers { handshake_seconds, shutdown_seconds, handshake, shutdown } not { began });

/// The high- and low-water marks of one direction, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Marks {
    pub(super) high: usize,
    pub(super) low: usize,
}

impl Default for State {
    fn default() -> Self {
        Self {
            event_loop: None,
            life: Life::new(true),
            server_side: false,
            server_hostname: None,
            session: None,
            records: Records::new(),
            receiver: Receiver::default(),
            buffered: false,
            app_transport: None,
            lower: None,
            scope: None,
            waiter: None,
            timers: Timers {
                handshake_seconds: None,
                shutdown_seconds: None,
                handshake: None,
                shutdown: None,
                began: None,
            },
            lent: None,
            kept: Vec::new(),
            leftover: false,
            read_marks: Marks { high: 256 << 10, low: 64 << 10 },
            reading_paused: false,
            lower_reading_paused: false,
            backlog: Backlog::default(),
            write_marks: Marks { high: 512 << 10, low: 128 << 10 },
            writing_paused: false,
            lower_writing_paused: false,
            queued: false,
            lost_writes: 0,
            extra: None,
            context: None,
        }
    }
}

#[pymethods]
impl SSLProtocol {
    #[new]
    #[pyo3(
        signature = (*_args, **_kwargs),
        text_signature = "(loop, app_protocol, sslcontext, waiter, server_side=False, server_hostname=None, \
            call_connection_made=True, ssl_handshake_timeout=None, ssl_shutdown_timeout=None)"
    )]
    fn new(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyAny>>) -> Self {
        Self::default()
    }

    #[allow(clippy::too_many_arguments, reason = "asyncio's signature")]
    #[pyo3(signature = (
        r#loop, app_protocol, sslcontext, waiter, server_side = false, server_hostname = None,
        call_connection_made = true, ssl_handshake_timeout = None, ssl_shutdown_timeout = None
    ))]
    fn __init__(
        slf: &Bound<'_, Self>,
        r#loop: &Bound<'_, PyAny>,
        app_protocol: &Bound<'_, PyAny>,
        sslcontext: Option<Bound<'_, PyAny>>,
        waiter: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = truth)] server_side: bool,
        server_hostname: Option<Bound<'_, PyAny>>,
        #[pyo3(from_py_with = truth)] call_connection_made: bool,
        ssl_handshake_timeout: Option<Bound<'_, PyAny>>,
        ssl_shutdown_timeout: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let settings = Settings {
            context: sslcontext,
            server_side,
            server_hostname,
            call_connection_made,
            handshake_timeout: ssl_handshake_timeout,
            shutdown_timeout: ssl_shutdown_timeout,
        };
        Self::initialize(slf, LoopRef::new(r#loop), app_protocol, waiter, settings)
    }

    /// Begin the handshake over `transport`.
    #[pyo3(signature = (transport))]
    fn connection_made(slf: &Bound<'_, Self>, transport: Bound<'_, PyAny>) -> PyResult<()> {
        let py = slf.py();
        let scope = Lower(transport.clone()).scope();
        let old = slf.get().state.with(py, |state| {
            (state.lower.replace(transport.unbind()), std::mem::replace(&mut state.scope, scope))
        });
        drop(old);
        if slf.get()._app_transport(py).is_some_and(|transport| transport.get().is_marked_closed()) {
            // The program has closed it in the meantime.
            return shutdown::abort(slf, None);
        }
        handshake::begin(slf)
    }

    /// The transport below is gone, because of the exception `exc` if there is one.
    #[pyo3(signature = (exc))]
    fn connection_lost(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        shutdown::lost(slf, exc)
    }

    /// Take the encrypted `data`.
    #[pyo3(signature = (data))]
    fn data_received(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = imports::BYTES.get(slf.py())?.call1((data,))?.cast_into::<pyo3::types::PyBytes>()?;
        read::received(slf, data.as_bytes())
    }

    /// Take the encrypted `data` that came before `connection_made`.
    #[pyo3(signature = (data))]
    fn _feed(slf: &Bound<'_, Self>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let data = imports::BYTES.get(slf.py())?.call1((data,))?.cast_into::<pyo3::types::PyBytes>()?;
        read::feed(slf, data.as_bytes())
    }

    /// Return a buffer for encrypted data, of about `n` bytes if that is positive.
    #[pyo3(signature = (n))]
    fn get_buffer<'py>(slf: &Bound<'py, Self>, n: isize) -> PyResult<Bound<'py, PyAny>> {
        read::lend_buffer(slf, n)
    }

    /// Take the `nbytes` bytes that were written into the buffer.
    #[pyo3(signature = (nbytes))]
    fn buffer_updated(slf: &Bound<'_, Self>, nbytes: usize) -> PyResult<()> {
        read::buffer_updated(slf, nbytes)
    }

    /// The transport below has reached the end of input. Return whether it stays open.
    fn eof_received(slf: &Bound<'_, Self>) -> PyResult<Option<bool>> {
        shutdown::end_of_input(slf)
    }

    /// Hand nothing more to the transport below for now.
    fn pause_writing(slf: &Bound<'_, Self>) {
        slf.get().state.with(slf.py(), |state| state.lower_writing_paused = true);
    }

    /// Hand what has accumulated to the transport below.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.get().state.with(slf.py(), |state| state.lower_writing_paused = false);
        write::resumed(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let stage = slf.get().state.with(slf.py(), |state| state.life.stage());
        Ok(format!("<{} {stage:?}>", slf.get_type().name()?).to_owned())
    }

    #[pyo3(signature = (name, default = None))]
    fn _get_extra_info<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        super::extra::extra_info(slf, name, default)
    }

    /// Report the exception `exc` and break off.
    #[pyo3(signature = (exc, message = "Fatal error on transport"))]
    fn _fatal_error(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>, message: &str) -> PyResult<()> {
        shutdown::fatal_object(slf, exc, message)
    }

    #[pyo3(signature = (exc))]
    fn _abort(slf: &Bound<'_, Self>, exc: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        shutdown::abort(slf, exc)
    }

    #[pyo3(signature = (app_protocol))]
    fn _set_app_protocol(slf: &Bound<'_, Self>, app_protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        slf.get().set_receiver(app_protocol)
    }

    fn _check_handshake_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        handshake::time_is_up(slf)
    }

    fn _check_shutdown_timeout(slf: &Bound<'_, Self>) -> PyResult<()> {
        shutdown::time_is_up(slf)
    }

    /// The part of `resume_reading` that runs in the next turn.
    fn _resume(slf: &Bound<'_, Self>) -> PyResult<()> {
        read::resumed(slf)
    }

    #[getter]
    pub(super) fn _app_protocol(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.receiver.protocol().map(|protocol| protocol.clone_ref(py)))
    }

    #[getter]
    pub(super) fn _app_transport(&self, py: Python<'_>) -> Option<Py<SSLTransport>> {
        self.state.with(py, |state| state.app_transport.as_ref().map(|transport| transport.clone_ref(py)))
    }

    #[getter]
    fn _transport(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.lower.as_ref().map(|lower| lower.clone_ref(py)))
    }

    #[getter]
    pub(super) fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.event_loop.as_ref().map(|event_loop| event_loop.object(py)))
    }

    #[getter]
    pub(super) fn _sslcontext(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.state.with(py, |state| state.context.as_ref().map(|context| context.clone_ref(py)))
    }

    #[getter]
    fn _sslobj(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.session(py).ok().map(|session| session.object(py).clone().unbind())
    }

    #[setter(_sslobj)]
    fn set_sslobj(&self, object: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = object.py();
        let session = Arc::new(self.session(py)?.with_object(object)?);
        let old = self.state.with(py, |state| state.session.replace(session));
        drop(old);
        Ok(())
    }

    #[getter]
    fn _incoming(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.session(py).ok().map(|session| session.incoming(py).clone().unbind())
    }

    #[getter]
    fn _outgoing(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.session(py).ok().map(|session| session.outgoing(py).clone().unbind())
    }
}

/// The TLS settings of a new connection.
pub(crate) struct Settings<'py> {
    /// An `ssl.SSLContext`; `None` for a client's default.
    pub(crate) context: Option<Bound<'py, PyAny>>,
    pub(crate) server_side: bool,
    pub(crate) server_hostname: Option<Bound<'py, PyAny>>,
    pub(crate) call_connection_made: bool,
    /// Seconds.
    pub(crate) handshake_timeout: Option<Bound<'py, PyAny>>,
    /// Seconds.
    pub(crate) shutdown_timeout: Option<Bound<'py, PyAny>>,
}

impl SSLProtocol {
    /// One for the program's protocol `receiver`, with its transport, not yet connected.
    pub(crate) fn create<'py>(
        event_loop: LoopRef,
        receiver: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        settings: Settings<'py>,
    ) -> PyResult<(Bound<'py, Self>, Bound<'py, SSLTransport>)> {
        let py = receiver.py();
        let protocol = Bound::new(py, Self::default())?;
        Self::initialize(&protocol, event_loop, receiver, waiter, settings)?;
        let transport = protocol.get()._app_transport(py).expect("initialize has made it").into_bound(py);
        Ok((protocol, transport))
    }

    fn initialize<'py>(
        slf: &Bound<'py, Self>,
        event_loop: LoopRef,
        receiver: &Bound<'py, PyAny>,
        waiter: Option<Bound<'py, PyAny>>,
        settings: Settings<'py>,
    ) -> PyResult<()> {
        let py = slf.py();
        require_positive("ssl_handshake_timeout", settings.handshake_timeout.as_ref())?;
        require_positive("ssl_shutdown_timeout", settings.shutdown_timeout.as_ref())?;
        let hostname = match &settings.server_hostname {
            Some(hostname) if !settings.server_side && hostname.is_truthy()? => Some(hostname),
            _ => None,
        };
        let context = match settings.context {
            Some(context) if context.is_truthy()? => context,
            _ => default_context(py, settings.server_side, hostname.is_some())?,
        };
        let session = Arc::new(Session::new(&context, settings.server_side, hostname)?);
        let (buffered, receiver) = (hands_out_buffers(receiver)?, Receiver::of(receiver)?);
        let app_transport = Bound::new(py, SSLTransport::new(slf))?.unbind();
        let state = State {
            event_loop: Some(event_loop),
            life: Life::new(settings.call_connection_made),
            server_side: settings.server_side,
            server_hostname: settings.server_hostname.filter(|_| !settings.server_side).map(Bound::unbind),
            session: Some(session),
            receiver,
            buffered,
            app_transport: Some(app_transport),
            waiter: waiter.map(Bound::unbind),
            timers: Timers {
                handshake_seconds: settings.handshake_timeout.map(Bound::unbind),
                shutdown_seconds: settings.shutdown_timeout.map(Bound::unbind),
                handshake: None,
                shutdown: None,
                began: None,
            },
            context: Some(context.unbind()),
            ..State::default()
        };
        let old = slf.get().state.with(py, |place| std::mem::replace(place, state));
        drop(old);
        Ok(())
    }

    /// The TLS object and its BIOs. Raises `RuntimeError` before `__init__`.
    #[inline]
    pub(super) fn session(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        self.state.with(py, |state| state.session.clone()).ok_or_else(uninitialized)
    }

    /// The event loop. Raises `RuntimeError` before `__init__`.
    pub(super) fn event_loop(&self, py: Python<'_>) -> PyResult<LoopRef> {
        self.state
            .with(py, |state| state.event_loop.as_ref().map(|event_loop| event_loop.duplicate(py)))
            .ok_or_else(uninitialized)
    }

    /// The transport below, while there is one.
    #[inline]
    pub(super) fn lower<'py>(&self, py: Python<'py>) -> Option<Lower<'py>> {
        self.state.with(py, |state| state.lower.as_ref().map(|lower| Lower(lower.bind(py).clone())))
    }

    /// Whether the loop is in debug mode.
    pub(super) fn debug(&self, py: Python<'_>) -> PyResult<bool> {
        self.event_loop(py)?.debug(py)
    }

    /// Makes `protocol` the receiver of what comes from now on.
    pub(super) fn set_receiver(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let (buffered, receiver) = (hands_out_buffers(protocol)?, Receiver::of(protocol)?);
        let old = self.state.with(protocol.py(), |state| {
            state.buffered = buffered;
            std::mem::replace(&mut state.receiver, receiver)
        });
        drop(old);
        Ok(())
    }
}

fn hands_out_buffers(protocol: &Bound<'_, PyAny>) -> PyResult<bool> {
    protocol.is_instance(imports::BUFFERED_PROTOCOL.get(protocol.py())?)
}

/// Runs `body` in the context of the transport below, if the loop has called us outside of it.
#[inline]
pub(super) fn in_scope<R>(
    protocol: &Bound<'_, SSLProtocol>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    let py = protocol.py();
    let scope =
        protocol.get().state.with(py, |state| state.scope.as_ref().map(|scope| scope.bind(py).clone()));
    match scope {
        Some(scope) => context::run(&scope, |_| body()),
        None => body(),
    }
}

impl Timers {
    /// The time limit of the handshake, as the program gave it, or the default.
    pub(super) fn handshake_limit<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        limit(py, self.handshake_seconds.as_ref(), HANDSHAKE_SECONDS)
    }

    /// The time limit of the closing handshake.
    pub(super) fn shutdown_limit<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        limit(py, self.shutdown_seconds.as_ref(), SHUTDOWN_SECONDS)
    }
}

fn limit<'py>(py: Python<'py>, given: Option<&Py<PyAny>>, default: f64) -> Bound<'py, PyAny> {
    match given {
        Some(given) => given.bind(py).clone(),
        None => pyo3::types::PyFloat::new(py, default).into_any(),
    }
}

fn require_positive(name: &str, seconds: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
    match seconds {
        Some(seconds) if seconds.le(0)? => {
            Err(PyValueError::new_err(format!("{name} should be a positive number, got {seconds}")))
        }
        _ => Ok(()),
    }
}

/// The context for a client with `ssl=True`: the standard library's default. It checks no name if none is known.
fn default_context(py: Python<'_>, server_side: bool, named: bool) -> PyResult<Bound<'_, PyAny>> {
    if server_side {
        return Err(PyValueError::new_err("Server side SSL needs a valid SSLContext"));
    }
    // Looked up now: a program may have replaced it.
    let context = imports::SSL_MODULE.get(py)?.call_method0(intern!(py, "create_default_context"))?;
    if !named {
        context.setattr(intern!(py, "check_hostname"), false)?;
    }
    Ok(context)
}

fn uninitialized() -> PyErr {
    PyRuntimeError::new_err("SSLProtocol object is not initialized: call super().__init__() first")
}
