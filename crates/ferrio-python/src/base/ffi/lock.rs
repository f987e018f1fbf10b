//! The lock of one cell (`cell.rs`): one closure at a time may use its value.
//!
//! With a GIL the lock is a plain mark. Only the attached thread uses it, and it detects re-entry. Without a GIL it
//! is one word that names the thread that holds it, so re-entry is detected there as well.
//!
//! Invariant: a cell that hasn't been written yet is never idle. CPython 3.11 makes an instance's dictionary after
//! the object is allocated and tracked, but before it is written. That may run the collector. Its memory is zeroed
//! then.

pub(super) use self::imp::Lock;

const ENTERED_AGAIN: &str = "a ferrio object was entered again while its state was in use";

#[cfg(not(Py_GIL_DISABLED))]
mod imp {
    use std::cell::Cell;

    use pyo3::prelude::*;

    /// What goes on in a cell.
    #[derive(Clone, Copy, PartialEq, Eq)]
    #[repr(u8)]
    enum Use {
        #[expect(dead_code, reason = "never written by name: it is what zeroed memory reads as")]
        Unwritten = 0,
        Idle,
        /// In a short look.
        Looked,
        /// In work that may run Python code.
        Worked,
    }

    /// The mark of one cell. Not `Sync`: the cell's own `Sync` says why only the attached thread gets here.
    pub(in super::super) struct Lock(Cell<Use>);

