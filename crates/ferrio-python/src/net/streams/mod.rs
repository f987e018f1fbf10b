//! Streams (asyncio's page "Streams"): a reader and a writer over any transport.
//!
//! `reader.rs` has the class `StreamReader`, `content.rs` what it holds, `feed.rs` what fills it, `read.rs` the operations that empty it; `python_buffer.rs`
//! lets a Python subclass work on `_buffer`, `delegate.rs` calls the methods that it replaced. The search for separators is
//! the engine's (`buffer`). `protocol.rs` stands between a transport and a reader, `accept.rs` is the beginning of a server's
//! connection; `flow.rs` makes writers wait, by the operations of `drain.rs`. `writer.rs` has the class `StreamWriter`.
//!
//! Invariants: one operation at a time waits for a reader; bytes go into the buffer in order and leave it once; what is
//! in the buffer when a wait is cancelled stays there.

mod accept;
mod attributes;
mod content;
mod delegate;
pub(crate) mod drain;
pub(crate) mod feed;
pub(crate) mod flow;
mod limit;
pub(crate) mod protocol;
mod python_buffer;
pub(crate) mod read;
pub(crate) mod reader;
pub(crate) mod writer;
