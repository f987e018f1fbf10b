//! Bytes on their way, without sockets: how much may pile up.

mod watermark;

pub use watermark::{Watermarks, WatermarksError};
