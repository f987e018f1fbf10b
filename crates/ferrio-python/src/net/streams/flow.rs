//! `FlowControlMixin`: the part of a protocol that makes writers wait while the transport's buffer is full.
//!
//! Invariant: a waiting drain is woken when writing goes on or the connection is lost, and takes itself out of the
//! list.

use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};

use super::attributes::flag_attributes;
use super::drain::Drain;
use super::protocol::StreamReaderProtocol;
use crate::base::class::{Class, Standard};
use crate::base::ffi::Guarded;
use crate::base::functions::Functions;
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::base::overrides::{Names, Overrides};
use crate::core::event_loop::LoopRef;
use crate::core::future::default_loop;
use crate::core::operation;
use crate::core::operation::unawaited::Unawaited;
use crate::sync::locks::waiters::{self, WaitList};

/// A protocol whose `_drain_helper()` waits while the transport has paused writing (asyncio's class of that name).
#[pyclass(subclass, frozen, weakref, dict, module = "ferrio.streams")]
pub(crate) struct FlowControlMixin {
    pub(super) flow: Guarded<Flow>,
    overrides: Overrides,
}

collected!(FlowControlMixin { flow } not { overrides }, written by flow, clear { flow });

impl Class for FlowControlMixin {
    const BELOW: Option<Standard> = Some(("asyncio.streams", "FlowControlMixin"));
}

impl Functions for FlowControlMixin {
    const COROUTINES: &'static [&'static str] = &["_drain_helper"];
}

/// Whether writers have to wait, and which do.
#[derive(Default)]
pub(super) struct Flow {
    pub(super) paused: bool,
    pub(super) connection_lost: bool,
    pub(super) waiters: WaitList,
    /// `None` until `__init__` has run.
    event_loop: Option<LoopRef>,
}

gc!(Flow { waiters, event_loop } not { paused, connection_lost });

flag_attributes! {
    FlowControlMixin, flow;
    _paused: set_paused, paused;
    _connection_lost: set_connection_lost, connection_lost;
}

const DRAIN_HELPER: u8 = 1;
const GET_CLOSE_WAITER: u8 = 2;
const NAMES: Names = &[("_drain_helper", DRAIN_HELPER), ("_get_close_waiter", GET_CLOSE_WAITER)];

impl FlowControlMixin {
    /// One that `__init__` fills in; `class` is the class of the new object.
    pub(super) fn empty(class: &Bound<'_, PyType>) -> PyResult<Self> {
        let overrides = Overrides::of_class::<StreamReaderProtocol>(class, NAMES)?;
        Ok(Self { flow: Guarded::new(Flow::default()), overrides })
    }

    /// The base of a plain protocol of a loop.
    pub(super) fn on(event_loop: LoopRef) -> Self {
        let flow = Flow { event_loop: Some(event_loop), ..Flow::default() };
        Self { flow: Guarded::new(flow), overrides: Overrides::none() }
    }

    /// Whether a Python subclass has a `_drain_helper` of its own.
    #[inline]
    pub(super) fn drains_itself(&self) -> bool {
        self.overrides.has(DRAIN_HELPER)
    }

    /// Whether a Python subclass has a `_get_close_waiter` of its own.
    pub(super) fn closes_itself(&self) -> bool {
        self.overrides.has(GET_CLOSE_WAITER)
    }

    /// The loop. Raises `RuntimeError` if `__init__` was never called.
    pub(super) fn event_loop(&self, py: Python<'_>) -> PyResult<LoopRef> {
        let known = self.flow.with(py, |flow| flow.event_loop.as_ref().map(|known| known.duplicate(py)));
        known.ok_or_else(|| {
            pyo3::exceptions::PyRuntimeError::new_err(
                "the protocol is not initialized: call super().__init__() first",
            )
        })
    }

