//! `Core`: what every transport has, whatever its descriptor is.
//!
//! The transports of sockets, pipes and children hold one each. `lifetime.rs` takes it from `connection_made` to
//! `connection_lost`. `flow.rs` tells a protocol when to pause. `methods.rs` has the methods that are the same in all
//! classes. A class adds what differs: its own state (`Own`), what it waits for and how it closes (`Transport`).
//!
//! Invariant: no Python code runs while the state is borrowed, since a protocol may do anything to its transport.

use pyo3::prelude::*;
use pyo3::pyclass::boolean_struct::True;
use pyo3::types::PyDict;
use pyo3::{PyClass, PyVisit};

use super::lifetime;
use super::receiver::Receiver;
use crate::base::ffi::Guarded;
use crate::base::gc::{Traverse, Visited};
use crate::core::event_loop::Loop;

/// What is given whenever a transport is made.
pub(crate) struct Order<'a, 'py> {
    pub(crate) event_loop: &'a Bound<'py, Loop>,
    pub(crate) protocol: &'a Bound<'py, PyAny>,
    /// The future that gets its result after the transport has begun.
    pub(crate) waiter: Option<&'a Bound<'py, PyAny>>,
    /// What else `get_extra_info` must know.
    pub(crate) extra: Option<&'a Bound<'py, PyDict>>,
}

impl<'py> Order<'_, 'py> {
    pub(crate) fn py(&self) -> Python<'py> {
        self.event_loop.py()
    }

    /// A dict for the transport's `get_extra_info`. Raises `RuntimeError` if the loop is closed.
    pub(crate) fn begin(&self) -> PyResult<Bound<'py, PyDict>> {
        self.event_loop.get().require_open()?;
        self.extra.map_or_else(|| Ok(PyDict::new(self.py())), |extra| extra.copy())
    }
}

/// The part of a transport that is the same in every class.
pub(crate) struct Core<O> {
    pub(crate) event_loop: Py<Loop>,
    /// The context in which the loop calls the protocol's methods.
    pub(crate) context: Py<PyAny>,
    pub(crate) state: Guarded<State<O>>,
    /// What `get_extra_info` knows.
    pub(crate) extra: Py<PyDict>,
}

/// Everything that changes during a transport's life.
pub(crate) struct State<O> {
    /// The protocol; empty after the connection is lost.
    pub(crate) receiver: Receiver,
    /// `connection_made` was called: from now on the transport reads.
    pub(super) started: bool,
    /// By `pause_reading`.
    pub(super) paused: bool,
    /// `close` was called, or the connection failed: nothing more is read, and what was written is still sent.
    pub(crate) closing: bool,
    /// `connection_lost` is scheduled, or was called.
    pub(crate) ended: bool,
    /// How often the program wrote after the end.
    pub(super) lost_writes: u32,
    pub(crate) own: O,
}

/// What one class of transports has in addition.
pub(crate) trait Own: Traverse {
    /// What ends with the connection, above all the descriptor's owner.
    type Resource;

    /// What waits to be sent.
    type Unsent;

    /// References to Python objects that may form a cycle.
    type References;

    /// Whether the resource still exists.
    fn is_open(&self) -> bool;

    /// Takes the resource, to be closed; `None` if that was done already.
    fn take(&mut self) -> Option<Self::Resource>;

    /// Whether nothing waits to be sent.
    fn is_sent(&self) -> bool;

    /// Takes what waits to be sent; the caller drops it.
    fn take_unsent(&mut self) -> Self::Unsent;

    /// Takes the references for the garbage collector; the caller drops them.
    fn clear(&mut self) -> Self::References;
}

/// A class of transports.
pub(crate) trait Transport: PyClass<Frozen = True> + Sync {
    type Own: Own;

    fn core(&self) -> &Core<Self::Own>;

    /// Tells the loop what to watch for, if that has changed.
    fn settle_interest(slf: &Bound<'_, Self>) -> PyResult<()>;

    /// Closes what was taken out of the state; afterwards the loop watches for nothing.
    fn close_resource(slf: &Bound<'_, Self>, resource: <Self::Own as Own>::Resource) -> PyResult<()>;

    /// Ends the connection after a panic in a protocol's method.
    fn break_off(slf: &Bound<'_, Self>, failure: &Bound<'_, PyAny>) -> PyResult<()> {
        lifetime::force_close(slf, Some(failure))
    }

    /// Whether, and in which words, the class itself reports what a protocol's method raises. Otherwise the loop
    /// reports it like any callback's error.
    const REPORTS: Option<&'static str> = None;
}

impl<O: Own> Traverse for Core<O> {
    /// Nothing until the object has been written; CPython 3.11 may call this before (see `base/gc.rs`).
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        let Self { event_loop, context, state, extra } = self;
        state.visit(visit, |state| {
            event_loop.traverse(visit)?;
            context.traverse(visit)?;
            extra.traverse(visit)?;
            state.receiver.traverse(visit)?;
            state.own.traverse(visit)
        })
    }
}

impl<O: Own> Core<O> {
    /// One for the protocol of `order`, whose methods run in `context`. `extra` is what `get_extra_info` knows.
    pub(crate) fn new(
        order: &Order<'_, '_>,
        extra: Bound<'_, PyDict>,
        context: Bound<'_, PyAny>,
        own: O,
    ) -> PyResult<Self> {
        let state = State {
            receiver: Receiver::of(order.protocol)?,
            started: false,
            paused: false,
            closing: false,
            ended: false,
            lost_writes: 0,
            own,
        };
        Ok(Self {
            event_loop: order.event_loop.clone().unbind(),
            context: context.unbind(),
            state: Guarded::new(state),
            extra: extra.unbind(),
        })
    }

    /// The protocol; `None` after the connection is lost.
    #[inline]
    pub(crate) fn protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        self.state.with(py, |state| state.receiver.protocol().map(|protocol| protocol.bind(py).clone()))
    }

    /// Makes `protocol` the receiver of what comes from now on.
    pub(crate) fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        let receiver = Receiver::of(protocol)?;
        let old = self.state.with(protocol.py(), |state| std::mem::replace(&mut state.receiver, receiver));
        drop(old);
        Ok(())
    }

    #[inline]
    pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.closing)
    }

    /// Whether the descriptor isn't closed yet.
    pub(crate) fn is_open(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| state.own.is_open())
    }

    /// Drops what may form a cycle.
    pub(crate) fn clear(&self, py: Python<'_>) {
        let held = self.state.with(py, |state| (std::mem::take(&mut state.receiver), state.own.clear()));
        drop(held);
        self.extra.bind(py).clear();
    }
}

impl<O: Own> State<O> {
    /// Whether arriving data goes to the protocol.
    #[inline]
    pub(super) fn is_reading(&self) -> bool {
        !self.closing && !self.paused
    }

    /// Begins to close; returns whether to schedule `connection_lost` now.
    #[must_use]
    pub(super) fn close(&mut self) -> bool {
        !std::mem::replace(&mut self.closing, true) && self.lose_if_sent()
    }

    /// Ends the connection and returns what was not sent; `None` if it had ended already.
    #[must_use]
    pub(super) fn force_close(&mut self) -> Option<O::Unsent> {
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        self.closing = true;
        Some(self.own.take_unsent())
    }

    /// Whether a closing transport has nothing left to do; true only once.
    #[must_use]
    pub(super) fn lose_if_sent(&mut self) -> bool {
        let loses = self.closing && !self.ended && self.own.is_sent();
        self.ended |= loses;
        loses
    }
}
