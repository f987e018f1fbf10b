//! What blocks and is done elsewhere: calls in threads and processes, files.

pub(crate) mod executor;
pub(crate) mod files;
