//! ferrio's event loop without Python.
//!
//! Everything here is generic over the host's item type `T`. Only the host knows what an item is (a task to step, a
//! callback to call) and how it runs. The engine keeps the items in order, knows when timers are due, and waits for
//! file descriptors. It also takes what other threads post, and hands blocking jobs to worker threads. It never names
//! Python.
//!
//! # One turn
//!
//! 1. **Inbox.** Items posted by other threads join the ready queue ([`inbox`]). If there are none, this is one atomic load.
//! 2. **Timers.** Due items join the ready queue in the order of their deadlines, and of insertion for equal deadlines
//!    ([`timer`]). The clock is read only if there is a live timer; the exact clock only if that may be due.
//! 3. **Batch.** The host pops and runs as many items as were ready when the turn began ([`ready`]). Items that these queue
//!    run in the next turn, so no chain of items can starve timers and sockets.
//! 4. **Flush.** The host writes what the batch queued for its transports.
//! 5. **Plan and wait.** [`turn::Engine::plan`] says whether to poll the file descriptors, and how long to wait
//!    ([`reactor`]). The host releases its interpreter's lock only if it may wait, and handles the events at once.
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
//! # Threads
//!
//! The loop's thread owns the whole [`Engine`]. Other threads share the [`Inbox`] (post, wake), the [`Waker`] and the
//! [`Pool`]. The [`Reactor`] is in an `Arc` so that the loop's thread can wait on it while the engine isn't borrowed. Nothing
//! here calls the host while it holds a lock or a borrow, except for closures that the host passes in.
//!
//! # Memory
//!
//! What can grow with a program's sizes reports a failed allocation and hands back the item ([`OutOfMemory`]). The loop then
//! goes on: its queue always has some room, and its descriptors are made with it.
//!
//! # Checking and measuring
//!
//! `cargo test -p ferrio-engine` tests each piece, the timers against a model. What threads share is tested in every
//! interleaving by `RUSTFLAGS="--cfg loom" cargo test -p ferrio-engine --test loom --release`. `cargo bench -p
//! ferrio-engine` prints what each piece costs and how late timed waits end.
#![warn(missing_docs)]

#[cfg(not(target_os = "linux"))]
compile_error!(
    "ferrio runs on Linux only: sys/linux has what another system must have in its place (docs/porting.md)"
);

pub mod alarm;
pub mod buffer;
pub mod clock;
pub mod counter;
pub mod cpu;
pub mod files;
pub mod fork;
mod fork_lock;
pub mod histogram;
pub mod inbox;
pub mod journal;
pub mod meter;
pub mod net;
pub mod order;
pub mod phases;
pub mod pool;
pub mod process;
pub mod pulse;
pub mod reactor;
pub mod ready;
pub mod recorder;
pub mod sampler;
pub mod scheduling;
pub mod sleepers;
mod sync;
mod sys;
pub mod thread_end;
pub mod timer;
pub mod tls_record;
pub mod turn;
pub mod watchdog;

pub use alarm::Alarm;
pub use buffer::ByteBuffer;
pub use clock::{Clock, Nanos, nanos_from_seconds, seconds_from_nanos};
pub use cpu::CpuMark;
pub use inbox::{Inbox, Refused, Wake};
pub use pool::{Pool, Submit};
pub use reactor::{Event, Events, Interest, Kind, Reactor, Wait, Waker};
pub use ready::{OutOfMemory, ReadyQueue};
pub use sleepers::{SleeperKey, Sleepers};
pub use timer::{TimerKey, Timers};
pub use turn::{Engine, Plan};
