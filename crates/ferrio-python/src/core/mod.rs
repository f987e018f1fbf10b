//! The kernel: the loop that turns, futures, tasks, operations and handles.
//!
//! These know one another, as they do in CPython's `_asynciomodule.c`. Nothing here knows what is built from them.
//!
//! Two names stand for a loop in the code. `native` is a ferrio loop, bound or not. `home` is the loop that something belongs
//! to, ferrio's or another one: a `LoopRef`.

pub(crate) mod event_loop;
pub(crate) mod future;
pub(crate) mod handle;
pub(crate) mod operation;
pub(crate) mod task;
pub(crate) mod timer;
