//! Subprocesses (asyncio's page "Subprocesses"), below `create_subprocess_exec`: Python's own `subprocess.Popen` has
//! interpreted its arguments; everything after that is here.
//!
//! `launch.rs` starts the child, unless `Popen` had to. `transport.rs` has the class that a program's protocol sees.
//! `exit.rs` notices the child's end. `pipe.rs` connects the transports of the pipes to the protocol.
//!
//! Invariants: `process_exited` is called once; `connection_lost` is called once, after it and after every pipe's
//! end; no exit status is lost while the kernel or `Popen` knows it.

pub(crate) mod exit;
pub(crate) mod launch;
pub(crate) mod pipe;
pub(crate) mod transport;
