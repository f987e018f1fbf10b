//! Bytes on their way between a socket and a program, without input or output of their own.
//!
//! [`bytes`] holds what has arrived and was not read yet; [`scan`] finds the end of a message in it; [`Watermarks`] say
//! how much may pile up on the way out. When to stop reading from the socket is the host's decision.

pub mod bytes;
pub mod scan;
mod watermark;

pub use bytes::ByteBuffer;
pub use scan::{Found, Match, Scan, Separators};
pub use watermark::{Watermarks, WatermarksError};
