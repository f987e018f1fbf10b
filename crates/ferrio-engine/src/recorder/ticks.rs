//! Times in a recording: the processor's counter where that can be trusted, and nanoseconds elsewhere.
//!
//! Reading the counter costs a third of reading the clock. What it counts is known afterwards, from two moments at which
//! both were read.

use crate::clock::Nanos;
use crate::sys;

/// A time as it is recorded: by an unknown rate, from an unknown beginning.
pub type Ticks = u64;

/// Reads the time for a recording.
#[derive(Copy, Clone, Debug)]
pub struct Ticker {
    counts: bool,
}

impl Ticker {
    /// The best one for this machine.
    pub fn new() -> Self {
        Self { counts: sys::ticks::is_trusted() }
    }

    /// The time now.
    #[inline]
    pub fn now(self) -> Ticks {
        if self.counts { sys::ticks::read() } else { sys::monotonic_nanos() }
    }

    /// This moment by both clocks. The narrowest of a few attempts, in case the thread is interrupted.
    pub fn moment(self) -> Moment {
        let attempt = || {
            let before = sys::monotonic_nanos();
            let ticks = self.now();
            let after = sys::monotonic_nanos();
            (after - before, Moment { ticks, nanos: before + (after - before) / 2 })
        };
        let attempts = [attempt(), attempt(), attempt(), attempt()];
        attempts.into_iter().min_by_key(|(width, _)| *width).expect("there are four").1
    }
}

impl Default for Ticker {
    fn default() -> Self {
        Self::new()
    }
}

/// One moment by both clocks.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Moment {
    /// As it is recorded.
    pub ticks: Ticks,
    /// By the monotonic clock.
    pub nanos: Nanos,
}

/// What recorded times mean, by two moments.
#[derive(Copy, Clone, Debug)]
pub struct Scale {
    first: Moment,
    ticks: u64,
    nanos: u64,
}

impl Scale {
    /// By a moment before what was recorded, and one after it.
    pub fn between(first: Moment, last: Moment) -> Self {
        let ticks = last.ticks.saturating_sub(first.ticks);
        let nanos = last.nanos.saturating_sub(first.nanos);
        // At the very beginning the two are one moment.
        if ticks == 0 { Self { first, ticks: 1, nanos: 1 } } else { Self { first, ticks, nanos } }
    }

    /// A recorded time by the monotonic clock.
    pub fn nanos(&self, time: Ticks) -> Nanos {
        let since = u128::from(time.saturating_sub(self.first.ticks));
        let nanos = since * u128::from(self.nanos) / u128::from(self.ticks);
        self.first.nanos.saturating_add(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}
