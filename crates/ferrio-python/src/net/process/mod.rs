//! Subprocesses (asyncio's page "Subprocesses"), below `create_subprocess_exec`: Python's own `subprocess.Popen` has made what
//! of its arguments; from there on everything is here.
//!
//! `launch.rs` starts the child, unless `Popen` had to, `transport.rs` is the class that a program's protocol sees, `exit.rs`
//! how it learns of the child's end, `pipe.rs` stands between the pipes' transports and the protocol.
//!
//! Invariants: `process_exited` is called once, `connection_lost` once after it and after every pipe's end; no exit status
//! is lost while the kernel or `Popen` knows it.

pub(crate) mod exit;
pub(crate) mod launch;
pub(crate) mod pipe;
pub(crate) mod transport;
