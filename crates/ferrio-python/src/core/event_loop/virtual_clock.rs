//! `_VirtualClock`: a clock for tests, which loops share and a test moves; and who hears that a loop would wait for ever.
//!
//! `ferrio.testing` builds upon both. A loop that was given neither pays nothing.
//!
//! Invariant: the clock never moves back.

use std::time::Duration;

use ferrio_engine::clock::{Clock, nanos_from_seconds, seconds_from_nanos};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::base::arguments::truth;
use crate::base::class::Class;

/// A clock that stands still until a loop jumps to its next deadline, or `advance` moves it.
#[pyclass(frozen, name = "_VirtualClock", module = "ferrio._ferrio")]
pub(crate) struct VirtualClock(Clock);

impl Class for VirtualClock {}

impl VirtualClock {
    /// The clock if it is virtual.
    pub(super) fn of(clock: Clock) -> Option<Self> {
        clock.is_virtual().then_some(Self(clock))
    }
}

#[pymethods]
impl VirtualClock {
    #[new]
    fn new() -> Self {
        Self(Clock::virtual_at(0))
    }

    /// Return the time in seconds since the clock was made.
    fn time(&self) -> f64 {
        seconds_from_nanos(self.0.now())
    }

    /// Move the clock forward by `seconds`.
    #[pyo3(signature = (seconds, /))]
    fn advance(&self, seconds: f64) -> PyResult<()> {
        let step = nanos_from_seconds(seconds)
            .filter(|_| seconds >= 0.0)
            .ok_or_else(|| PyValueError::new_err(format!("a clock can't move by {seconds} seconds")))?;
        self.0.advance_to(self.0.now().saturating_add(step));
        Ok(())
    }
}

/// The clock that the argument `virtual_time` of a loop means: a `_VirtualClock`, or whether to make a virtual one.
pub(super) fn clock_of(virtual_time: Option<&Bound<'_, PyAny>>) -> PyResult<Clock> {
    let Some(virtual_time) = virtual_time else { return Ok(Clock::monotonic()) };
    if let Ok(shared) = virtual_time.cast::<VirtualClock>() {
        return Ok(shared.get().0.clone());
    }
    Ok(if truth(virtual_time)? { Clock::virtual_at(Clock::monotonic().now()) } else { Clock::monotonic() })
}

/// A loop's idle time with nothing due, for whoever wants to hear of it.
#[derive(Copy, Clone, Default)]
pub(super) struct Quiet {
    /// How long nothing has come.
    lasted: Duration,
    /// How much longer to wait before asking.
    pub(super) patience: Duration,
}

impl Quiet {
    /// Calls `ask` after the loop has waited for `patience`, and nothing came. It is told for how long nothing has come,
    /// and how many descriptors are watched. It raises to end the run, or returns how many seconds to wait.
    #[cold]
    pub(super) fn ask(
        &mut self,
        ask: &Bound<'_, PyAny>,
        native: &Bound<'_, PyAny>,
        watched: usize,
    ) -> PyResult<()> {
        self.lasted += self.patience;
        let answer: f64 = ask.call1((native, self.lasted.as_secs_f64(), watched))?.extract()?;
        self.patience = Duration::try_from_secs_f64(answer)
            .map_err(|_| PyValueError::new_err(format!("a loop can't wait for {answer} seconds")))?;
        Ok(())
    }
}
