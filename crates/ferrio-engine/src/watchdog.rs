//! Judging samples of a loop's [`pulse`](crate::pulse): has it been at the same item for too long?
//!
//! A [`Judge`] gets a sample now and then, and says when an item exceeds the threshold, at each doubling after that, and when
//! it is over. It reads no clock and no files itself, so tests can tell it any story.
//!
//! Invariant: no item is reported that took less than the threshold. Its time counts from the first sample that shows it, so
//! the real time is longer by at most one interval.

use crate::clock::Nanos;
use crate::pulse::Beat;

/// How many samples to take per threshold.
const SAMPLES: u64 = 5;

/// The shortest interval between samples.
const LEAST_INTERVAL: Nanos = 1_000_000;

/// What a thread has used so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Time on a CPU.
    pub cpu: Nanos,
    /// Time for which it could have run, but got no CPU. `None` if the kernel doesn't count that.
    pub queued: Option<Nanos>,
    /// It runs or could run at this moment, so it isn't blocked in a system call.
    pub runnable: bool,
}

/// What a thread used between two moments.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Spent {
    /// The time between them.
    pub time: Nanos,
    /// As in [`Usage`].
    pub cpu: Nanos,
    /// As in [`Usage`].
    pub queued: Option<Nanos>,
    /// As in [`Usage`], at the second moment.
    pub runnable: bool,
}

/// What a sample shows.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing new.
    Fine,
    /// The item has been running for this long, which is too long.
    Slow(Nanos, Spent),
    /// An item that was reported is over.
    Over(Stretch),
}

/// A time during which all samples were equal.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// The samples.
    pub beat: Beat,
    /// When the first of them was taken.
    pub since: Nanos,
    /// When the last of them was taken.
    pub until: Nanos,
}

/// Judges one loop.
#[derive(Debug)]
pub struct Judge {
    threshold: Nanos,
    stretch: Option<Stretch>,
    /// The time after which the present item is reported next.
    limit: Nanos,
    /// Usage at a moment in the stretch.
    baseline: Option<(Nanos, Usage)>,
    reported: bool,
}

impl Judge {
    /// A judge that has seen nothing. A threshold of zero counts as one nanosecond.
    pub fn new(threshold: Nanos) -> Self {
        let threshold = threshold.max(1);
        Self { threshold, stretch: None, limit: threshold, baseline: None, reported: false }
    }

    /// How often to take samples for a threshold.
    pub fn interval(threshold: Nanos) -> Nanos {
        (threshold / SAMPLES).max(LEAST_INTERVAL)
    }

    /// Takes a sample; `usage` is asked only if it may be needed.
    pub fn look(&mut self, beat: Beat, now: Nanos, usage: impl FnOnce() -> Usage) -> Verdict {
        let Some(stretch) = self.stretch.as_mut().filter(|stretch| stretch.beat == beat) else {
            let before = self.stretch.take();
            self.stretch = beat.is_busy().then_some(Stretch { beat, since: now, until: now });
            (self.limit, self.baseline) = (self.threshold, None);
            let reported = std::mem::take(&mut self.reported);
            return before.filter(|_| reported).map_or(Verdict::Fine, Verdict::Over);
        };
        stretch.until = now;
        let time = now.saturating_sub(stretch.since);
        let Some((at, before)) = self.baseline else {
            self.baseline = Some((now, usage()));
            return Verdict::Fine;
        };
        if time < self.limit {
            return Verdict::Fine;
        }
        self.reported = true;
        self.double(time);
        let after = usage();
        let spent = Spent {
            time: now.saturating_sub(at),
            cpu: after.cpu.saturating_sub(before.cpu),
            queued: after.queued.zip(before.queued).map(|(after, before)| after.saturating_sub(before)),
            runnable: after.runnable,
        };
        Verdict::Slow(time, spent)
    }

    /// What the last samples show, if the loop is busy.
    pub fn stretch(&self) -> Option<Stretch> {
        self.stretch
    }

    /// A report took until `now`; what passed meanwhile needs no report of its own.
    pub fn reported_until(&mut self, now: Nanos) {
        if let Some(stretch) = &self.stretch {
            self.double(now.saturating_sub(stretch.since));
        }
    }

    /// The whole process stood still for this long, which the item that this sample shows isn't to blame for. An item that has
    /// ended meanwhile keeps its time.
    pub fn forgive(&mut self, beat: Beat, lost: Nanos) {
        let Some(stretch) = self.stretch.as_mut().filter(|stretch| stretch.beat == beat) else { return };
        stretch.since = stretch.since.saturating_add(lost);
        if let Some((at, _)) = &mut self.baseline {
            *at = at.saturating_add(lost);
        }
    }

    fn double(&mut self, time: Nanos) {
        while self.limit <= time {
            self.limit = self.limit.saturating_mul(2);
            if self.limit == Nanos::MAX {
                return;
            }
        }
    }
}
