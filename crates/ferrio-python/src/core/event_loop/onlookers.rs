//! Who looks at the items of a loop while they run.
//!
//! A turn asks once whether anybody does, and an item's code is compiled for both cases. Whoever wants to look adds a
//! mode, and a field here.

use pyo3::prelude::*;

use super::progress::Progress;

/// Where the items of a batch are shown while they run.
pub(crate) trait Show {
    /// Runs `body`; `object` is what it works on.
    fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R;
}

/// Nobody looks.
pub(crate) struct Nobody;

impl Show for Nobody {
    #[inline(always)]
    fn during<R>(&self, _object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        body()
    }
}

/// Those who look at a loop at this moment.
pub(super) struct Onlookers<'a> {
    /// For watchdogs.
    pub(super) progress: Option<&'a Progress>,
}

impl Show for Onlookers<'_> {
    #[inline]
    fn during<R>(&self, object: &Bound<'_, PyAny>, body: impl FnOnce() -> R) -> R {
        match self.progress {
            Some(progress) => progress.during(object, body),
            None => body(),
        }
    }
}
