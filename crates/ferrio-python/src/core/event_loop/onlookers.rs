//! Who looks at the items of a loop while they run.
//!
//! A turn asks once whether anybody does, and an item's code is compiled for both cases. Whoever wants to look adds a
//! mode, and a field here.

use ferrio_engine::meter::Meter;
use pyo3::prelude::*;

use super::progress::Progress;

/// Where the items of a batch are shown while they run.
pub(crate) trait Show {
    /// Runs `body`, a callback or the end of a wait; `object` is what it works on.
    fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R;

    /// Runs `body`, a step of `task`.
    fn during_step<R>(&self, task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R;
}

/// Nobody looks.
pub(crate) struct Nobody;

impl Show for Nobody {
    #[inline(always)]
    fn during<R>(&self, _object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        body()
    }

    #[inline(always)]
    fn during_step<R>(&self, _task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// Those who look at a loop at this moment.
pub(super) struct Onlookers<'a> {
    /// For watchdogs.
    pub(super) progress: Option<&'a Progress>,
    /// For metrics.
    pub(super) meter: Option<&'a Meter>,
}

impl Show for Onlookers<'_> {
    #[inline]
    fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        if let Some(meter) = self.meter {
            meter.callback_begins();
        }
        self.during_either(object, body)
    }

    #[inline]
    fn during_step<R>(&self, task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        if let Some(meter) = self.meter {
            meter.step_begins();
        }
        self.during_either(task, body)
    }
}

impl Onlookers<'_> {
    /// Runs `body`, which isn't an item of the queue: an event on a descriptor.
    #[inline]
    pub(super) fn during_either<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        match self.progress {
            Some(progress) => progress.during(object, body),
            None => body(),
        }
    }
}
