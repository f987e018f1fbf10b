//! What a loop's thread shows of its progress, for a watchdog in another thread.
//!
//! The loop's thread only stores plain numbers, so a watched loop costs a few instructions an item and reads no clock. Other
//! threads take samples. Invariant: only the loop's thread changes the number and what it is doing. A sample may be late,
//! and its two halves may belong to neighbouring moments; [`crate::watchdog`] compares samples and needs no more.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicU64, Ordering};

use crate::sys;

/// What a loop's thread is doing.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Doing {
    /// No thread runs the loop.
    Nothing = 0,
    /// It turns: runs an item, or is between two of them.
    Turning = 1,
    /// It waits in the kernel for events.
    Waiting = 2,
    /// It has events, and waits for its host's interpreter.
    Resuming = 3,
}

/// A sample: samples that are equal show the same item or the same wait.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Beat {
    /// Counts the items and waits.
    pub number: u64,
    /// What the loop is doing.
    pub doing: Doing,
    /// Whether an item runs; the host knows.
    pub inside: bool,
}

impl Beat {
    /// Whether others wait for the loop at this moment.
    pub fn is_busy(self) -> bool {
        matches!(self.doing, Doing::Turning | Doing::Resuming)
    }
}

/// The progress of one loop.
#[derive(Debug)]
pub struct Pulse {
    number: AtomicU64,
    doing: AtomicU8,
    /// The kernel's number of the thread that runs the loop.
    thread: AtomicU32,
    /// A watchdog wants to hear of the end of the present item.
    awaited: AtomicBool,
}

impl Pulse {
    /// Of a loop that doesn't run.
    pub const fn new() -> Self {
        Self {
            number: AtomicU64::new(0),
            doing: AtomicU8::new(Doing::Nothing as u8),
            thread: AtomicU32::new(0),
            awaited: AtomicBool::new(false),
        }
    }

    /// The calling thread begins to run the loop.
    pub fn begin(&self) {
        self.thread.store(sys::thread::number(), Ordering::Relaxed);
        self.go_on(Doing::Turning);
    }

    /// Nobody runs the loop any more.
    pub fn end(&self) {
        self.go_on(Doing::Nothing);
    }

    /// The next item, event or wait begins.
    #[inline]
    pub fn beat(&self) {
        // Only this thread writes, so it needs no atomic addition.
        self.number.store(self.number.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
    }

    /// The loop's thread does something else from now on.
    #[inline]
    pub fn go_on(&self, doing: Doing) {
        self.beat();
        self.doing.store(doing as u8, Ordering::Relaxed);
    }

    /// Whether a watchdog wants to hear of the end of the item that has just run.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Says that a watchdog wants to hear of the end of the present item, or no longer does.
    pub fn set_awaited(&self, awaited: bool) {
        self.awaited.store(awaited, Ordering::Release);
    }

    /// The number of the present item.
    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    /// A sample; the host knows whether the loop is `inside` an item.
    pub fn sample(&self, inside: bool) -> Beat {
        let doing = match self.doing.load(Ordering::Relaxed) {
            0 => Doing::Nothing,
            1 => Doing::Turning,
            2 => Doing::Waiting,
            _ => Doing::Resuming,
        };
        Beat { number: self.number(), doing, inside }
    }

    /// The kernel's number of the thread that runs the loop, or ran it last.
    pub fn thread(&self) -> u32 {
        self.thread.load(Ordering::Relaxed)
    }
}

impl Default for Pulse {
    fn default() -> Self {
        Self::new()
    }
}
