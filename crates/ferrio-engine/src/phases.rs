//! How long a loop was busy, waited for events, and waited for its host's interpreter.
//!
//! The loop's thread reads the clock only around a wait. A reader adds the time since then itself, so that a loop that is
//! blocked for an hour shows that. Invariant: the parts of a sample belong to one moment. The thread counts each change in
//! `version` before and after, and a reader that finds it odd or changed tries again (a "seqlock"). The fields are atomics, so
//! a torn read is a wrong number that is thrown away, never undefined behaviour.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering, fence};

use crate::clock::Nanos;
use crate::fork;

/// What a loop's thread spends its time on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Phase {
    /// No thread runs the loop, or nobody has asked yet.
    Stopped = 0,
    /// It runs items, or turns.
    Busy = 1,
    /// It waits in the kernel for events.
    Polling = 2,
    /// It has events, and waits for its host's interpreter.
    Resuming = 3,
}

/// How long each phase has lasted, all in all.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Times {
    /// The time of [`Phase::Busy`].
    pub busy: Nanos,
    /// The time of [`Phase::Polling`].
    pub polling: Nanos,
    /// The time of [`Phase::Resuming`].
    pub resuming: Nanos,
}

/// The phases of one loop.
#[derive(Debug, Default)]
pub struct Phases {
    version: AtomicU32,
    phase: AtomicU8,
    since: AtomicU64,
    /// The time of each phase up to `since`, by its number.
    total: [AtomicU64; 4],
    /// The fork count of the process whose thread changes this.
    forks: AtomicU32,
    /// Nobody watched the clock for a while: the time up to the next change counts for nothing.
    has_gap: AtomicBool,
}

impl Phases {
    /// The phase at this moment, for the loop's own thread.
    #[inline]
    pub fn is_stopped(&self) -> bool {
        self.phase.load(Ordering::Relaxed) == Phase::Stopped as u8 || self.has_gap.load(Ordering::Relaxed)
    }

    /// At `now`, another phase begins. Called in the loop's thread.
    pub fn go_on(&self, phase: Phase, now: Nanos) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        fence(Ordering::Release);
        if !self.has_gap.swap(false, Ordering::Relaxed) {
            let spent = now.saturating_sub(self.since.load(Ordering::Relaxed));
            let total = &self.total[usize::from(self.phase.load(Ordering::Relaxed)) % self.total.len()];
            total.store(total.load(Ordering::Relaxed).wrapping_add(spent), Ordering::Relaxed);
        }
        self.since.store(now, Ordering::Relaxed);
        self.phase.store(phase as u8, Ordering::Relaxed);
        self.forks.store(fork::count(), Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    /// Nothing will call [`Phases::go_on`] for a while. Any thread may say so.
    pub fn leave_gap(&self) {
        self.has_gap.store(true, Ordering::Relaxed);
    }

    /// The times up to `now`.
    pub fn times(&self, now: Nanos) -> Times {
        let (mut totals, phase, since, alive) = loop {
            let version = self.version.load(Ordering::Acquire);
            let totals = [1, 2, 3].map(|number: usize| self.total[number].load(Ordering::Relaxed));
            let phase = usize::from(self.phase.load(Ordering::Relaxed));
            let since = self.since.load(Ordering::Relaxed);
            // In a forked child, a loop of another thread of the parent stands still.
            let alive = self.forks.load(Ordering::Relaxed) == fork::count();
            fence(Ordering::Acquire);
            if version.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == version {
                break (totals, phase, since, alive);
            }
            std::hint::spin_loop();
        };
        if alive
            && !self.has_gap.load(Ordering::Relaxed)
            && let Some(total) = phase.checked_sub(1).and_then(|place| totals.get_mut(place))
        {
            *total += now.saturating_sub(since);
        }
        let [busy, polling, resuming] = totals;
        Times { busy, polling, resuming }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn each_phase_gets_its_time() {
        let phases = Phases::default();
        assert_eq!(phases.times(50), Times::default());
        phases.go_on(Phase::Busy, 100);
        assert_eq!(phases.times(107).busy, 7);
        phases.go_on(Phase::Polling, 110);
        phases.go_on(Phase::Resuming, 150);
        phases.go_on(Phase::Busy, 153);
        assert_eq!(phases.times(160), Times { busy: 17, polling: 40, resuming: 3 });
        phases.go_on(Phase::Stopped, 160);
        assert_eq!(phases.times(999), Times { busy: 17, polling: 40, resuming: 3 });
    }

    #[test]
    fn a_gap_counts_for_nothing() {
        let phases = Phases::default();
        phases.go_on(Phase::Busy, 100);
        phases.leave_gap();
        assert!(phases.is_stopped());
        assert_eq!(phases.times(200).busy, 0);
        phases.go_on(Phase::Busy, 200);
        assert_eq!(phases.times(205).busy, 5);
    }

    #[test]
    fn a_sample_belongs_to_one_moment() {
        let phases = Arc::new(Phases::default());
        let stop = Arc::new(AtomicBool::new(false));
        let writer = {
            let (phases, stop) = (phases.clone(), stop.clone());
            std::thread::spawn(move || {
                phases.go_on(Phase::Busy, 0);
                for round in 1.. {
                    phases.go_on(Phase::Polling, 2 * round - 1);
                    phases.go_on(Phase::Busy, 2 * round);
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                }
            })
        };
        for _ in 0..10_000 {
            // Both grow by one in turn.
            let times = phases.times(0);
            assert!(times.busy == times.polling || times.busy == times.polling + 1, "{times:?}");
        }
        stop.store(true, Ordering::Relaxed);
        writer.join().expect("it doesn't panic");
    }
}
