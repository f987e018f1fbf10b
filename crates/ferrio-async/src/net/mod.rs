//! Sockets that the loop itself watches, for futures that the awaiting task polls.
//!
//! They read and write as `AsyncRead` and `AsyncWrite` of [`futures_io`], so the extension methods of `futures-util` and
//! `futures-lite` work on them. No runtime is needed. Underneath are the standard library's sockets.
//!
//! ```
//! use std::net::SocketAddr;
//! use std::pin::Pin;
//!
//! use ferrio_async::net::TcpStream;
//! use futures_io::AsyncRead;
//! use pyo3::prelude::*;
//!
//! ferrio_async::async_pyfunction! {
//!     /// Return the first bytes that a server sends.
//!     async fn greeting(host: String, port: u16) -> PyResult<Vec<u8>> {
//!         let mut stream = TcpStream::connect_host(&host, port).await?;
//!         let mut buffer = vec![0; 1024];
//!         let count = std::future::poll_fn(|cx| Pin::new(&mut stream).poll_read(cx, &mut buffer)).await?;
//!         buffer.truncate(count);
//!         Ok(buffer)
//!     }
//! }
//! ```
//!
//! # In which thread
//!
//! A socket joins the loop when it first has to wait. That must be on the thread of a running loop: in a future of
//! [`future_into_py`](crate::future_into_py), not in one that a runtime's thread polls. Otherwise it fails with an
//! [`io::Error`](std::io::Error). Afterwards any thread may poll and drop it.
//!
//! # How they end
//!
//! Dropping a socket takes it from the loop and closes it; another thread leaves that to the loop's next turn. When the loop
//! is closed, what still waits fails with an error.

mod io;
mod tcp;
mod udp;
mod unix;

pub use self::tcp::{TcpListener, TcpStream};
pub use self::udp::UdpSocket;
pub use self::unix::{UnixListener, UnixStream};
