//! Timers: payloads that become due at a deadline, cancellable by key.
//!
//! A 4-ary heap (`heap.rs`) orders small entries (deadline, sequence number, slot). The payloads are in a slab of slots with
//! generations, so a stale key finds nothing, never another timer. Cancelling takes the payload out at once. Its heap entry
//! goes at once if it is the last one. Otherwise it goes when it reaches the top, or when dead entries outnumber live ones.
//!
//! Invariants: a slot is in the heap exactly once unless it is free; payloads with equal deadlines come out in the order of
//! insertion; payloads are dropped only when [`Timers`] itself is.

mod heap;

use std::num::NonZeroU32;

use crate::clock::Nanos;
use crate::ready::{OutOfMemory, ReadyQueue};
use heap::{Entry, Heap};

/// With fewer heap entries than this, dead ones aren't removed early.
const COMPACT_FROM: usize = 64;

/// This many timers, or a sixteenth of all if that is more, fire one by one; if more are due, sorting the rest pays.
const FIRE_SINGLY: usize = 64;

/// The end of the list of free slots.
const NO_SLOT: u32 = u32::MAX;

/// Identifies one timer until it fires or is cancelled; afterwards it matches none. `Option<TimerKey>` has the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TimerKey {
    index: u32,
    generation: NonZeroU32,
}

#[derive(Debug)]
enum State<T> {
    /// Not in the heap; the next free slot.
    Free(u32),
    /// In the heap, to fire.
    Live(T),
    /// In the heap, cancelled.
    Dead,
}

#[derive(Debug)]
struct Slot<T> {
    /// The generation of a valid key; changes when the timer fires or is cancelled.
    generation: NonZeroU32,
    state: State<T>,
}

/// A set of timers with payloads of type `T`.
#[derive(Debug)]
pub struct Timers<T> {
    heap: Heap,
    slots: Vec<Slot<T>>,
    free: u32,
    live: usize,
    sequence: u32,
}

impl<T> Timers<T> {
    /// An empty set.
    pub fn new() -> Self {
        Self { heap: Heap::new(), slots: Vec::new(), free: NO_SLOT, live: 0, sequence: 0 }
    }

    /// Adds a timer that is due at `deadline` (absolute, of the loop's clock) and returns its key.
    ///
    /// # Errors
    ///
    /// Hands the payload back if there is no memory for it, or with 2^32 - 1 timers in the set.
    pub fn insert(&mut self, deadline: Nanos, payload: T) -> Result<TimerKey, OutOfMemory<T>> {
        let index = self.free;
        if !self.heap.has_room() || index == NO_SLOT && !self.has_room_for_slot() {
            return Err(OutOfMemory(payload));
        }
        let key = match self.slots.get_mut(index as usize) {
            Some(slot) => {
                let State::Free(next) = std::mem::replace(&mut slot.state, State::Live(payload)) else {
                    unreachable!("the free list holds free slots only")
                };
                self.free = next;
                TimerKey { index, generation: slot.generation }
            }
            None => self.grow(payload),
        };
        if self.sequence == u32::MAX {
            self.sequence = self.heap.renumber();
        }
        self.heap.push(Entry::new(deadline, self.sequence, key.index));
        self.sequence += 1;
        self.live += 1;
        Ok(key)
    }

