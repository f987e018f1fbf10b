//! Rust futures awaited from Python, and Python awaitables from Rust.
//!
//! ```
//! use pyo3::prelude::*;
//!
//! ferrio_async::async_pyfunction! {
//!     /// Return twice the number.
//!     async fn double(number: i64) -> PyResult<i64> {
//!         Ok(2 * number)
//!     }
//! }
//!
//! #[pymodule]
//! fn my_module(module: &Bound<'_, PyModule>) -> PyResult<()> {
//!     module.add_function(wrap_pyfunction!(double, module)?)
//! }
//! ```
//!
//! In Python this is a coroutine function: `await my_module.double(21)`.
//!
//! # Who polls
//!
//! - [`future_into_py`] needs no runtime. The Python task that awaits polls the future itself, in its own step, thread and
//!   context. The future may be woken from anywhere.
//! - [`local_future_into_py`] is the same for futures that aren't `Send`.
//! - `tokio::future_into_py` and `smol::future_into_py` (features `tokio`, `smol`) run the future in the runtime's threads
//!   and hand its result to the task. [`generic`] does so for any runtime.
//! - [`stream_into_py`] and its namesakes do the same for streams, which Python reads with `async for`.
//!
//! A future of the first two kinds may sleep by the loop's clock ([`time`]) and use sockets that the loop watches (`net`,
//! a feature). So a small extension needs no runtime.
//!
//! All are lazy, like coroutines of both languages: nothing runs before Python awaits it or makes a task of it.
//!
//! [`into_future`] awaits Python from Rust, and [`into_stream`] reads Python's async iterators.
//!
//! # On which loop
//!
//! On [ferrio](https://pypi.org/project/ferrio/)'s loop a wake-up goes straight to the loop: no thread that wakes or
//! completes a future attaches to the interpreter, and no Python object is made in between. It is found at run time,
//! by the C interface of the loop's type. On other loops (asyncio, uvloop) one thread of this crate attaches for all
//! others, and calls `loop.call_soon_threadsafe`.
//!
//! # Cancellation, panics, the end
//!
//! A cancelled `await` drops the Rust future. Dropping what [`into_future`] returned cancels the Python task, and dropping
//! what [`into_stream`] returned closes the generator. A panic becomes a [`RustPanic`]. Results that come after the loop was
//! closed are dropped, also while the interpreter ends.

mod bell;
mod convert;
mod coroutine;
mod ffi;
mod home;
mod into_future;
mod into_stream;
mod macros;
mod messenger;
mod panic;
mod process;
mod pumped;
mod reactor;
mod spawned;
mod stream;

pub mod generic;
#[cfg(feature = "net")]
pub mod net;
#[cfg(feature = "smol")]
pub mod smol;
pub mod time;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use self::convert::{future_into_py, local_future_into_py};
pub use self::home::Home;
pub use self::into_future::into_future;
pub use self::into_stream::{into_stream, into_stream_with_capacity};
pub use self::panic::RustPanic;
pub use self::stream::{local_stream_into_py, stream_into_py};

/// What the macros of this crate use.
#[doc(hidden)]
pub mod private {
    pub use crate::convert::{Name, named_future_into_py};
    pub use crate::generic::named as generic_named;
}
