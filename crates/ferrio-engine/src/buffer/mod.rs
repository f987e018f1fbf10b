//! Bytes in transit between a socket and a program. Nothing here reads or writes the socket.
//!
//! [`bytes`] holds what has arrived and isn't read yet; [`scan`] finds the end of a message in it; [`Watermarks`] limit how
//! much may queue up for sending. The host decides when to stop reading from the socket.

pub mod bytes;
pub mod scan;
mod watermark;

pub use bytes::ByteBuffer;
pub use scan::{Found, Match, Scan, Separators};
pub use watermark::{Watermarks, WatermarksError};
