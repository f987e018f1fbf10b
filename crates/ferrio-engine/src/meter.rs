//! What a metered loop counts and times.
//!
//! The loop's thread writes, and any thread reads. No clock is read per item: the time of phases is taken around waits
//! ([`crate::phases`]), the delay of timers when the clock is read anyway, and the delay of ready items from samples.
//!
//! Such a sample is an item that [`crate::ready::ReadyQueue`] marks when it is queued; the difference to the time when it runs
//! is its delay. There is at most one in each tick of the coarse clock, which is 1 to 10 ms. Even that clock isn't read in every
//! turn, but in one of up to 64, so that short turns don't notice.
//!
//! Invariant: only the thread that runs the loop changes anything here, but for [`Jobs`] and what is said about a gap.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::{Clock, Nanos};
use crate::counter::Counter;
use crate::histogram::Histogram;
use crate::phases::{Phase, Phases};

/// At the least, the coarse clock is read in one of this many turns, less one: a mask for the number of the turn.
const RARELY: u64 = 63;

/// The numbers of one loop, from the moment when metering was turned on.
#[derive(Debug, Default)]
pub struct Meter {
    turns: Counter,
    steps: Counter,
    callbacks: Counter,
    /// The time of each phase.
    pub phases: Phases,
    /// How long after their deadline timers became ready.
    pub timer_delay: Histogram,
    /// How long sampled items waited in the ready queue.
    pub ready_delay: Histogram,
    /// The jobs of the loop.
    pub jobs: Jobs,
    /// The coarse clock's time at the last sample.
    sampled: AtomicU64,
    /// The coarse clock is read in turns whose number has none of these bits.
    mask: AtomicU64,
    /// The state of the random numbers.
    random: AtomicU64,
}

impl Meter {
    /// With nothing counted.
    pub fn new() -> Self {
        Self::default()
    }

    /// A turn begins. Returns whether to call [`crate::turn::Engine::sample`] before its batch runs.
    #[inline]
    pub fn turn_begins(&self) -> bool {
        self.turns.add(1);
        self.turns.get() & self.mask.load(Ordering::Relaxed) == 0
    }

    /// A step of a task begins.
    #[inline]
    pub fn step_begins(&self) {
        self.steps.add(1);
    }

    /// An item begins that isn't a step of a task.
    #[inline]
    pub fn callback_begins(&self) {
        self.callbacks.add(1);
    }

    /// How many turns there were.
    pub fn turns(&self) -> u64 {
        self.turns.get()
    }

    /// How many steps of tasks there were.
    pub fn steps(&self) -> u64 {
        self.steps.get()
    }

    /// How many other items there were.
    pub fn callbacks(&self) -> u64 {
        self.callbacks.get()
    }

    /// The loop is about to wait in the kernel.
    #[inline]
    pub fn wait_begins(&self) {
        self.phases.go_on(Phase::Polling, Clock::monotonic().now());
    }

    /// The wait is over, and the loop waits for its host's interpreter.
    #[inline]
    pub fn wait_ends(&self) {
        self.phases.go_on(Phase::Resuming, Clock::monotonic().now());
    }

    /// The loop goes on, after a wait or at the beginning of a run.
    #[inline]
    pub fn goes_on(&self) {
        self.phases.go_on(Phase::Busy, Clock::monotonic().now());
        // The next turn looks whether a sample is due: many turns may have become long ones meanwhile.
        self.mask.store(0, Ordering::Relaxed);
    }

    /// The run is over.
    pub fn stops(&self) {
        self.phases.go_on(Phase::Stopped, Clock::monotonic().now());
    }

