//! Streams (asyncio's page "Streams"): a reader and a writer over any transport.
//!
//! `reader.rs` has the class `StreamReader` and `content.rs` its content. `feed.rs` fills it, and the operations of
//! `read.rs` empty it. `python_buffer.rs` lets a Python subclass work on `_buffer`; `delegate.rs` calls methods that
//! a subclass replaced. The engine (`buffer`) searches for separators. `protocol.rs` connects a transport to a
//! reader, and `accept.rs` starts a server's connection. `flow.rs` makes writers wait, using the operations of
//! `drain.rs`. `writer.rs` has the class `StreamWriter`.
//!
//! Invariants: one operation at a time waits for a reader; bytes go into the buffer in order and leave it once; if a
//! wait is cancelled, the buffer keeps its content.

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