    /// `__init__`.
    pub(super) fn initialize(&self, py: Python<'_>, event_loop: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        let event_loop = match event_loop {
            Some(event_loop) if !event_loop.is_none() => LoopRef::new(&event_loop),
            _ => default_loop(py)?,
        };
        let fresh = Flow { event_loop: Some(event_loop), ..Flow::default() };
        let old = self.flow.with(py, |flow| std::mem::replace(flow, fresh));
        drop(old);
        Ok(())
    }

    /// Notes the end of the connection and wakes waiting drains.
    pub(super) fn lose_connection(
        &self,
        py: Python<'_>,
        exception: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let paused = self.flow.with(py, |flow| {
            flow.connection_lost = true;
            flow.paused
        });
        if paused { self.wake(py, exception) } else { Ok(()) }
    }

    fn wake(&self, py: Python<'_>, exception: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        while let Some(waiting) = self.flow.with(py, |flow| flow.waiters.next_parked(py)) {
            match exception {
                Some(exception) => operation::fail(&waiting, exception)?,
                None => operation::wake(&waiting)?,
            };
        }
        Ok(())
    }

    fn debug(slf: &Bound<'_, Self>, format: &str) -> PyResult<()> {
        let py = slf.py();
        if slf.get().event_loop(py)?.debug(py)? {
            imports::LOGGER.get(py)?.call_method1(intern!(py, "debug"), (format, slf))?;
        }
        Ok(())
    }
}

#[pymethods]
impl FlowControlMixin {
    #[new]
    #[classmethod]
    #[pyo3(signature = (*_args, **_kwargs), text_signature = "(loop=None)")]
    fn new(
        class: &Bound<'_, PyType>,
        _args: &Bound<'_, PyTuple>,
        _kwargs: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        Self::empty(class)
    }

    #[pyo3(signature = (r#loop = None))]
    fn __init__(&self, py: Python<'_>, r#loop: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        self.initialize(py, r#loop)
    }

    /// The transport's buffer is full: from now on a drain waits.
    fn pause_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        if slf.get().flow.with(slf.py(), |flow| std::mem::replace(&mut flow.paused, true)) {
            return Err(PyAssertionError::new_err("pause_writing() called while writing is paused"));
        }
        Self::debug(slf, "%r pauses writing")
    }

    /// The transport's buffer has room again: waiting drains go on.
    fn resume_writing(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        if !slf.get().flow.with(py, |flow| std::mem::replace(&mut flow.paused, false)) {
            return Err(PyAssertionError::new_err("resume_writing() called while writing is not paused"));
        }
        Self::debug(slf, "%r resumes writing")?;
        slf.get().wake(py, None)
    }

    /// The connection is made. Does nothing here.
    #[pyo3(signature = (transport))]
    fn connection_made(&self, transport: &Bound<'_, PyAny>) {
        let _ = transport;
    }

    /// Data arrived. Does nothing here.
    #[pyo3(signature = (data))]
    fn data_received(&self, data: &Bound<'_, PyAny>) {
        let _ = data;
    }

    /// The other end will send no more. Returns `None`: the transport closes.
    fn eof_received(&self) -> Option<bool> {
        None
    }

    /// The connection is lost: waiting drains go on, or raise `exc`.
    #[pyo3(signature = (exc))]
    fn connection_lost(&self, exc: &Bound<'_, PyAny>) -> PyResult<()> {
        self.lose_connection(exc.py(), Some(exc).filter(|exc| !exc.is_none()))
    }

    /// Wait until writing is not paused; for `StreamWriter.drain()`.
    ///
    /// Raises `ConnectionResetError` after the connection is lost.
    fn _drain_helper(slf: &Bound<'_, Self>) -> Unawaited {
        Unawaited::new(Drain::helper(slf))
    }

    /// A subclass returns an awaitable that is done after the connection of `stream` is closed.
    #[pyo3(signature = (stream))]
    fn _get_close_waiter<'py>(&self, stream: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        Err(PyNotImplementedError::new_err(format!("no close waiter for {}", stream.repr()?)))
    }

    #[getter]
    fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.flow.with(py, |flow| flow.event_loop.as_ref().map(|known| known.object(py)))
    }

    #[setter(_loop)]
    fn set_loop(&self, value: &Bound<'_, PyAny>) {
        let event_loop = LoopRef::new(value);
        let old = self.flow.with(value.py(), |flow| flow.event_loop.replace(event_loop));
        drop(old);
    }

    /// The waiting drains in order: a copy of the list.
    #[getter]
    fn _drain_waiters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        waiters::shown(py, self.flow.with(py, |flow| flow.waiters.duplicate(py)))
    }
}
