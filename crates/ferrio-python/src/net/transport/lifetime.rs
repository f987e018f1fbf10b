//! How every transport begins and ends.
//!
//! The loop calls `connection_made` and `connection_lost` once each, never from inside a call of the program's. The
//! descriptor is closed right after the latter, whatever the protocol does.
//!
//! Invariant: a panic in a protocol's method costs its transport the connection and nothing else.
use pyo3::panic::PanicException;
use pyo3::prelude::*;

use super::core::{Own, Transport};
use super::report;
use crate::base::ffi::scope::then_leave;
use crate::base::ffi::{context, protect};
use crate::core::event_loop::Item;
use crate::core::future::watch;

/// Schedules the start for the next turn: `connection_made`, then the transport reads, then `waiter` gets its result.
pub(crate) fn begin<T: Transport>(
    transport: &Bound<'_, T>,
    waiter: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = transport.py();
    let waiter = waiter.map_or_else(|| py.None(), |waiter| waiter.clone().unbind());
    let owner = transport.clone().into_any().unbind();
    transport.get().core().event_loop.get().push(py, Item::Watch(owner, waiter, start::<T>))
}

/// The loop's first call; `waiter` is `None` if nobody waits.
fn start<T: Transport>(owner: &Bound<'_, PyAny>, waiter: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<T>()?;
    let py = owner.py();
    let made = tell(transport, |protocol| {
        protocol.call_method1(intern!(py, "connection_made"), (transport,)).map(drop)
    });
    transport.get().core().state.with(py, |state| state.started = true);
    // Without events it would hang for ever.
    let watched = T::settle_interest(transport)
        .or_else(|failure| fatal(transport, &failure, "Fatal error: the system can't watch the descriptor."));
    if !waiter.is_none() {
        watch::set_result_unless_done(waiter, py.None().into_bound(py))?;
    }
    reported(transport, made).and(watched)
}

/// Calls the protocol in the transport's context, if there is a protocol.
pub(crate) fn tell<'py, T: Transport>(
    transport: &Bound<'py, T>,
    call: impl FnOnce(&Bound<'py, PyAny>) -> PyResult<()>,
) -> PyResult<()> {
    let py = transport.py();
    let core = transport.get().core();
    let Some(protocol) = core.protocol(py) else { return Ok(()) };
    survive(transport, || context::run(core.context.bind(py), |_| call(&protocol)))
}

/// Reports what a protocol's method raised when the loop called it.
pub(crate) fn reported<T: Transport>(transport: &Bound<'_, T>, outcome: PyResult<()>) -> PyResult<()> {
    outcome.or_else(|failure| match T::REPORTS {
        Some(message) => report::problem(transport, &failure, message),
        // If the loop got the exception, it would become a panic again.
        None if failure.is_instance_of::<PanicException>(transport.py()) => {
            report::problem(transport, &failure, "Fatal error: a protocol's method panicked.")
        }
        None => Err(failure),
    })
}

/// Runs `body`, which calls the protocol. If it panics, the connection ends, and the panic becomes an exception.
pub(crate) fn survive<T: Transport, R>(
    transport: &Bound<'_, T>,
    body: impl FnOnce() -> PyResult<R>,
) -> PyResult<R> {
    let py = transport.py();
    protect::caught(py, body).unwrap_or_else(|failure| {
        T::break_off(transport, failure.value(py).as_any())?;
        Err(failure)
    })
}

/// Closes after everything that was written is sent.
pub(super) fn close<T: Transport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let loses = transport.get().core().state.with(transport.py(), |state| state.close());
    T::settle_interest(transport)?;
    if loses { schedule_loss(transport, None) } else { Ok(()) }
}

/// Ends a closing connection if everything is sent.
pub(super) fn finish<T: Transport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let loses = transport.get().core().state.with(transport.py(), |state| state.lose_if_sent());
    if loses { schedule_loss(transport, None) } else { Ok(()) }
}

/// Ends the connection without waiting for unsent data; `connection_lost` gets `failure`.
pub(crate) fn force_close<T: Transport>(
    transport: &Bound<'_, T>,
    failure: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let unsent = transport.get().core().state.with(transport.py(), |state| state.force_close());
    T::settle_interest(transport)?;
    let Some(unsent) = unsent else { return Ok(()) };
    drop(unsent);
    schedule_loss(transport, failure)
}

/// Reports `failure` and ends the connection with it.
///
/// Raises errors that must end the program.
#[cold]
pub(super) fn fatal<T: Transport>(transport: &Bound<'_, T>, failure: &PyErr, message: &str) -> PyResult<()> {
    report::fatal(transport, failure, message)?;
    force_close(transport, Some(failure.value(transport.py()).as_any()))
}

/// Schedules `connection_lost(failure)` for the next turn. Raises `RuntimeError` on a closed loop.
pub(crate) fn schedule_loss<T: Transport>(
    transport: &Bound<'_, T>,
    failure: Option<&Bound<'_, PyAny>>,
) -> PyResult<()> {
    let py = transport.py();
    let failure = failure.map_or_else(|| py.None(), |failure| failure.clone().unbind());
    let owner = transport.clone().into_any().unbind();
    transport.get().core().event_loop.get().push(py, Item::Watch(owner, failure, lose::<T>))
}

/// The loop's last call: tells the protocol that the connection is lost, and closes.
fn lose<T: Transport>(owner: &Bound<'_, PyAny>, failure: &Bound<'_, PyAny>) -> PyResult<()> {
    let transport = owner.cast::<T>()?;
    let py = owner.py();
    let last = || {
        tell(transport, |protocol| {
            protocol.call_method1(intern!(py, "connection_lost"), (failure,)).map(drop)
        })
    };
    let (told, closed) = then_leave(last, || end(transport));
    reported(transport, told).and(closed)
}

/// Closes the descriptor and drops the protocol. Does nothing the second time.
pub(super) fn end<T: Transport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let taken = transport.get().core().state.with(transport.py(), |state| {
        let resource = state.own.take()?;
        (state.closing, state.ended) = (true, true);
        Some((resource, state.own.take_unsent(), std::mem::take(&mut state.receiver)))
    });
    let Some((resource, unsent, receiver)) = taken else { return Ok(()) };
    let closed = T::close_resource(transport, resource);
    drop((unsent, receiver));
    closed
}
