//! What combines tasks and futures: `gather`, `wait`, `as_completed`, `shield`.
//!
//! Each child carries one native watcher (`future::watch`) and nothing else: no Python callback, no object a child.
//! That a child's waiters can be shown (call graphs) costs nothing either: `awaiter_of` reads them off the watcher.

pub(crate) mod as_completed;
pub(crate) mod awaited_by;
pub(crate) mod by_address;
pub(crate) mod deadline;
pub(crate) mod gather;
pub(crate) mod names;
pub(crate) mod shield;
pub(crate) mod wait;