    /// The cell belongs to the holder until this is dropped.
    pub(in super::super) struct Held<'a>(&'a Cell<Use>);

    impl Drop for Held<'_> {
        #[inline]
        fn drop(&mut self) {
            self.0.set(Use::Idle);
        }
    }

    impl Lock {
        pub(in super::super) const fn new() -> Self {
            Self(Cell::new(Use::Idle))
        }

        /// Takes the cell for a short look. Panics if it is taken, which also detects looks that release the GIL.
        #[inline]
        pub(in super::super) fn take(&self, _py: Python<'_>) -> Held<'_> {
            let before = self.0.replace(Use::Looked);
            assert!(before == Use::Idle, "{}", super::ENTERED_AGAIN);
            Held(&self.0)
        }

        /// Takes the cell for work. Panics if it is taken.
        #[inline]
        pub(in super::super) fn begin_work(&self, _py: Python<'_>) -> Held<'_> {
            let before = self.0.replace(Use::Worked);
            assert!(before == Use::Idle, "{}", super::ENTERED_AGAIN);
            Held(&self.0)
        }

        /// Takes the cell for a short look unless somebody works on it.
        #[inline]
        pub(in super::super) fn take_unless_worked_on(&self, py: Python<'_>) -> Option<Held<'_>> {
            if self.0.get() == Use::Worked { None } else { Some(self.take(py)) }
        }

        /// For the collector, which runs alone and only reads: whether the cell is idle. Marks nothing.
        #[inline]
        pub(in super::super) fn try_visit(&self) -> Option<()> {
            (self.0.get() == Use::Idle).then_some(())
        }
    }
}

#[cfg(Py_GIL_DISABLED)]
mod imp {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use pyo3::prelude::*;

    use super::super::interpreter::thread_mark;

    /// What zeroed memory reads as; never written by name.
    const UNWRITTEN: usize = 0;
    const IDLE: usize = 1;
    /// Set beside the mark of a thread that works on the cell. Marks are aligned addresses, so the bit is free.
    const WORKED: usize = 2;

    /// How often a taken cell is checked before yielding the processor; a look takes some ten nanoseconds.
    const SPINS: u32 = 100;

    /// One word: `UNWRITTEN`, `IDLE`, or the mark of the thread that holds the cell, with or without `WORKED`.
    pub(in super::super) struct Lock(AtomicUsize);

    /// The cell belongs to the holder until this is dropped.
    pub(in super::super) struct Held<'a>(&'a AtomicUsize);

    impl Drop for Held<'_> {
        #[inline]
        fn drop(&mut self) {
            self.0.store(IDLE, Ordering::Release);
        }
    }

    impl Lock {
        pub(in super::super) const fn new() -> Self {
            Self(AtomicUsize::new(IDLE))
        }

        /// Takes the cell for a short look, after waiting for another thread's. Panics if this thread holds it.
        #[inline]
        pub(in super::super) fn take(&self, py: Python<'_>) -> Held<'_> {
            let held = self.take_as(py, thread_mark());
            held.expect(super::ENTERED_AGAIN)
        }

        /// Takes the cell for work, after waiting for another thread's look. Panics if anybody works on it.
        #[inline]
        pub(in super::super) fn begin_work(&self, py: Python<'_>) -> Held<'_> {
            let held = self.take_as(py, thread_mark() | WORKED);
            held.expect(super::ENTERED_AGAIN)
        }

        /// Takes the cell for a short look, after waiting for another thread's, unless somebody works on it.
        #[inline]
        pub(in super::super) fn take_unless_worked_on(&self, py: Python<'_>) -> Option<Held<'_>> {
            self.take_as(py, thread_mark())
        }

        /// Writes `mark` into an idle cell. Waits for the looks of other threads; `None` if somebody works on the cell.
        #[inline]
        fn take_as(&self, py: Python<'_>, mark: usize) -> Option<Held<'_>> {
            let taken = self.0.compare_exchange(IDLE, mark, Ordering::Acquire, Ordering::Relaxed).is_ok();
            if taken || self.wait(py, mark) { Some(Held(&self.0)) } else { None }
        }

        #[cold]
        fn wait(&self, py: Python<'_>, mark: usize) -> bool {
            let mut spins = 0;
            loop {
                let seen = self.0.load(Ordering::Relaxed);
                if seen == IDLE {
                    if self.0.compare_exchange(IDLE, mark, Ordering::Acquire, Ordering::Relaxed).is_ok() {
                        return true;
                    }
                    continue;
                }
                if seen & WORKED != 0 {
                    return false;
                }
                assert!(seen != mark & !WORKED && seen != UNWRITTEN, "{}", super::ENTERED_AGAIN);
                spins += 1;
                if spins < SPINS {
                    std::hint::spin_loop();
                } else {
                    // Detached: the collector stops all attached threads, and may have stopped the holder already.
                    // That could never finish its look if the collector had to wait for us.
                    py.detach(std::thread::yield_now);
                }
            }
        }

        /// For the collector: takes the cell if it is idle, in case it ever runs while other threads do.
        #[inline]
        pub(in super::super) fn try_visit(&self) -> Option<Held<'_>> {
            let mark = thread_mark();
            let taken = self.0.compare_exchange(IDLE, mark, Ordering::Acquire, Ordering::Relaxed).is_ok();
            taken.then(|| Held(&self.0))
        }
    }
}

/// The depth of a look that no other look contains.
pub(super) const GUARDED: u8 = 1;

/// The depth of a look that may be inside a `GUARDED` one, and contains none.
pub(super) const LEAF: u8 = 2;

/// In development builds: the depth of the look that this thread is in. Each look must be deeper than the one around it.
///
/// Otherwise threads that run at the same time could wait for each other for ever. It is checked with a GIL as well, where
/// it would do no harm, so that every test run finds it.
pub(super) struct Depth {
    #[cfg(debug_assertions)]
    before: u8,
}

#[cfg(debug_assertions)]
thread_local! {
    static DEPTH: std::cell::Cell<u8> = const { std::cell::Cell::new(0) };
}

impl Depth {
    /// Begins a look. Panics if it isn't deeper than the one around it.
    #[cfg(debug_assertions)]
    #[track_caller]
    pub(super) fn enter(depth: u8) -> Self {
        let before = DEPTH.replace(depth);
        if before >= depth {
            DEPTH.set(before);
            panic!("a ferrio object was entered from inside a look at another one's state");
        }
        Self { before }
    }

    #[cfg(not(debug_assertions))]
    #[inline]
    pub(super) fn enter(_depth: u8) -> Self {
        Self {}
    }
}

#[cfg(debug_assertions)]
impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(self.before);
    }
}
