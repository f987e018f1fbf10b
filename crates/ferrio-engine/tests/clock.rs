//! Clocks, and the promises of the conversions: never earlier than requested, and exact round trips.
mod support;

use std::time::Duration;

use ferrio_engine::{Clock, nanos_from_seconds, seconds_from_nanos};
use support::Random;

/// 2^23 s: from here on two nanoseconds may read back as one float.
const FINE: u64 = 8_388_608_000_000_000;

#[test]
fn monotonic_clock_advances_with_the_system() {
    let clock = Clock::monotonic();
    let before = clock.now();
    std::thread::sleep(Duration::from_millis(2));
    assert!(clock.now() >= before + 2_000_000);
    assert!(!clock.is_virtual());
    clock.advance_to(u64::MAX);
    assert!(clock.now() < u64::MAX);
}

#[test]
fn virtual_clock_stands_still_and_never_goes_back() {
    let clock = Clock::virtual_at(5);
    let twin = clock.clone();
    assert!(clock.is_virtual());
    assert_eq!(clock.now(), 5);
    clock.advance_to(9);
    assert_eq!((clock.now(), twin.now()), (9, 9), "clones share one clock");
    twin.advance_to(7);
    assert_eq!(clock.now(), 9);
}

#[test]
fn seconds_become_the_nanoseconds_that_read_back_as_them() {
    let cases = [
        (0.0, 0),
        (-0.0, 0),
        (-1.0, 0),
        (f64::NEG_INFINITY, 0),
        (0.1, 100_000_000),
        (1.0, 1_000_000_000),
        (1.5, 1_500_000_000),
        (1e-9, 1),
        (1.000_000_000_1e-9, 2),
        (1e-10, 1),
        (f64::from_bits(1), 1),
        (f64::MIN_POSITIVE, 1),
        (f64::INFINITY, u64::MAX),
        (f64::MAX, u64::MAX),
        (18_446_744_074.0, u64::MAX),
    ];
    for (seconds, nanos) in cases {
        assert_eq!(nanos_from_seconds(seconds), Some(nanos), "{seconds:e} s");
    }
    assert_eq!(nanos_from_seconds(f64::NAN), None);
}

#[test]
fn seconds_are_rounded_as_python_rounds_them() {
    // What CPython's time.monotonic() makes of these readings.
    assert_eq!(seconds_from_nanos(0), 0.0);
    assert_eq!(seconds_from_nanos(100_000_000), 0.1);
    assert_eq!(seconds_from_nanos(1_234_567_890_123_456_789), 1_234_567_890.123_456_7);
}

#[test]
fn conversion_there_and_back_is_exact_for_97_days() {
    let mut random = Random::new(1);
    for _ in 0..200_000 {
        let bits = 1 + random.below(53);
        let nanos = random.below(1 << bits).min(FINE - 1);
        assert_eq!(nanos_from_seconds(seconds_from_nanos(nanos)), Some(nanos));
    }
}

#[test]
fn deadlines_are_never_early_and_no_later_than_need_be() {
    let mut random = Random::new(2);
    for _ in 0..200_000 {
        // Any mantissa, any size from picoseconds to centuries.
        let seconds = f64::from_bits(((983 + random.below(74)) << 52) | random.below(1 << 52));
        let nanos = nanos_from_seconds(seconds).unwrap_or(0);
        assert!(seconds_from_nanos(nanos) >= seconds, "{seconds:e} s became {nanos} ns");
        if nanos < FINE {
            assert!(seconds_from_nanos(nanos - 1) < seconds, "{seconds:e} s became {nanos} ns");
        }
    }
}
