//! How late the kernel ends a timed wait, and how that is made up for.
//!
//! The kernel ends a timed wait between the timeout and the timeout plus its slack. If nothing else interrupts the
//! CPU, it ends at the very end of that span. The slack is the thread's timer slack (50 us by default), or a
//! thousandth of the timeout if that is more. For a niced process it is a two-hundredth. So the requested timeout is
//! shorter by that slack, and the span ends at the intended time. If an interrupt ends a wait early, the loop waits
//! again; it checks the clock anyway. A timerfd has no slack but costs one more system call per wait. It is used for
//! timeouts that are little longer than the slack, and for the rest of an interrupted wait.

use std::time::Duration;

use crate::sys::clock;

/// What the kernel adds to a timed wait. It is read once, in the thread that makes the reactor: a loop seldom moves to another
/// thread, and a wrong value costs only microseconds or one more wait.
#[derive(Debug)]
pub(super) struct Slack {
    least: u64,
    /// The kernel adds this fraction of the timeout.
    divisor: u64,
}

impl Slack {
    /// The kernel never adds more than this.
    const GREATEST: u64 = 100_000_000;

    pub(super) fn of_this_thread() -> Self {
        Self { least: clock::timer_slack().unwrap_or(0), divisor: if clock::is_niced() { 200 } else { 1000 } }
    }

    /// Whether `timeout` is too short to subtract the slack.
    pub(super) fn dominates(&self, timeout: Duration) -> bool {
        timeout < Duration::from_nanos(self.least.saturating_mul(2))
    }

    /// The timeout to request so that the kernel's slack ends with `timeout`. Never zero, which would mean no wait.
    pub(super) fn shorten(&self, timeout: Duration) -> Duration {
        let nanos = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        // asked + asked / divisor = nanos
        let slack = (nanos / (self.divisor + 1)).clamp(self.least, Self::GREATEST.max(self.least));
        Duration::from_nanos(nanos.saturating_sub(slack).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shortened_timeout_and_its_slack_end_where_the_timeout_ends() {
        let (normal, niced) =
            (Slack { least: 50_000, divisor: 1_000 }, Slack { least: 50_000, divisor: 200 });
        for nanos in [
            100_000,
            1_300_000,
            50_050_000,
            300_000_000,
            10_000_000_000,
            99_000_000_000,
            1_000_000_000_000_000,
        ] {
            for slack in [&normal, &niced] {
                let asked = slack.shorten(Duration::from_nanos(nanos)).as_nanos() as u64;
                let added = (asked / slack.divisor).clamp(slack.least, Slack::GREATEST);
                assert!(
                    (nanos..nanos + 1_000).contains(&(asked + added + 1)),
                    "{asked} + {added} for {nanos}"
                );
            }
        }
        assert_eq!(normal.shorten(Duration::from_nanos(10)), Duration::from_nanos(1));
        let centuries = normal.shorten(Duration::MAX);
        assert_eq!(centuries, Duration::from_nanos(u64::MAX - Slack::GREATEST));
    }
}
