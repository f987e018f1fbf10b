//! The two time limits: for the handshake and for the closing handshake.
use pyo3::prelude::*;

use super::protocol::{SSLProtocol, Timers};
use crate::base::arguments::seconds;
use crate::core::event_loop::Item;
use crate::core::future::callbacks::WatcherCall;
use crate::core::timer::Timer;

/// Which limit.
#[derive(Clone, Copy)]
pub(super) enum Limit {
    Handshake,
    Shutdown,
}

impl Limit {
    fn place(self, timers: &mut Timers) -> &mut Option<Timer> {
        match self {
            Self::Handshake => &mut timers.handshake,
            Self::Shutdown => &mut timers.shutdown,
        }
    }
}

/// Starts the timer unless it is running.
pub(super) fn start(protocol: &Bound<'_, SSLProtocol>, limit: Limit) -> PyResult<()> {
    let py = protocol.py();
    let (runs, given) = protocol.get().state.with(py, |state| {
        let given = match limit {
            Limit::Handshake => state.timers.handshake_limit(py),
            Limit::Shutdown => state.timers.shutdown_limit(py),
        };
        (limit.place(&mut state.timers).is_some(), given)
    });
    if runs {
        return Ok(());
    }
    let event_loop = protocol.get().event_loop(py)?;
    let timer = match Timer::native(&event_loop) {
        Some(native) => {
            let call: WatcherCall = match limit {
                Limit::Handshake => |owner, _| super::handshake::time_is_up(owner.cast::<SSLProtocol>()?),
                Limit::Shutdown => |owner, _| super::shutdown::time_is_up(owner.cast::<SSLProtocol>()?),
            };
            let item = Item::Watch(protocol.clone().into_any().unbind(), py.None(), call);
            Timer::after(py, native, seconds(&given, "timeout")?, item)?
        }
        None => {
            let name = match limit {
                Limit::Handshake => intern!(py, "_check_handshake_timeout"),
                Limit::Shutdown => intern!(py, "_check_shutdown_timeout"),
            };
            let callback = protocol.getattr(name)?;
            let name = intern!(py, "call_later");
            Timer::Handle(event_loop.object(py).call_method1(name, (given, callback))?.unbind())
        }
    };
    protocol.get().state.with(py, |state| *limit.place(&mut state.timers) = Some(timer));
    Ok(())
}

/// Stops the timer if it is running.
pub(super) fn stop(protocol: &Bound<'_, SSLProtocol>, limit: Limit) -> PyResult<()> {
    let py = protocol.py();
    let timer = protocol.get().state.with(py, |state| limit.place(&mut state.timers).take());
    timer.map_or(Ok(()), |timer| timer.stop(py))
}
