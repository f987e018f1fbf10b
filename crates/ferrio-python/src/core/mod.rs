//! The kernel: the loop that turns, futures, tasks, operations and handles.
//!
//! These know one another, as they do in CPython's `_asynciomodule.c`. Nothing here knows what is built from them.

pub(crate) mod event_loop;
pub(crate) mod future;
pub(crate) mod handle;
pub(crate) mod operation;
pub(crate) mod task;
