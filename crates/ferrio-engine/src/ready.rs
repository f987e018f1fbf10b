//! The queue of items that are ready to run, first in, first out.
//!
//! The queue doesn't mark batches. A turn reads the length once and pops that many items; items pushed meanwhile wait for
//! the next turn. Invariants: an item leaves in the order in which it came, and exactly once; until it is drained,
//! the queue has room for [`LEAST_ROOM`] items, so that a loop that runs out of memory can still go on.
//!
//! A metered loop marks an item now and then, to learn how long it waits ([`ReadyQueue::mark_one_after`]). While nothing is to
//! be marked that costs nothing: the queue looks full until it is, so that pushes come to the place where it would grow.

use std::collections::VecDeque;

use crate::clock::Nanos;
use crate::sys;

/// Room that a queue has from the start, and keeps.
pub const LEAST_ROOM: usize = 64;

/// There is no memory for one more item, which comes back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OutOfMemory<T>(pub T);

/// Items in the order in which they became ready.
#[derive(Debug)]
pub struct ReadyQueue<T> {
    items: VecDeque<T>,
    /// The capacity; zero while the next item is to be marked.
    limit: usize,
    mark: Mark,
}

/// The marked item of a queue.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Mark {
    None,
    /// The item is to be marked that comes after `skip` others; `seen` of these have come.
    Wanted {
        seen: usize,
        skip: usize,
    },
    /// When it was queued, and how many items are before it when the next batch begins.
    Set(Nanos, usize),
}

impl<T> ReadyQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        let items = VecDeque::with_capacity(LEAST_ROOM);
        Self { limit: items.capacity(), items, mark: Mark::None }
    }

    /// Appends `item`.
    ///
    /// # Errors
    ///
    /// Hands the item back if there is no memory for it.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), OutOfMemory<T>> {
        if self.items.len() < self.limit {
            self.items.push_back(item);
            return Ok(());
        }
        self.push_slowly(item)
    }

    /// Makes room for one more item; whether there is room.
    #[inline]
    pub fn has_room(&mut self) -> bool {
        self.items.len() < self.items.capacity() || self.grow(1)
    }

    /// Makes room for `count` more items; returns for how many there is.
    pub fn reserve(&mut self, count: usize) -> usize {
        let room = self.items.capacity() - self.items.len();
        if room >= count || self.grow(count) { count } else { room }
    }

    /// Appends items for which there is room.
    pub(crate) fn append(&mut self, items: impl ExactSizeIterator<Item = T>) {
        debug_assert!(items.len() <= self.items.capacity() - self.items.len(), "room was reserved");
        self.mark_one_of(items.len());
        self.items.extend(items);
    }

    /// Puts back `items` that were taken out, in front of all others.
    ///
    /// # Errors
    ///
    /// Hands the items back if there is no memory for them.
    pub fn put_back(&mut self, mut items: Vec<T>) -> Result<(), OutOfMemory<Vec<T>>> {
        self.forget_mark();
        if self.reserve(items.len()) < items.len() {
            return Err(OutOfMemory(items));
        }
        while let Some(item) = items.pop() {
            self.items.push_front(item);
        }
        Ok(())
    }

    #[cold]
    fn grow(&mut self, count: usize) -> bool {
        let grown = self.items.try_reserve(count).is_ok();
        if !matches!(self.mark, Mark::Wanted { .. }) {
            self.limit = self.items.capacity();
        }
        grown
    }

    /// The queue is full, or an item is to be marked.
    #[cold]
    fn push_slowly(&mut self, item: T) -> Result<(), OutOfMemory<T>> {
        if !self.has_room() {
            return Err(OutOfMemory(item));
        }
        self.mark_one_of(1);
        self.items.push_back(item);
        Ok(())
    }

    /// `count` items are about to be appended.
    fn mark_one_of(&mut self, count: usize) {
        let Mark::Wanted { seen, skip } = &mut self.mark else { return };
        if skip.checked_sub(*seen).is_some_and(|left| left >= count) {
            *seen += count;
            return;
        }
        self.mark = Mark::Set(sys::monotonic_nanos(), *skip);
        self.limit = self.items.capacity();
    }

    /// When a batch begins: marks the item that comes after `skip` others, unless there is a mark.
    pub fn mark_one_after(&mut self, skip: usize) {
        if !matches!(self.mark, Mark::Set(..)) {
            self.mark = Mark::Wanted { seen: 0, skip };
            self.limit = 0;
        }
    }

    /// Whether an item is to be marked, and none has come.
    pub fn wants_mark(&self) -> bool {
        matches!(self.mark, Mark::Wanted { .. })
    }

    /// When a batch begins: how many of its items are before the marked one; `None` if none is marked.
    #[inline]
    pub fn before_mark(&self) -> Option<usize> {
        match self.mark {
            Mark::Set(_, before) => Some(before),
            Mark::None | Mark::Wanted { .. } => None,
        }
    }

    /// The turn of the marked item has come: takes the mark off, and returns when the item was queued.
    pub fn take_mark(&mut self) -> Option<Nanos> {
        let Mark::Set(at, _) = self.mark else { return None };
        self.mark = Mark::None;
        Some(at)
    }

    /// Something else than a whole batch has run: nobody knows where the mark is.
    pub fn forget_mark(&mut self) {
        self.mark = Mark::None;
        self.limit = self.items.capacity();
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// Takes the item at this place, zero for the oldest.
    pub fn take(&mut self, at: usize) -> Option<T> {
        self.forget_mark();
        self.items.remove(at)
    }

    /// How many items are queued.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether the queue is empty.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The queued items, oldest first, for a garbage collector's traversal.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Takes all items out, oldest first, with the queue's memory. The caller can drop them while the queue isn't borrowed: an
    /// item's drop may run code that pushes.
    pub fn drain(&mut self) -> VecDeque<T> {
        let items = std::mem::take(&mut self.items);
        self.forget_mark();
        items
    }

    /// Drops all items. If dropping an item may reach this queue, use [`ReadyQueue::drain`] instead.
    pub fn clear(&mut self) {
        self.items.clear();
        self.forget_mark();
    }
}

impl<T> Default for ReadyQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}
