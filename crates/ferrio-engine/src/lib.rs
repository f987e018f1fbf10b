//! ferrio's event loop without Python.
//!
//! Everything here is generic over the host's item type `T`: what an item *is* (a task to step, a callback to call) and
//! how it runs is the host's business. The engine keeps the items in order, knows when timers are due, waits for file
//! descriptors, takes what other threads post and hands blocking jobs to worker threads. It never names Python.
//!
//! # One turn
//!
//! 1. **Inbox.** What other threads posted joins the ready queue ([`inbox`]). One atomic load when there is nothing.
//! 2. **Timers.** What is due joins the ready queue, in the order of deadlines, and of insertion where deadlines are equal
//!    ([`timer`]). The clock is read only if there is a live timer, the exact one only if
//!    it may be due.
//! 3. **Batch.** The host pops and runs as many items as were ready when the turn began ([`ready`]). What these items
//!    queue runs in the next turn, so that no chain of items can starve timers and sockets.
//! 4. **Flush.** The host writes what the batch queued for its transports.
//! 5. **Plan and wait.** [`turn::Engine::plan`] says whether to look at the file descriptors, and for how long
//!    ([`reactor`]). The host releases its interpreter's lock only if it may wait, and runs the events at once.
//!
//! ```
//! use ferrio_engine::{clock::Clock, reactor::Events, turn::{Engine, Plan}};
//!
//! let mut engine = Engine::new(Clock::monotonic())?;
//! engine.timers.insert(engine.clock.now() + 1_000, "a timer").expect("there is memory");
//! engine.ready.push("an item").expect("there is memory");
//! let reactor = engine.reactor().clone();
//! let (mut events, mut seen) = (Events::with_capacity(64), Vec::new());
//! while seen.len() < 2 {
//!     for _ in 0..engine.begin_turn() {
//!         seen.extend(engine.pop());
//!     }
//!     if seen.len() < 2 {
//!         if let Some(wait) = engine.plan(false).wait() {
//!             reactor.wait(&mut events, wait)?;
//!         }
//!         engine.finish_wait();
//!     }
//! }
//! assert_eq!(seen, ["an item", "a timer"]);
//! # std::io::Result::Ok(())
//! ```
//!
//! # Who touches what
//!
//! The loop's thread owns [`Engine`] whole. Shared with other threads are the [`Inbox`] (post, wake), the [`Waker`] and the
//! [`Pool`]; the [`Reactor`] is shared in an `Arc` so that the loop's thread can wait on it while the engine is unborrowed.
//! Nothing here calls the host while it holds a lock or a borrow, except [`Timers::expire`] and iterators, which say so by
//! their closures.
//!
//! # Checking and measuring
//!
//! `cargo test -p ferrio-engine` runs each piece, the timers beside a model. What threads share runs in every interleaving
//! under `RUSTFLAGS="--cfg loom" cargo test -p ferrio-engine --test loom --release`. `cargo bench -p ferrio-engine` prints
//! what each piece costs, and how late timed waits are.
#![warn(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!("ferrio runs on Linux only: its reactor is epoll, its wake-ups are eventfds");

pub mod buffer;
pub mod clock;
pub mod cpu;
pub mod files;
pub mod fork;
mod fork_lock;
pub mod inbox;
pub mod net;
pub mod pool;
pub mod process;
pub mod reactor;
pub mod ready;
mod sync;
mod sys;
pub mod thread_end;
pub mod timer;
pub mod tls_record;
pub mod turn;

pub use buffer::ByteBuffer;
pub use clock::{Clock, Nanos, nanos_from_seconds, seconds_from_nanos};
pub use cpu::CpuMark;
pub use inbox::{Inbox, Refused, Wake};
pub use pool::{Pool, Submit};
pub use reactor::{Event, Events, Interest, Reactor, Wait, Waker};
pub use ready::{OutOfMemory, ReadyQueue};
pub use timer::{TimerKey, Timers};
pub use turn::{Engine, Plan};
