//! Functions that combine tasks and futures: `gather`, `wait`, `as_completed`, `shield`.
//!
//! Each child has one native watcher (`future::watch`), with no Python callback and no object per child.
//! Call graphs cost nothing either: they read what awaits a child off its watcher (`future::callbacks::Watch`).

pub(crate) mod as_completed;
mod deadline;
pub(crate) mod gather;
pub(crate) mod shield;
pub(crate) mod wait;
