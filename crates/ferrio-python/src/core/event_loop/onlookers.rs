//! What looks at the items of a loop while they run: watchdogs, samplers, meters and recordings.
//!
//! A turn asks once whether anything does, and an item's code is compiled for both cases. A new onlooker adds a mode, and
//! a field here.

use ferrio_engine::meter::Meter;
use ferrio_engine::recorder::Kind;
use pyo3::prelude::*;

use super::progress::Progress;
use crate::base::recording::{Named, Slot};

/// What runs.
#[derive(Clone, Copy)]
pub(crate) enum Shown<'a, 'py> {
    /// A callback of this object.
    Callback(&'a Bound<'py, PyAny>),
    /// The end of this operation's wait; the function tells its name.
    Wake(&'a Bound<'py, PyAny>, &'a dyn Fn() -> &'static str),
    /// A step of this task.
    Step(&'a Bound<'py, PyAny>),
}

/// Where the items of a batch are shown while they run.
pub(crate) trait Show {
    /// Runs `body`, which does what is `shown`.
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R;

    /// Between two items. A sampler may ask then what is ready.
    #[inline(always)]
    fn between(&self, _look_at_ready: impl FnOnce()) {}
}

/// Nothing looks.
pub(crate) struct Nobody;

impl Show for Nobody {
    #[inline(always)]
    fn during<R>(&self, _shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// Only a meter counts.
pub(super) struct Counting<'a>(pub(super) &'a Meter);

impl Show for Counting<'_> {
    #[inline(always)]
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        count(self.0, &shown);
        body()
    }
}

/// Only watchdogs watch.
pub(super) struct Watching<'a>(pub(super) &'a Progress);

impl Show for Watching<'_> {
    #[inline(always)]
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        let (Shown::Callback(object) | Shown::Wake(object, _) | Shown::Step(object)) = shown;
        self.0.during(object, body)
    }
}

/// A sampler looks at what runs, and at what is ready.
pub(super) struct Sampling<'a>(pub(super) &'a Progress);

impl Show for Sampling<'_> {
    #[inline(always)]
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        Watching(self.0).during(shown, body)
    }

    #[inline(always)]
    fn between(&self, look_at_ready: impl FnOnce()) {
        look_at_ready();
    }
}

/// Only a recording is made.
pub(super) struct Recording<'a>(pub(super) &'a Slot);

impl Show for Recording<'_> {
    #[inline(always)]
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        record(self.0, &shown);
        body()
    }
}

/// A recording is made, and a watchdog has it written when the loop stalls.
pub(super) struct RecordingStalls<'a>(pub(super) Recording<'a>, pub(super) Watching<'a>);

impl Show for RecordingStalls<'_> {
    #[inline(always)]
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        self.0.during(shown, || self.1.during(shown, body))
    }
}

#[inline(always)]
fn record(recorder: &Slot, shown: &Shown<'_, '_>) {
    match *shown {
        Shown::Callback(object) => recorder.note_named(object.py(), Kind::Call, &Named::callable(object)),
        Shown::Wake(operation, name) => {
            recorder.note_named(operation.py(), Kind::Timer, &Named::Text(name()));
        }
        Shown::Step(task) => recorder.note(task.py(), Kind::Step, task.as_ptr().addr() as u64),
    }
}

#[inline(always)]
fn count(meter: &Meter, shown: &Shown<'_, '_>) {
    match shown {
        Shown::Step(_) => meter.step_begins(),
        Shown::Callback(_) | Shown::Wake(..) => meter.callback_begins(),
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
    #[inline(always)]
    fn during<R>(&self, shown: Shown<'_, '_>, body: impl FnOnce() -> R) -> R {
        if let Some(meter) = self.meter {
            count(meter, &shown);
        }
        if let Some(recorder) = self.recorder {
            record(recorder, &shown);
        }
        let (Shown::Callback(object) | Shown::Wake(object, _) | Shown::Step(object)) = shown;
        self.during_either(object, body)
    }

    #[inline(always)]
    fn between(&self, look_at_ready: impl FnOnce()) {
        if self.progress.is_some() {
            look_at_ready();
        }
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
