//! The inbox: other threads post items to it, and the loop takes them.
//!
//! One atomic word tells the loop, without a lock, whether there are items, whether it should wake, and whether it sleeps.
//! The wake-up descriptor is written only while the loop sleeps, and at most once per sleep.
//!
//! A forked child keeps the items that were posted before the fork. If another thread was posting or taking at that moment,
//! only the parent keeps them.
//!
//! Invariants: `ITEMS` is set whenever the queue holds an item and the lock is free. The thread that sets the first bit
//! beside `SLEEPING` wakes the loop. No item is dropped under the lock: its drop may run any code, even code that posts.

use std::time::Duration;

use crate::clock::Nanos;
use crate::cpu::CpuMark;
use crate::fork_lock::ForkLock;
use crate::ready::ReadyQueue;
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{Mutex, lock};
use crate::sys;

/// The queue holds items.
const ITEMS: u32 = 1;
/// [`Inbox::wake`] was called.
const WOKEN: u32 = 2;
/// The loop waits in the reactor, or is about to.
const SLEEPING: u32 = 4;

/// A queue that a burst made larger than this frees its memory.
const KEEP_CAPACITY: usize = 4096;

/// Two posts of one burst are less than this apart, in nanoseconds.
const BURST_GAP: Nanos = 1_500;

/// Why an item wasn't posted, with the item.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refused<T> {
    /// The inbox is closed.
    Closed(T),
    /// There is no memory for one more item.
    OutOfMemory(T),
}

impl<T> Refused<T> {
    /// The item.
    pub fn into_item(self) -> T {
        match self {
            Self::Closed(item) | Self::OutOfMemory(item) => item,
        }
    }
}

/// Ends the loop's sleep, from any thread. Called at most once per sleep.
pub trait Wake: Send + Sync + 'static {
    /// Makes the current wait, or the next one, return.
    fn wake(&self);
}

struct Queue<T> {
    items: Vec<T>,
    closed: bool,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { items: Vec::new(), closed: false }
    }
}

/// The queue between other threads and the loop; shared in an `Arc`.
pub struct Inbox<T> {
    /// `ITEMS`, `WOKEN`, `SLEEPING`. Posters set the first two, the loop clears them and owns the third.
    state: AtomicU32,
    /// Posters push, the loop swaps the whole list out.
    queue: ForkLock<Queue<T>>,
    /// The list that the next [`Inbox::take`] swaps in, so that steady traffic allocates nothing. Only the loop touches it.
    spare: Mutex<Vec<T>>,
    /// The CPU of the thread that last posted to the empty queue.
    poster: CpuMark,
    wake: Box<dyn Wake>,
}

impl<T> Inbox<T> {
    /// An empty inbox that ends the loop's sleep through `wake`.
    pub fn new(wake: impl Wake) -> Self {
        Self {
            state: AtomicU32::new(0),
            queue: ForkLock::new(Queue::default()),
            spare: Mutex::new(Vec::new()),
            poster: CpuMark::new(),
            wake: Box::new(wake),
        }
    }

    /// Leaves `item` for the loop and wakes it if it sleeps; callable from any thread.
    ///
    /// # Errors
    ///
    /// Hands the item back if the inbox is closed, or if there is no memory.
    pub fn post(&self, item: T) -> Result<(), Refused<T>> {
        let mut queue = self.queue.lock();
        if queue.closed {
            return Err(Refused::Closed(item));
        }
        if queue.items.try_reserve(1).is_err() {
            return Err(Refused::OutOfMemory(item));
        }
        let first = queue.items.is_empty();
        queue.items.push(item);
        // Only the first item sets the flag, and under the lock. Otherwise a thread stopped between the push and the flag
        // would hide the items that others posted after it.
        let before = if first { self.state.fetch_or(ITEMS, Ordering::AcqRel) } else { ITEMS };
        drop(queue);
        if first {
            self.poster.set();
        }
        if before == SLEEPING {
            self.wake.wake();
        }
        Ok(())
    }

