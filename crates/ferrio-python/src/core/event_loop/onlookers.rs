//! What looks at the items of a loop while they run: watchdogs, samplers, meters and recordings.
//!
//! A turn asks once whether anything does, and an item's code is compiled for both cases. A new onlooker adds a mode, and
//! a field here.

use ferrio_engine::meter::Meter;
use ferrio_engine::recorder::Kind;
use pyo3::prelude::*;

use super::progress::Progress;
use crate::base::recording::{Named, Slot};

/// Where the items of a batch are shown while they run.
pub(crate) trait Show {
    /// Runs `body`, a callback; `object` is what it works on.
    fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R;

    /// Runs `body`, the end of the wait of `operation`, which has this name.
    fn during_wake<R>(&self, operation: &Bound<'_, PyAny>, name: &'static str, body: impl FnOnce() -> R)
    -> R;

    /// Runs `body`, a step of `task`.
    fn during_step<R>(&self, task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R;
}

/// Nothing looks.
pub(crate) struct Nobody;

impl Show for Nobody {
    #[inline(always)]
    fn during<R>(&self, _object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        body()
    }

    #[inline(always)]
    fn during_wake<R>(
        &self,
        _operation: &Bound<'_, PyAny>,
        _name: &'static str,
        body: impl FnOnce() -> R,
    ) -> R {
        body()
    }

    #[inline(always)]
    fn during_step<R>(&self, _task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// Only a meter counts.
pub(super) struct Counting<'a>(pub(super) &'a Meter);

impl Show for Counting<'_> {
    #[inline(always)]
    fn during<R>(&self, _object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        self.0.callback_begins();
        body()
    }

    #[inline(always)]
    fn during_wake<R>(
        &self,
        _operation: &Bound<'_, PyAny>,
        _name: &'static str,
        body: impl FnOnce() -> R,
    ) -> R {
        self.0.callback_begins();
        body()
    }

    #[inline(always)]
    fn during_step<R>(&self, _task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        self.0.step_begins();
        body()
    }
}

/// What looks at a loop at this moment.
pub(super) struct Onlookers<'a> {
    /// For watchdogs.
    pub(super) progress: Option<&'a Progress>,
    /// For metrics.
    pub(super) meter: Option<&'a Meter>,
    /// For recordings.
    pub(super) recorder: Option<&'a Slot>,
}

impl Show for Onlookers<'_> {
    #[inline]
    fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        if let Some(meter) = self.meter {
            meter.callback_begins();
        }
        if let Some(recorder) = self.recorder {
            recorder.note_named(object.py(), Kind::Call, &Named::callable(object));
        }
        self.during_either(object, body)
    }

    #[inline]
    fn during_wake<R>(
        &self,
        operation: &Bound<'_, PyAny>,
        name: &'static str,
        body: impl FnOnce() -> R,
    ) -> R {
        if let Some(meter) = self.meter {
            meter.callback_begins();
        }
        if let Some(recorder) = self.recorder {
            recorder.note_named(operation.py(), Kind::Timer, &Named::Text(name));
        }
        self.during_either(operation, body)
    }

    #[inline]
    fn during_step<R>(&self, task: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        if let Some(meter) = self.meter {
            meter.step_begins();
        }
        if let Some(recorder) = self.recorder {
            recorder.note(task.py(), Kind::Step, task.as_ptr().addr() as u64);
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
