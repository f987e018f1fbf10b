//! The loop's methods that use the layers below: one family of methods per file.

pub(crate) mod asyncgens;
pub(crate) mod c_interface;
pub(crate) mod executor;
pub(crate) mod journal;
pub(crate) mod metrics;
pub(crate) mod order;
pub(crate) mod readers;
pub(crate) mod recorder;
pub(crate) mod resolve;
pub(crate) mod sampler;
pub(crate) mod sendfile;
pub(crate) mod signals;
pub(crate) mod sock;
pub(crate) mod sock_connect;
pub(crate) mod transports;
pub(crate) mod views;
pub(crate) mod watcher;
