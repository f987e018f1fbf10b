//! What several test files need: random numbers that are the same in each run.
#![allow(dead_code, reason = "each test file uses its part")]

/// A linear congruential generator, seeded by hand so that a failure can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next();
        random
    }

    /// 64 bits, the high ones of two steps: the low bits of such a generator have short periods.
    pub(crate) fn next(&mut self) -> u64 {
        (self.step() << 32) | self.step()
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn step(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 >> 32
    }
}
