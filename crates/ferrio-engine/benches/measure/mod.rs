//! How the benchmarks measure: they repeat, keep the best round, and print nanoseconds per operation.
//!
//! The best round counts, because other work on the machine can only add time. `FERRIO_BENCH_ROUNDS` is the number of
//! rounds (default 15). `cargo test` runs one, to check that the benchmarks still work.
#![allow(clippy::print_stdout, reason = "a benchmark's output")]
#![allow(dead_code, reason = "each benchmark uses its part")]

use std::hint::black_box;
use std::time::Instant;

/// How many rounds to run.
pub(crate) fn rounds() -> u32 {
    // `cargo bench` passes --bench, `cargo test` doesn't.
    if !std::env::args().any(|argument| argument == "--bench") {
        return 1;
    }
    std::env::var("FERRIO_BENCH_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(15)
}

/// Runs `round`, which performs `operations` operations, and prints the best time of one operation.
pub(crate) fn measure(name: &str, operations: u64, mut round: impl FnMut()) {
    let best = (0..rounds())
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed()
        })
        .min()
        .unwrap_or_default();
    report(name, best.as_nanos() as f64 / operations as f64, "ns");
}

/// As [`measure`], for one operation that gets its number.
pub(crate) fn each<R>(name: &str, operations: u64, mut operation: impl FnMut(u64) -> R) {
    measure(name, operations, || {
        for index in 0..operations {
            black_box(operation(index));
        }
    });
}

/// Prints the median, the 90th percentile and the greatest of `samples` (in nanoseconds) as microseconds.
pub(crate) fn distribution(name: &str, mut samples: Vec<u64>) {
    samples.sort_unstable();
    let Some(last) = samples.len().checked_sub(1) else { return };
    let at = |percent: usize| samples[last * percent / 100] as f64 / 1e3;
    let mean = samples.iter().sum::<u64>() as f64 / samples.len() as f64 / 1e3;
    println!("{name:<58} mean {mean:7.1}  p50 {:7.1}  p90 {:7.1}  max {:7.1} us", at(50), at(90), at(100));
}

fn report(name: &str, value: f64, unit: &str) {
    println!("{name:<58} {value:>9.1} {unit}");
}
