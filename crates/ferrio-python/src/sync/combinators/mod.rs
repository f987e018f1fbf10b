//! What combines tasks and futures: `gather`, `wait`, `as_completed`, `shield`.
//!
//! Each child carries one native watcher (`future::watch`) and nothing else: no Python callback, no object per child.
//! Call graphs cost nothing either: they read what awaits a child off its watcher (`future::callbacks::Watch`).

pub(crate) mod as_completed;
pub(crate) mod by_address;
pub(crate) mod deadline;
pub(crate) mod gather;
pub(crate) mod shield;
pub(crate) mod wait;
