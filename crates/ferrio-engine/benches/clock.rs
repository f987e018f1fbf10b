//! The cost of reading the time and of converting it.

mod measure;

use std::hint::black_box;

use ferrio_engine::{Clock, nanos_from_seconds, seconds_from_nanos};
use measure::each;

const OPERATIONS: u64 = 100_000;

fn main() {
    let clock = Clock::monotonic();
    each("clock: now, monotonic", OPERATIONS, |_| clock.now());
    each("clock: coarse, monotonic", OPERATIONS, |_| clock.coarse());
    let clock = Clock::virtual_at(0);
    each("clock: now, virtual", OPERATIONS, |_| clock.now());
    each("clock: seconds to nanoseconds", OPERATIONS, |index| {
        nanos_from_seconds(black_box(index as f64 * 0.1))
    });
    each("clock: nanoseconds to seconds", OPERATIONS, |index| seconds_from_nanos(black_box(index)));
}
