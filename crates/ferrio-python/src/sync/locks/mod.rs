//! asyncio's locks: `Lock`, `Event`, `Condition`, `Semaphore`, `BoundedSemaphore`, `Barrier` (its page "Synchronization
//! Primitives").
//!
//! Each file is one class with its operations; `waiters.rs` keeps who waits, `bound.rs` the loop that an object belongs
//! to, `context.rs` the `async with` of classes with methods of their own.
//!
//! Invariant: an operation puts itself into a waiter list, and takes itself out when it is resumed, however that
//! happens; wakers leave it there. So a list shows what asyncio's shows at any moment.

pub(crate) mod barrier;
pub(crate) mod bound;
pub(crate) mod condition;
pub(crate) mod context;
pub(crate) mod event;
pub(crate) mod lock;
pub(crate) mod semaphore;
pub(crate) mod waiters;
