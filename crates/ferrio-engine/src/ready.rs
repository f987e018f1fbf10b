//! The queue of items that are ready to run, first in, first out.
//!
//! The queue doesn't mark batches. A turn reads the length once and pops that many items; items pushed meanwhile wait for
//! the next turn. Invariants: an item leaves in the order in which it came, and exactly once; until it is drained,
//! the queue has room for [`LEAST_ROOM`] items, so that a loop that runs out of memory can still go on.

use std::collections::VecDeque;

/// Room that a queue has from the start, and keeps.
pub const LEAST_ROOM: usize = 64;

/// There is no memory for one more item, which comes back.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct OutOfMemory<T>(pub T);

/// Items in the order in which they became ready.
#[derive(Debug)]
pub struct ReadyQueue<T> {
    items: VecDeque<T>,
}

impl<T> ReadyQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { items: VecDeque::with_capacity(LEAST_ROOM) }
    }

    /// Appends `item`.
    ///
    /// # Errors
    ///
    /// Hands the item back if there is no memory for it.
    #[inline]
    pub fn push(&mut self, item: T) -> Result<(), OutOfMemory<T>> {
        if !self.has_room() {
            return Err(OutOfMemory(item));
        }
        self.items.push_back(item);
        Ok(())
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
        self.items.extend(items);
    }

    /// Puts back `items` that were taken out, in front of all others.
    ///
    /// # Errors
    ///
    /// Hands the items back if there is no memory for them.
    pub fn put_back(&mut self, mut items: Vec<T>) -> Result<(), OutOfMemory<Vec<T>>> {
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
        self.items.try_reserve(count).is_ok()
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
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
        std::mem::take(&mut self.items)
    }

    /// Drops all items. If dropping an item may reach this queue, use [`ReadyQueue::drain`] instead.
    pub fn clear(&mut self) {
        self.items.clear();
    }
}

impl<T> Default for ReadyQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}
