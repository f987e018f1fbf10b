//! Streams (asyncio's page "Streams"): a reader and a writer over any transport.
//!
//! `reader.rs` has the class `StreamReader`, `feed.rs` what fills it, `read.rs` the operations that empty it; `shown.rs`
//! lets a Python subclass work on `_buffer`. The search for separators is the engine's (`buffer`).
//!
//! Invariants: one operation at a time waits for a reader; bytes go into the buffer in order and leave it once; what is
//! in the buffer when a wait is cancelled stays there.

mod delegate;
pub(crate) mod feed;
mod limit;
mod overrides;
pub(crate) mod read;
pub(crate) mod reader;
mod shown;
