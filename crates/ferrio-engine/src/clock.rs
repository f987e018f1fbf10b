//! The loop's time: nanoseconds of `CLOCK_MONOTONIC`, or of a virtual clock that only tests move.
//!
//! It also converts from and to seconds. Invariant: a deadline computed from seconds is never earlier than those seconds, as
//! [`seconds_from_nanos`] shows them. So no timer fires before its time, as far as its caller can observe.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys;

/// Nanoseconds of `CLOCK_MONOTONIC`, whose zero is that of Python's `time.monotonic()`.
pub type Nanos = u64;

const NANOS_PER_SECOND: f64 = 1e9;

/// Below this, a float can hold every whole number.
const EXACT: Nanos = 1 << f64::MANTISSA_DIGITS;

/// The source of the loop's time. Clones share one clock.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The system's `CLOCK_MONOTONIC`.
    Monotonic,
    /// A clock that stands still until [`Clock::advance_to`] moves it.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The system's monotonic clock.
    pub fn monotonic() -> Self {
        Clock::Monotonic
    }

    /// A virtual clock that shows `start`.
    pub fn virtual_at(start: Nanos) -> Self {
        Clock::Virtual(Arc::new(AtomicU64::new(start)))
    }

    /// The current time. Reading the monotonic clock is a vDSO call, about 25 ns.
    #[inline]
    pub fn now(&self) -> Nanos {
        match self {
            Clock::Monotonic => sys::monotonic_nanos(),
            Clock::Virtual(now) => now.load(Ordering::Acquire),
        }
    }

    /// A time that may lag by one kernel tick (1 to 10 ms) but costs a fifth: it shows whether much time has passed. A
    /// virtual clock returns its exact time.
    #[inline]
    pub fn coarse(&self) -> Nanos {
        match self {
            Clock::Monotonic => sys::clock::coarse_nanos(),
            Clock::Virtual(now) => now.load(Ordering::Acquire),
        }
    }

    /// Whether this clock is virtual.
    #[inline]
    pub fn is_virtual(&self) -> bool {
        matches!(self, Clock::Virtual(_))
    }

    /// Moves a virtual clock forward to `time`. It never moves back, and the system's clock never moves this way.
    pub fn advance_to(&self, time: Nanos) {
        if let Clock::Virtual(now) = self {
            now.fetch_max(time, Ordering::AcqRel);
        }
    }
}

/// The smallest time that [`seconds_from_nanos`] shows as `seconds` or later. From 97 days on a float can't tell
/// nanoseconds apart; the result is then one of the smallest.
///
/// `None` for NaN, 0 for negative values, and `u64::MAX` (584 years, in practice never) for infinity and whatever is too
/// large. Rounding up alone would turn 0.1, which no float holds exactly, into 100 000 001 ns.
pub fn nanos_from_seconds(seconds: f64) -> Option<Nanos> {
    if seconds.is_nan() {
        return None;
    }
    if seconds <= 0.0 {
        return Some(0);
    }
    let mut up = ceil_nanos(seconds);
    if up < EXACT {
        // If the float is just above a whole number of nanoseconds, that number converts back to the same float.
        let below = up - 1; // a positive time is at least 1 ns
        return Some(if seconds_from_nanos(below) >= seconds { below } else { up });
    }
    // Here neighbouring numbers convert back to the same float, which may be the one below.
    while up != Nanos::MAX && seconds_from_nanos(up) < seconds {
        up = up.saturating_add(1 << (u64::BITS - f64::MANTISSA_DIGITS - up.leading_zeros()));
    }
    Some(up)
}

/// `nanos` in seconds, rounded as Python's `time.monotonic()` rounds.
#[inline]
pub fn seconds_from_nanos(nanos: Nanos) -> f64 {
    nanos as f64 / NANOS_PER_SECOND
}

/// `seconds` (positive, not NaN) times 1e9, computed exactly, rounded up and saturating.
fn ceil_nanos(seconds: f64) -> Nanos {
    const MANTISSA_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    if seconds >= 18_446_744_073.0 {
        return Nanos::MAX;
    }
    let bits = seconds.to_bits();
    let biased = (bits >> MANTISSA_BITS) as i32;
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    if biased == 0 {
        return 1; // subnormal: far less than a nanosecond, but not zero
    }
    let mantissa = u128::from(fraction | (1 << MANTISSA_BITS)) * 1_000_000_000;
    // seconds = mantissa * 2^-shift; below 2^35 seconds the shift is at least 18.
    let shift = 1075 - biased;
    if shift >= 100 {
        return 1;
    }
    let nanos = (mantissa + ((1u128 << shift) - 1)) >> shift;
    Nanos::try_from(nanos).unwrap_or(Nanos::MAX)
}
