//! What tasks of one program do with one another: locks, queues, groups, time-outs, combinators.

pub(crate) mod combinators;
pub(crate) mod locks;
pub(crate) mod queues;
pub(crate) mod taskgroup;
pub(crate) mod timeout;
pub(crate) mod wait_for;
