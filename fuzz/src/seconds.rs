//! Times in seconds, as programs give them, as nanoseconds. Oracle: what the function promises, with the way back.

use ferrio_engine::{nanos_from_seconds, seconds_from_nanos};

use super::input::Input;

/// Up to here a float can hold every whole number.
const EXACT: u64 = 1 << 53;

/// One float, by its bits or as a number of nanoseconds and some of the next floats.
pub(crate) fn check(data: &[u8]) {
    let mut input = Input::new(data);
    let seconds = match input.below(3) {
        0 => f64::from_bits(input.long()),
        1 => (input.long() >> input.below(64)) as f64 / 1e9,
        _ => f64::from_bits(
            ((input.long() >> input.below(64)) as f64 / 1e9).to_bits().wrapping_add(input.long() % 4),
        ),
    };
    let Some(nanos) = nanos_from_seconds(seconds) else {
        assert!(seconds.is_nan());
        return;
    };
    assert!(!seconds.is_nan());
    if seconds <= 0.0 {
        assert_eq!(nanos, 0);
    } else if nanos != u64::MAX {
        assert!(seconds_from_nanos(nanos) >= seconds, "{seconds} s would be over after {nanos} ns");
        if nanos < EXACT {
            assert!(seconds_from_nanos(nanos - 1) < seconds, "{seconds} s is over after {} ns", nanos - 1);
        }
    } else {
        assert!(seconds >= 18_446_744_073.0);
    }
}
