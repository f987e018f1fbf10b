//! A value for each process: a forked child has its parent's memory, but none of its threads.
//!
//! So whatever stands for a thread is made again in a child, and the child never touches its parent's: a lock that
//! another thread held at the fork stays locked there. Invariant: a place in the chain is used by one process only.

use std::sync::OnceLock;

/// One value a process, made on request.
pub(crate) struct PerProcess<T>(OnceLock<Place<T>>);

struct Place<T> {
    process: u32,
    value: T,
    /// For a child of that process.
    child: Box<PerProcess<T>>,
}

impl<T> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// This process's value; `make` makes it if there is none.
    pub(crate) fn get_or_init(&self, make: impl FnOnce() -> T) -> &T {
        self.find(std::process::id(), make)
    }

    fn find(&self, process: u32, make: impl FnOnce() -> T) -> &T {
        let (mut make, mut at) = (Some(make), self);
        loop {
            let place = at.0.get_or_init(|| Place {
                process,
                value: make.take().expect("the search ends where a value is made")(),
                child: Box::new(Self::new()),
            });
            if place.process == process {
                return &place.value;
            }
            at = &place.child;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_its_own() {
        let values = PerProcess::new();
        assert_eq!(*values.find(1, || 10), 10);
        assert_eq!(*values.find(1, || 11), 10);
        assert_eq!(*values.find(2, || 20), 20);
        assert_eq!(*values.find(3, || 30), 30);
        assert_eq!(*values.find(2, || 21), 20);
        assert_eq!(*values.find(1, || 12), 10);
    }
}
