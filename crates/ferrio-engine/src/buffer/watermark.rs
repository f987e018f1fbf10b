//! Flow control: above the high-water mark the producer is told to pause, at the low-water mark or below to go on.
//!
//! The invariant: pauses and resumptions alternate, beginning with a pause.

/// The two marks, and on which side of them the buffer was last seen.
#[derive(Clone, Debug)]
pub struct Watermarks {
    high: usize,
    low: usize,
    paused: bool,
}

/// Marks that contradict each other: `low` is above `high`.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct WatermarksError;

impl Default for Watermarks {
    /// 64 KiB and a quarter of it.
    fn default() -> Self {
        Self { high: 64 * 1024, low: 16 * 1024, paused: false }
    }
}

impl Watermarks {
    /// Sets the marks, in bytes. The next [`Watermarks::must_pause`] goes by them.
    ///
    /// # Errors
    ///
    /// [`WatermarksError`] if `low` is above `high`; the marks stay as they were.
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

    /// The buffer has grown to `size` bytes; whether the producer has to be told to pause.
    #[inline]
    #[must_use]
    pub fn must_pause(&mut self, size: usize) -> bool {
        let must = !self.paused && size > self.high;
        self.paused |= must;
        must
    }

    /// The buffer has shrunk to `size` bytes; whether the producer has to be told to go on.
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
    fn pauses_above_the_high_mark_and_resumes_at_the_low_one_once_each() {
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
    fn contradicting_marks_change_nothing() {
        let mut marks = Watermarks::default();
        assert_eq!(marks.set(1, 2), Err(WatermarksError));
        assert_eq!((marks.high(), marks.low()), (65_536, 16_384));
    }

    #[test]
    fn marks_of_zero_pause_at_the_first_byte_left_over() {
        let mut marks = Watermarks::default();
        marks.set(0, 0).expect("equal marks are allowed");
        assert!(!marks.must_pause(0));
        assert!(marks.must_pause(1));
        assert!(marks.may_resume(0));
    }
}
