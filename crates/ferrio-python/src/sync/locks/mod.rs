//! asyncio's locks: `Lock`, `Event`, `Condition`, `Semaphore`, `BoundedSemaphore`, `Barrier` (its page "Synchronization
//! Primitives").
//!
//! Each file has one class with its operations. `waiters.rs` has the lists of waiters, `bound.rs` the loop that an object
//! belongs to, `context.rs` the `async with` of subclasses that override methods.
//!
//! Invariant: an operation joins a list of waiters by itself, and leaves it when it is resumed, for whatever reason. Wakers
//! don't remove it. So a list shows what asyncio's shows at any moment.

pub(crate) mod barrier;
pub(crate) mod bound;
pub(crate) mod condition;
pub(crate) mod context;
pub(crate) mod event;
pub(crate) mod lock;
pub(crate) mod semaphore;
pub(crate) mod waiters;