    /// A random number below `bound`, which isn't zero.
    pub(crate) fn random_below(&self, bound: usize) -> usize {
        // SplitMix64, which may begin with any state.
        let state = self.random.load(Ordering::Relaxed).wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.store(state, Ordering::Relaxed);
        let mut mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    /// The next turn must look at the sample, too.
    pub(crate) fn look_again(&self) {
        self.mask.store(0, Ordering::Relaxed);
    }

    /// Whether it is time for another sample of a ready item.
    pub(crate) fn wants_sample(&self) -> bool {
        if self.phases.is_stopped() {
            // Metering was turned on while the loop runs.
            self.goes_on();
        }
        let now = Clock::monotonic().coarse();
        let mask = self.mask.load(Ordering::Relaxed);
        let ticked = now != self.sampled.load(Ordering::Relaxed);
        self.sampled.store(now, Ordering::Relaxed);
        self.mask.store(if ticked { mask / 2 } else { (mask * 2 + 1).min(RARELY) }, Ordering::Relaxed);
        ticked
    }
}

/// The jobs that a loop gave to other threads and processes. Several threads write.
#[derive(Debug, Default)]
pub struct Jobs {
    queued: Counter,
    running: Counter,
    finished: Counter,
    /// How long they waited for a thread.
    pub wait: Histogram,
}

impl Jobs {
    /// How many no thread has taken yet.
    pub fn queued(&self) -> u64 {
        self.queued.get()
    }

    /// How many run.
    pub fn running(&self) -> u64 {
        self.running.get()
    }

    /// How many have run and ended.
    pub fn finished(&self) -> u64 {
        self.finished.get()
    }
}

/// Goes with one job: counts it as queued, running and finished. If it is dropped, the job is over, whatever the reason.
#[derive(Debug)]
pub struct JobMark {
    meter: Arc<Meter>,
    queued_at: Nanos,
    runs: bool,
}

impl JobMark {
    /// Of a job that is being queued.
    pub fn queued(meter: Arc<Meter>) -> Self {
        meter.jobs.queued.add_shared(1);
        Self { meter, queued_at: Clock::monotonic().now(), runs: false }
    }

    /// Of a job of which only its end will be known: it counts as running from the beginning.
    pub fn running(meter: Arc<Meter>) -> Self {
        meter.jobs.running.add_shared(1);
        Self { meter, queued_at: 0, runs: true }
    }

    /// The job begins to run.
    pub fn begin(&mut self) {
        let jobs = &self.meter.jobs;
        jobs.wait.record_shared(Clock::monotonic().now().saturating_sub(self.queued_at));
        jobs.running.add_shared(1);
        jobs.queued.take_shared(1);
        self.runs = true;
    }
}

impl Drop for JobMark {
    fn drop(&mut self) {
        let jobs = &self.meter.jobs;
        if self.runs {
            jobs.finished.add_shared(1);
            jobs.running.take_shared(1);
        } else {
            jobs.queued.take_shared(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_are_counted_once_however_they_end() {
        let meter = Arc::new(Meter::new());
        let counts = || (meter.jobs.queued(), meter.jobs.running(), meter.jobs.finished());
        let (mut runs, called_off) = (JobMark::queued(meter.clone()), JobMark::queued(meter.clone()));
        assert_eq!(counts(), (2, 0, 0));
        runs.begin();
        drop(called_off);
        assert_eq!(counts(), (0, 1, 0));
        let foreign = JobMark::running(meter.clone());
        drop(runs);
        drop(foreign);
        assert_eq!(counts(), (0, 0, 2));
        assert_eq!(meter.jobs.wait.contents().buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 1);
    }

    #[test]
    fn each_place_is_sampled_as_often() {
        let meter = Meter::new();
        let mut counts = [0; 10];
        (0..10_000).for_each(|_| counts[meter.random_below(10)] += 1);
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
    }

    #[test]
    fn the_clock_is_read_rarely_in_short_turns() {
        let meter = Meter::new();
        let samples = (0..100_000).filter(|_| meter.turn_begins() && meter.wants_sample()).count();
        assert!((1..50_000).contains(&samples));
        assert_eq!(meter.turns(), 100_000);
        assert!(!meter.phases.is_stopped());
    }
}
