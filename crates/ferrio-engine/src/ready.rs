//! The queue of items that are ready to run, first in, first out.
//!
//! Batches are not marked in the queue: a turn asks for its length once, pops that many, and what was pushed meanwhile
//! waits for the next turn. The invariant: an item leaves in the order in which it came, and exactly once.

use std::collections::VecDeque;

/// Items in the order in which they became ready.
#[derive(Debug)]
pub struct ReadyQueue<T> {
    items: VecDeque<T>,
}

impl<T> ReadyQueue<T> {
    /// An empty queue.
    pub fn new() -> Self {
        Self { items: VecDeque::with_capacity(64) }
    }

    /// Appends `item`.
    #[inline]
    pub fn push(&mut self, item: T) {
        self.items.push_back(item);
    }

    /// Takes the oldest item.
    #[inline]
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop_front()
    }

    /// How many items wait.
    #[inline]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no item waits.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The waiting items, oldest first, for a garbage collector's traversal.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.items.iter()
    }

    /// Takes all items out, oldest first, with the queue's memory. The caller drops them, and may do so with the queue
    /// unborrowed: an item's drop may run code that pushes.
    pub fn drain(&mut self) -> VecDeque<T> {
        std::mem::take(&mut self.items)
    }

    /// Drops all items. Only for items whose drop never reaches this queue; else [`ReadyQueue::drain`].
    pub fn clear(&mut self) {
        self.items.clear();
    }
}

impl<T> Default for ReadyQueue<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Extend<T> for ReadyQueue<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        self.items.extend(items);
    }
}
