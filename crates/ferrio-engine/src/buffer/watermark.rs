//! Flow control: the producer must pause above the high-water mark, and may resume at or below the low-water mark.
//!
//! Invariant: pauses and resumptions alternate, and a pause comes first.

/// The two marks, and whether the producer is paused.
#[derive(Clone, Debug)]
pub struct Watermarks {
    high: usize,
    low: usize,
    paused: bool,
}

/// Contradictory marks: `low` is above `high`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WatermarksError;

impl Default for Watermarks {
    /// 64 KiB and 16 KiB.
    fn default() -> Self {
        Self { high: 64 * 1024, low: 16 * 1024, paused: false }
    }
}

impl Watermarks {
    /// Sets the marks, in bytes. They apply from the next call on.
    ///
    /// # Errors
    ///
    /// [`WatermarksError`] if `low` is above `high`; the marks don't change then.
    pub fn set(&mut self, high: usize, low: usize) -> Result<(), WatermarksError> {
        if low > high {
            return Err(WatermarksError);
        }
        (self.high, self.low) = (high, low);
        Ok(())
    }

    /// The high-water mark, in bytes.
    #[inline]
    pub fn high(&self) -> usize {
        self.high
    }

    /// The low-water mark, in bytes.
    pub fn low(&self) -> usize {
        self.low
    }

    /// Whether the producer was told to pause.
    pub fn is_paused(&self) -> bool {
        self.paused
    }

    /// The buffer has grown to `size` bytes. Returns whether to tell the producer to pause.
    #[inline]
    #[must_use]
    pub fn must_pause(&mut self, size: usize) -> bool {
        let must = !self.paused && size > self.high;
        self.paused |= must;
        must
    }

    /// The buffer has shrunk to `size` bytes. Returns whether to tell the producer to resume.
    #[inline]
    #[must_use]
    pub fn may_resume(&mut self, size: usize) -> bool {
        let may = self.paused && size <= self.low;
        self.paused &= !may;
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_once_above_the_high_mark_and_resumes_once_at_the_low_mark() {
        let mut marks = Watermarks::default();
        marks.set(10, 4).expect("4 is below 10");
        assert!(!marks.must_pause(10));
        assert!(marks.must_pause(11));
        assert!(!marks.must_pause(12));
        assert!(!marks.may_resume(5));
        assert!(marks.may_resume(4));
        assert!(!marks.may_resume(0));
    }

    #[test]
    fn contradictory_marks_change_nothing() {
        let mut marks = Watermarks::default();
        assert_eq!(marks.set(1, 2), Err(WatermarksError));
        assert_eq!((marks.high(), marks.low()), (65_536, 16_384));
    }

    #[test]
    fn zero_marks_pause_at_the_first_byte() {
        let mut marks = Watermarks::default();
        marks.set(0, 0).expect("equal marks are allowed");
        assert!(!marks.must_pause(0));
        assert!(marks.must_pause(1));
        assert!(marks.may_resume(0));
    }
}
