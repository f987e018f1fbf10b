//! A 4-ary min-heap of 16-byte entries. Four children fit in one cache line, and the tree is half as deep as a binary one.
//!
//! It doesn't know about payloads or cancellation. Invariant: no entry is smaller than its parent.

use crate::clock::Nanos;

const ARITY: usize = 4;

/// Deadline, sequence number and slot in one integer, so one comparison orders by deadline, then by insertion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry(u128);

impl Entry {
    #[inline]
    pub(super) fn new(deadline: Nanos, sequence: u32, slot: u32) -> Self {
        Entry((u128::from(deadline) << 64) | (u128::from(sequence) << 32) | u128::from(slot))
    }

    #[inline]
    pub(super) fn deadline(self) -> Nanos {
        (self.0 >> 64) as u64
    }

    #[inline]
    pub(super) fn slot(self) -> u32 {
        self.0 as u32
    }

    fn with_sequence(self, sequence: u32) -> Self {
        Entry::new(self.deadline(), sequence, self.slot())
    }
}

#[derive(Debug)]
pub(super) struct Heap {
    entries: Vec<Entry>,
}

impl Heap {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new() }
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// All entries in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.entries.iter().copied()
    }

    /// The smallest entry.
    #[inline]
    pub(super) fn first(&self) -> Option<Entry> {
        self.entries.first().copied()
    }

    /// The entry that [`Heap::pop_last`] would remove. It is a leaf, not necessarily the largest.
    #[inline]
    pub(super) fn last(&self) -> Option<Entry> {
        self.entries.last().copied()
    }

    #[inline]
    pub(super) fn pop_last(&mut self) {
        self.entries.pop();
    }

    /// Makes room for one more entry; whether there is room.
    #[inline]
    pub(super) fn has_room(&mut self) -> bool {
        self.entries.len() < self.entries.capacity() || self.grow()
    }

    #[cold]
    fn grow(&mut self) -> bool {
        self.entries.try_reserve(1).is_ok()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        let mut hole = self.entries.len();
        self.entries.push(entry);
        while hole > 0 {
            let parent = (hole - 1) / ARITY;
            if self.entries[parent] <= entry {
                break;
            }
            self.entries[hole] = self.entries[parent];
            hole = parent;
        }
        self.entries[hole] = entry;
    }

    pub(super) fn pop_first(&mut self) {
        if let Some(last) = self.entries.pop()
            && !self.entries.is_empty()
        {
            self.sift_down(0, last);
        }
    }

    /// Keeps the entries for which `keep` returns true.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(Entry) -> bool) {
        self.entries.retain(|&entry| keep(entry));
        for hole in (0..self.entries.len().div_ceil(ARITY)).rev() {
            self.sift_down(hole, self.entries[hole]);
        }
    }

    /// Moves the entries whose deadline is `now` or before to `due`, smallest first.
    pub(super) fn take_due(&mut self, now: Nanos, due: &mut Vec<Entry>) {
        self.retain(|entry| {
            let later = entry.deadline() > now;
            if !later {
                due.push(entry);
            }
            later
        });
        due.sort_unstable();
    }

    /// Renumbers the entries 0, 1, ... in their order, and returns the next sequence number.
    #[cold]
    pub(super) fn renumber(&mut self) -> u32 {
        self.entries.sort_unstable(); // a sorted list is a heap
        let mut next = 0;
        for entry in &mut self.entries {
            *entry = entry.with_sequence(next);
            next += 1;
        }
        next
    }

    /// Puts `entry` at `hole` or below it, moving smaller children up.
    fn sift_down(&mut self, mut hole: usize, entry: Entry) {
        let entries = self.entries.as_mut_slice();
        loop {
            let first_child = hole * ARITY + 1;
            let (child, smallest) = match entries.get(first_child..first_child + ARITY) {
                // Three branchless comparisons: which child is smallest can't be predicted.
                Some(&[first, second, third, fourth]) => {
                    let left = if second < first { (1, second) } else { (0, first) };
                    let right = if fourth < third { (3, fourth) } else { (2, third) };
                    if right.1 < left.1 { right } else { left }
                }
                _ => {
                    let rest = entries.get(first_child..).unwrap_or_default();
                    let Some(smallest) = rest.iter().copied().enumerate().min_by_key(|(_, child)| *child)
                    else {
                        break;
                    };
                    smallest
                }
            };
            if smallest >= entry {
                break;
            }
            entries[hole] = smallest;
            hole = first_child + child;
        }
        entries[hole] = entry;
    }
}
