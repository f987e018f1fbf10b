//! How tasks of one program work together: locks, queues, groups, timeouts, combinators.

pub(crate) mod combinators;
pub(crate) mod locks;
pub(crate) mod queues;
pub(crate) mod taskgroup;
pub(crate) mod timeout;
pub(crate) mod wait_for;