    /// Cancels a timer and hands its payload back; `None` if it fired or was cancelled before.
    pub fn cancel(&mut self, key: TimerKey) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        if slot.generation != key.generation {
            return None;
        }
        let payload = retire(slot)?;
        self.live -= 1;
        if self.heap.last().is_some_and(|entry| entry.slot() == key.index) {
            self.heap.pop_last();
            self.release(key.index);
        } else if self.heap.len() > COMPACT_FROM && self.live < self.heap.len() / 2 {
            self.compact();
        }
        Some(payload)
    }

    /// The earliest deadline of a live timer.
    pub fn next_deadline(&mut self) -> Option<Nanos> {
        self.skip_dead().map(Entry::deadline)
    }

    /// Takes the earliest timer whose deadline is `now` or before.
    pub fn pop_due(&mut self, now: Nanos) -> Option<T> {
        self.pop_due_with_deadline(now).map(|(_, payload)| payload)
    }

    #[inline]
    fn pop_due_with_deadline(&mut self, now: Nanos) -> Option<(Nanos, T)> {
        let entry = self.skip_dead().filter(|entry| entry.deadline() <= now)?;
        let payload = retire(&mut self.slots[entry.slot() as usize]);
        self.heap.pop_first();
        self.release(entry.slot());
        self.live -= 1;
        payload.map(|payload| (entry.deadline(), payload))
    }

    /// Takes the timers whose deadline is `now` or before, and appends their payloads to `ready` in order; all of them, unless
    /// memory is short.
    #[inline]
    pub fn expire(&mut self, now: Nanos, ready: &mut ReadyQueue<T>) {
        self.expire_and_note(now, ready, |_delay| {});
    }

    /// As [`Timers::expire`], and calls `note` with the time since each timer's deadline.
    #[inline]
    pub fn expire_and_note(&mut self, now: Nanos, ready: &mut ReadyQueue<T>, mut note: impl FnMut(Nanos)) {
        for _ in 0..FIRE_SINGLY.max(self.heap.len() / 16) {
            if !self.expire_one(now, ready, &mut note) {
                return;
            }
        }
        self.expire_many(now, ready, note);
    }

    #[inline]
    fn expire_one(&mut self, now: Nanos, ready: &mut ReadyQueue<T>, note: &mut impl FnMut(Nanos)) -> bool {
        // Make room first: a payload that has left its slot can't be put back.
        if !ready.has_room() {
            return false;
        }
        let Some((deadline, payload)) = self.pop_due_with_deadline(now) else { return false };
        note(now - deadline);
        ready.push(payload).is_ok()
    }

    /// Sorts once instead of sifting for each timer, because most of a large heap may be due.
    fn expire_many(&mut self, now: Nanos, ready: &mut ReadyQueue<T>, mut note: impl FnMut(Nanos)) {
        let count = self.heap.iter().filter(|entry| entry.deadline() <= now).count();
        let mut due = Vec::new();
        if ready.reserve(count) < count || due.try_reserve_exact(count).is_err() {
            while self.expire_one(now, ready, &mut note) {}
            return;
        }
        self.heap.take_due(now, &mut due);
        for entry in due {
            if let Some(payload) = retire(&mut self.slots[entry.slot() as usize]) {
                self.live -= 1;
                note(now - entry.deadline());
                assert!(ready.push(payload).is_ok(), "room was made for it");
            }
            self.release(entry.slot());
        }
    }

    /// The payload of a timer that neither fired nor was cancelled.
    pub fn get(&self, key: TimerKey) -> Option<&T> {
        match self.slots.get(key.index as usize) {
            Some(Slot { generation, state: State::Live(payload) }) if *generation == key.generation => {
                Some(payload)
            }
            _ => None,
        }
    }

    /// How many timers are live.
    #[inline]
    pub fn len(&self) -> usize {
        self.live
    }

    /// Whether no timer is live.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many slots the set holds, for live, dead and past timers. Its memory grows with this number.
    pub fn footprint(&self) -> usize {
        self.slots.len()
    }

    /// The live payloads in no particular order, for a garbage collector's traversal.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().filter_map(|slot| match &slot.state {
            State::Live(payload) => Some(payload),
            State::Free(_) | State::Dead => None,
        })
    }

    /// The live timers, with their deadlines and keys, in no particular order.
    pub fn entries(&self) -> impl Iterator<Item = (Nanos, TimerKey, &T)> {
        self.heap.iter().filter_map(|entry| {
            let slot = &self.slots[entry.slot() as usize];
            let State::Live(payload) = &slot.state else { return None };
            let key = TimerKey { index: entry.slot(), generation: slot.generation };
            Some((entry.deadline(), key, payload))
        })
    }

    /// The deadline of a timer that neither fired nor was cancelled. It searches all timers.
    pub fn deadline(&self, key: TimerKey) -> Option<Nanos> {
        self.get(key)?;
        self.heap.iter().find(|entry| entry.slot() == key.index).map(Entry::deadline)
    }

    /// Removes dead entries from the top and returns the first live one.
    #[inline]
    fn skip_dead(&mut self) -> Option<Entry> {
        loop {
            let entry = self.heap.first()?;
            if matches!(self.slots[entry.slot() as usize].state, State::Live(_)) {
                return Some(entry);
            }
            self.heap.pop_first();
            self.release(entry.slot());
        }
    }

    /// Removes all dead entries. That takes linear time, but only after at least half of the entries were cancelled.
    #[cold]
    fn compact(&mut self) {
        let (heap, slots, free) = (&mut self.heap, &mut self.slots, &mut self.free);
        heap.retain(|entry| {
            let slot = &mut slots[entry.slot() as usize];
            let live = matches!(slot.state, State::Live(_));
            if !live {
                slot.state = State::Free(*free);
                *free = entry.slot();
            }
            live
        });
    }

    /// Puts a slot whose entry has left the heap on the free list.
    #[inline]
    fn release(&mut self, index: u32) {
        self.slots[index as usize].state = State::Free(self.free);
        self.free = index;
    }

    #[cold]
    fn has_room_for_slot(&mut self) -> bool {
        self.slots.len() < NO_SLOT as usize && self.slots.try_reserve(1).is_ok()
    }

    #[cold]
    fn grow(&mut self, payload: T) -> TimerKey {
        let index = self.slots.len() as u32;
        let generation = NonZeroU32::MIN;
        self.slots.push(Slot { generation, state: State::Live(payload) });
        TimerKey { index, generation }
    }
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// Takes a live slot's payload and invalidates its keys. The slot stays in the heap as a dead one.
#[inline]
fn retire<T>(slot: &mut Slot<T>) -> Option<T> {
    match std::mem::replace(&mut slot.state, State::Dead) {
        State::Live(payload) => {
            slot.generation = slot.generation.checked_add(1).unwrap_or(NonZeroU32::MIN);
            Some(payload)
        }
        other => {
            slot.state = other;
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn insertion_order_holds_when_sequence_numbers_run_out() {
        let mut timers = Timers::new();
        timers.sequence = u32::MAX - 3;
        for payload in 0..8 {
            timers.insert(5, payload).expect("there is memory");
            timers.insert(4, payload + 100).expect("there is memory");
        }
        let fired: Vec<_> = std::iter::from_fn(|| timers.pop_due(5)).collect();
        assert_eq!(fired, [100, 101, 102, 103, 104, 105, 106, 107, 0, 1, 2, 3, 4, 5, 6, 7]);
        assert!(timers.sequence < 100, "renumbered");
    }

    #[test]
    fn generation_skips_zero_when_it_wraps() {
        let mut timers = Timers::new();
        let key = timers.insert(1, 'a').expect("there is memory");
        timers.cancel(key);
        timers.slots[0].generation = NonZeroU32::MAX;
        let key = timers.insert(1, 'b').expect("there is memory");
        assert_eq!(timers.cancel(key), Some('b'));
        assert_eq!(timers.insert(1, 'c').expect("there is memory").generation, NonZeroU32::MIN);
    }

    #[test]
    fn cancelled_last_entry_is_removed_at_once() {
        let mut timers = Timers::new();
        for standing in 0..10 {
            timers.insert(standing, standing).expect("there is memory");
        }
        for _ in 0..1000 {
            let key = timers.insert(100, 100).expect("there is memory");
            assert_eq!(timers.cancel(key), Some(100));
            assert_eq!((timers.heap.len(), timers.slots.len()), (10, 11));
        }
    }
}
