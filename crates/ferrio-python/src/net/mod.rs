//! Everything that uses descriptors: transports, servers, streams, TLS, children.

pub(crate) mod plain_socket;
pub(crate) mod process;
pub(crate) mod server;
pub(crate) mod streams;
pub(crate) mod tls;
pub(crate) mod transport;
