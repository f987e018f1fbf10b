//! Shared by several test files: random numbers that are the same in each run, and a wait for a descriptor.
#![allow(dead_code, reason = "each test file uses its part")]

use std::io;

use ferrio_engine::reactor::{Events, Interest, Reactor, Wait};

/// Waits until a descriptor can be read.
pub(crate) fn wait_for(descriptor: i32) -> io::Result<()> {
    let reactor = Reactor::new()?;
    reactor.register(descriptor, 1, Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    while events.is_empty() {
        match reactor.wait(&mut events, Wait::Forever) {
            // The signal of a child that has ended. No handler wants it. But a thread that starts a child blocks all
            // signals meanwhile, so the kernel may deliver it to another thread.
            Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
            outcome => outcome?,
        }
    }
    Ok(())
}

/// A linear congruential generator, seeded by hand so that a failure can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Self(seed);
        random.next();
        random
    }

    /// 64 bits, from the high halves of two steps: the low bits of such a generator have short periods.
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
