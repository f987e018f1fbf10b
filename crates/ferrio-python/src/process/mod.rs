//! Subprocesses (asyncio's page "Subprocesses"), below `create_subprocess_exec`: the child was started by Python's own
//! `subprocess.Popen`; from there on everything is here.
//!
//! `transport.rs` is the class that a program's protocol sees, `exit.rs` how it learns of the child's end, `pipe.rs` stands
//! between the pipes' transports and the protocol.
//!
//! Invariants: `process_exited` is called once, `connection_lost` once after it and after every pipe's end; no exit status
//! is lost while the kernel or `Popen` knows it.

pub(crate) mod exit;
pub(crate) mod pipe;
pub(crate) mod transport;
