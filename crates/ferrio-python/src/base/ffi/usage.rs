//! Who looks into a cell: one at a time. What `Guarded` and `Exclusive` lock with.
//!
//! With a GIL it is a plain mark: only the attached thread reaches it, and it finds re-entry. Without one it is a lock of
//! one word, which also says whose it is, so that re-entry is found there as well.
//!
//! Invariant: a cell that nobody has written yet is never idle. CPython 3.11 may run the collector when an object is
//! allocated and tracked but not yet written (it makes the instance's dictionary in between); its memory is zeroed then.

pub(super) use self::imp::Usage;

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
        Busy,
    }

    /// The mark of one cell. Not `Sync`: whoever makes a cell of it says why only the attached thread gets here.
    pub(in super::super) struct Usage(Cell<Use>);

    /// The cell is ours until this is dropped.
    pub(in super::super) struct Busy<'a>(&'a Cell<Use>);

    impl Drop for Busy<'_> {
        #[inline]
        fn drop(&mut self) {
            self.0.set(Use::Idle);
        }
    }

    impl Usage {
        pub(in super::super) const fn idle() -> Self {
            Self(Cell::new(Use::Idle))
        }

        /// Takes the cell. Panics if it is taken: whoever let the GIL go inside finds that out, too.
        #[inline]
        pub(in super::super) fn take(&self, _py: Python<'_>) -> Busy<'_> {
            let before = self.0.replace(Use::Busy);
            assert!(before == Use::Idle, "{}", super::ENTERED_AGAIN);
            Busy(&self.0)
        }

        /// Takes the cell unless it is taken.
        #[inline]
        pub(in super::super) fn try_take(&self) -> Option<Busy<'_>> {
            if self.0.replace(Use::Busy) == Use::Idle { Some(Busy(&self.0)) } else { None }
        }

        /// For the collector, which only reads, and alone: whether the cell is idle. Marks nothing.
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

    use crate::interpreter::thread_mark;

    /// What zeroed memory reads as; never written by name.
    const UNWRITTEN: usize = 0;
    const IDLE: usize = 1;

    /// So many looks at a taken cell before others get the processor: a closure takes some ten nanoseconds.
    const LOOKS: u32 = 100;

    /// The lock of one cell: `UNWRITTEN`, `IDLE`, or the mark of the thread that has it.
    pub(in super::super) struct Usage(AtomicUsize);

    /// The cell is ours until this is dropped.
    pub(in super::super) struct Busy<'a>(&'a AtomicUsize);

    impl Drop for Busy<'_> {
        #[inline]
        fn drop(&mut self) {
            self.0.store(IDLE, Ordering::Release);
        }
    }

    impl Usage {
        pub(in super::super) const fn idle() -> Self {
            Self(AtomicUsize::new(IDLE))
        }

        /// Takes the cell, when need be after another thread. Panics if this very thread has it.
        #[inline]
        pub(in super::super) fn take(&self, py: Python<'_>) -> Busy<'_> {
            if self.0.compare_exchange(IDLE, thread_mark(), Ordering::Acquire, Ordering::Relaxed).is_err() {
                self.wait(py);
            }
            Busy(&self.0)
        }

        #[cold]
        fn wait(&self, py: Python<'_>) {
            let mine = thread_mark();
            let mut looks = 0;
            loop {
                let seen = self.0.load(Ordering::Relaxed);
                assert!(seen != mine && seen != UNWRITTEN, "{}", super::ENTERED_AGAIN);
                if seen == IDLE
                    && self.0.compare_exchange(IDLE, mine, Ordering::Acquire, Ordering::Relaxed).is_ok()
                {
                    return;
                }
                looks += 1;
                if looks < LOOKS {
                    std::hint::spin_loop();
                } else {
                    // Detached: the collector stops all attached threads, and the one that has the cell may stand
                    // still already. Then it could never end its look, if the collector had to wait for us.
                    py.detach(std::thread::yield_now);
                }
            }
        }

        /// Takes the cell unless it is taken.
        #[inline]
        pub(in super::super) fn try_take(&self) -> Option<Busy<'_>> {
            match self.0.compare_exchange(IDLE, thread_mark(), Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => Some(Busy(&self.0)),
                Err(_) => None,
            }
        }

        /// For the collector: takes the cell unless it is taken, should it ever come while other threads run.
        #[inline]
        pub(in super::super) fn try_visit(&self) -> Option<Busy<'_>> {
            self.try_take()
        }
    }
}

/// In development builds: how deep this thread is in closures of `Guarded`s. One look may contain looks at leaves, whose
/// closures look nowhere else; every other nesting is refused.
///
/// Threads that run at the same time could else wait for each other for ever. Checked with a GIL as well, where it would
/// do no harm, so that every test run finds it.
pub(super) struct Depth {
    #[cfg(debug_assertions)]
    before: u8,
}

#[cfg(debug_assertions)]
thread_local! {
    static DEPTH: std::cell::Cell<u8> = const { std::cell::Cell::new(0) };
}

impl Depth {
    const LOOK: u8 = 1;
    const LEAF: u8 = 2;

    /// A look, which no other contains.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn look() -> Self {
        Self::at(Self::LOOK)
    }

    /// A look at a leaf, which may be inside another look.
    #[inline]
    #[cfg_attr(debug_assertions, track_caller)]
    pub(super) fn leaf() -> Self {
        Self::at(Self::LEAF)
    }

    #[cfg(debug_assertions)]
    #[track_caller]
    fn at(depth: u8) -> Self {
        let before = DEPTH.replace(depth);
        if before >= depth {
            DEPTH.set(before);
            panic!("a ferrio object was entered from inside a look at another one's state");
        }
        Self { before }
    }

    #[cfg(not(debug_assertions))]
    #[inline]
    fn at(_depth: u8) -> Self {
        Self {}
    }
}

#[cfg(debug_assertions)]
impl Drop for Depth {
    fn drop(&mut self) {
        DEPTH.set(self.before);
    }
}
