//! How often each duration came, in buckets whose width grows with the duration.
//!
//! A power of two is divided into sixteen buckets of equal width. So a bucket is at most a sixteenth as wide as the values in
//! it are large, and its middle is off by at most 3.125 % ([`RELATIVE_ERROR`]). Durations below 16 ns have a bucket each. The
//! size is fixed: 592 buckets reach to 18 minutes, and whatever is longer counts in the last one.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::clock::Nanos;
use crate::counter::Counter;

/// The buckets of a power of two, as a number of bits.
const BITS: u32 = 4;
const PER_POWER: usize = 1 << BITS;

/// Durations from 2 to the power of this on are in the last bucket.
const LARGEST: u32 = 40;

const BUCKETS: usize = PER_POWER * (LARGEST - BITS + 1) as usize;

/// By how much the middle of a bucket differs from a value in it, at most, relative to the value.
pub const RELATIVE_ERROR: f64 = 0.5 / PER_POWER as f64;

/// Durations of one kind. One thread records ([`Histogram::record`]), or several ([`Histogram::record_shared`]); any thread
/// reads.
#[derive(Debug)]
pub struct Histogram {
    counts: [Counter; BUCKETS],
    sum: Counter,
    least: AtomicU64,
    most: AtomicU64,
}

/// The contents of a histogram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Contents {
    /// The buckets that aren't empty, in order.
    pub buckets: Vec<Bucket>,
    /// The sum of all durations.
    pub sum: Nanos,
    /// The shortest and the longest one; `None` if there are none.
    pub extremes: Option<(Nanos, Nanos)>,
}

/// A bucket that isn't empty.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Bucket {
    /// The shortest duration that belongs to it.
    pub from: Nanos,
    /// The shortest duration that is too long for it.
    pub below: Nanos,
    /// How many it has.
    pub count: u64,
}

impl Histogram {
    /// An empty one.
    pub const fn new() -> Self {
        Self {
            counts: [const { Counter::new() }; BUCKETS],
            sum: Counter::new(),
            least: AtomicU64::new(u64::MAX),
            most: AtomicU64::new(0),
        }
    }

    /// Adds a duration. Called in one thread at a time.
    #[inline]
    pub fn record(&self, duration: Nanos) {
        self.counts[place(duration)].add(1);
        self.sum.add(duration);
        if duration < self.least.load(Ordering::Relaxed) {
            self.least.store(duration, Ordering::Relaxed);
        }
        if duration > self.most.load(Ordering::Relaxed) {
            self.most.store(duration, Ordering::Relaxed);
        }
    }

    /// Adds a duration; other threads may do so at the same moment.
    pub fn record_shared(&self, duration: Nanos) {
        self.counts[place(duration)].add_shared(1);
        self.sum.add_shared(duration);
        self.least.fetch_min(duration, Ordering::Relaxed);
        self.most.fetch_max(duration, Ordering::Relaxed);
    }

    /// A copy of what it has. If a thread records meanwhile, its last duration may be in one part and not in another.
    pub fn contents(&self) -> Contents {
        let buckets: Vec<Bucket> = self
            .counts
            .iter()
            .enumerate()
            .filter(|(_, counter)| counter.get() > 0)
            .map(|(place, counter)| Bucket {
                from: start(place),
                below: start(place + 1),
                count: counter.get(),
            })
            .collect();
        let (least, most) = (self.least.load(Ordering::Relaxed), self.most.load(Ordering::Relaxed));
        Contents { buckets, sum: self.sum.get(), extremes: (least <= most).then_some((least, most)) }
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// The number of the bucket for `duration`.
#[inline]
fn place(duration: Nanos) -> usize {
    if duration < PER_POWER as u64 {
        return duration as usize;
    }
    let power = duration.ilog2();
    if power >= LARGEST {
        return BUCKETS - 1;
    }
    let shift = power - BITS;
    // The bit above the mask says which power of two this is; adding the shift for it makes the numbers consecutive.
    (shift as usize) * PER_POWER + (duration >> shift) as usize
}

/// The shortest duration of bucket number `place`.
fn start(place: usize) -> Nanos {
    if place < PER_POWER {
        return place as u64;
    }
    let shift = place / PER_POWER - 1;
    ((place % PER_POWER + PER_POWER) as u64) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_durations() -> impl Iterator<Item = Nanos> {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let random = std::iter::from_fn(move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            // Of every size, not only the largest ones.
            Some((state >> 24) >> (state % 40))
        });
        let around_powers = (0..LARGEST)
            .flat_map(|power| [(1_u64 << power).saturating_sub(1), 1 << power, (1 << power) + 1].into_iter());
        random.take(100_000).chain(around_powers).filter(|duration| *duration < 1 << LARGEST)
    }

    #[test]
    fn each_duration_is_in_its_bucket_and_near_the_middle() {
        for duration in some_durations() {
            let place = place(duration);
            let (from, below) = (start(place), start(place + 1));
            assert!(from <= duration && duration < below, "{duration} isn't in {from}..{below}");
            let middle = (from + below - 1) as f64 / 2.0;
            let error = (middle - duration as f64).abs();
            assert!(error <= RELATIVE_ERROR * duration as f64, "{duration}: {middle}");
        }
    }

    #[test]
    fn buckets_are_consecutive() {
        assert_eq!(start(0), 0);
        assert_eq!(start(BUCKETS), 1 << LARGEST);
        assert!((0..BUCKETS).all(|place| start(place) < start(place + 1)));
        assert!((0..BUCKETS).all(|number| place(start(number)) == number));
    }

    #[test]
    fn contents_add_up() {
        let histogram = Histogram::new();
        assert_eq!(histogram.contents(), Contents { buckets: vec![], sum: 0, extremes: None });
        for duration in [5, 5, 1000, 7] {
            histogram.record(duration);
        }
        histogram.record_shared(1 << 50);
        let contents = histogram.contents();
        assert_eq!(contents.buckets.iter().map(|bucket| bucket.count).sum::<u64>(), 5);
        assert_eq!(contents.sum, 1017 + (1 << 50));
        assert_eq!(contents.extremes, Some((5, 1 << 50)));
        assert_eq!(contents.buckets[0], Bucket { from: 5, below: 6, count: 2 });
        assert_eq!(contents.buckets[3].below, 1 << LARGEST);
    }
}