    /// Whether there is something to take. One atomic load; the loop calls it in each turn.
    #[inline]
    pub fn has_items(&self) -> bool {
        self.state.load(Ordering::Acquire) & ITEMS != 0
    }

    /// Moves the items to `out`, in the order in which they were posted; all of them, unless memory is short. For the loop's
    /// thread.
    pub fn take(&self, out: &mut ReadyQueue<T>) {
        let mut items = std::mem::take(&mut *lock(&self.spare));
        let mut queue = self.queue.lock();
        let room = out.reserve(queue.items.len());
        if room < queue.items.len() {
            out.append(queue.items.drain(..room));
            return;
        }
        std::mem::swap(&mut queue.items, &mut items);
        self.state.fetch_and(!ITEMS, Ordering::AcqRel);
        drop(queue);
        out.append(items.drain(..));
        if items.capacity() <= KEEP_CAPACITY {
            *lock(&self.spare) = items;
        }
    }

    /// Calls `visit` with each posted item; `visit` must not post.
    ///
    /// # Errors
    ///
    /// The first error of `visit`.
    pub fn visit<E>(&self, visit: impl FnMut(&T) -> Result<(), E>) -> Result<(), E> {
        self.queue.lock().items.iter().try_for_each(visit)
    }

    /// Wakes the loop without an item, or keeps it from falling asleep once. Lock-free; callable from any thread.
    pub fn wake(&self) {
        if self.state.fetch_or(WOKEN, Ordering::AcqRel) == SLEEPING {
            self.wake.wake();
        }
    }

    /// Announces that the loop is about to sleep. Returns false if there are items, or [`Inbox::wake`] was called since the
    /// last sleep; then don't sleep. After true, call [`Inbox::finish_sleep`] when awake again.
    #[must_use]
    pub fn prepare_sleep(&self) -> bool {
        match self.state.compare_exchange(0, SLEEPING, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => true,
            Err(_) => {
                self.state.fetch_and(!WOKEN, Ordering::AcqRel);
                false
            }
        }
    }

    /// Spins until an item or an [`Inbox::wake`] comes, for `time` at most; returns whether one came. For a loop that would
    /// sleep but expects a post soon: neither side has to go through the kernel then.
    pub fn watch(&self, time: Duration) -> bool {
        let deadline = sys::monotonic_nanos().saturating_add(time.as_nanos() as u64);
        while self.state.load(Ordering::Acquire) & (ITEMS | WOKEN) == 0 {
            if sys::monotonic_nanos() >= deadline {
                return false;
            }
            std::hint::spin_loop();
        }
        true
    }

    /// Spins until no more items are posted, for `time` at most, so that a burst is taken as a whole.
    pub fn settle(&self, time: Duration) {
        let mut now = sys::monotonic_nanos();
        let deadline = now.saturating_add(time.as_nanos() as u64);
        let mut seen = self.queue.lock().items.len();
        while now < deadline {
            // Taking the lock all the time would slow down the posting threads.
            let next = now + BURST_GAP;
            while now < next {
                std::hint::spin_loop();
                now = sys::monotonic_nanos();
            }
            let length = self.queue.lock().items.len();
            if length == seen {
                return;
            }
            seen = length;
        }
    }

    /// Whether the calling thread runs on the CPU of the thread that posted last. Then spinning would only keep that thread
    /// from running.
    pub fn poster_is_here(&self) -> bool {
        self.poster.is_here()
    }

    /// Records that the loop is awake: posts needn't wake it.
    pub fn finish_sleep(&self) {
        self.state.fetch_and(!(SLEEPING | WOKEN), Ordering::AcqRel);
    }

    /// Refuses all later posts; returns the items that weren't taken.
    pub fn close(&self) -> Vec<T> {
        let mut queue = self.queue.lock();
        queue.closed = true;
        self.state.fetch_and(!ITEMS, Ordering::AcqRel);
        std::mem::take(&mut queue.items)
    }
}

impl<T> std::fmt::Debug for Inbox<T> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inbox").field("has_items", &self.has_items()).finish_non_exhaustive()
    }
}
