//! Futures that use the loop's own timers and sockets: `rust_probe.reactor`.

use std::future::{Future, poll_fn};
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use ferrio_async::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use ferrio_async::{async_pyfunction, future_into_py, into_future, time};
use futures_lite::{AsyncReadExt, AsyncWriteExt, future};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::Token;

/// Becomes `bytes` where it is awaited.
struct Bytes(Vec<u8>);

impl<'py> IntoPyObject<'py> for Bytes {
    type Target = PyBytes;
    type Output = Bound<'py, PyBytes>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0))
    }
}

/// Polls a future once.
async fn once<F: Future>(mut future: Pin<&mut F>) -> Option<F::Output> {
    poll_fn(|context| {
        Poll::Ready(match future.as_mut().poll(context) {
            Poll::Ready(value) => Some(value),
            Poll::Pending => None,
        })
    })
    .await
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

async_pyfunction! {
    async fn sleep(duration: f64) -> PyResult<()> {
        let _token = Token::new();
        time::sleep(seconds(duration)).await;
        Ok(())
    }

    /// Ticks `count` times, and awaits what `function()` returns at each.
    async fn tick(period: f64, count: usize, function: Py<PyAny>) -> PyResult<()> {
        let _token = Token::new();
        let mut interval = time::interval(seconds(period));
        for _ in 0..count {
            interval.tick().await;
            Python::attach(|py| into_future(function.bind(py).call0()?))?.await?;
        }
        Ok(())
    }

    /// Awaits what `function()` returns, at most so long.
    async fn limited(limit: f64, function: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let _token = Token::new();
        let awaited = Python::attach(|py| into_future(function.bind(py).call0()?))?;
        time::timeout(seconds(limit), awaited).await?
    }

    /// Begins to sleep on the loop, and drops that in another thread.
    async fn sleep_dropped_elsewhere() -> PyResult<()> {
        let token = Token::new();
        let mut sleep = Box::pin(time::sleep(seconds(3600.0)));
        once(sleep.as_mut()).await;
        std::thread::spawn(move || drop((sleep, token)));
        Ok(())
    }

    /// Begins to sleep on the loop, and goes on in tokio.
    async fn sleep_goes_on_elsewhere(duration: f64) -> PyResult<()> {
        let token = Token::new();
        let mut sleep = Box::pin(time::sleep(seconds(duration)));
        once(sleep.as_mut()).await;
        let runs = ferrio_async::tokio::get_runtime().spawn(async move {
            sleep.await;
            drop(token);
        });
        runs.await.map_err(|failure| pyo3::exceptions::PyRuntimeError::new_err(failure.to_string()))
    }

    /// Sends a request to a TCP server, and returns all it answers.
    async fn ask(host: String, port: u16, request: Vec<u8>) -> PyResult<Bytes> {
        let _token = Token::new();
        let stream = TcpStream::connect_host(&host, port).await?;
        exchange(&stream, &request).await
    }

    /// The same by a UNIX socket.
    async fn ask_unix(path: String, request: Vec<u8>) -> PyResult<Bytes> {
        let _token = Token::new();
        let stream = UnixStream::connect(path).await?;
        exchange(&stream, &request).await
    }

    /// Sends datagrams to itself, and returns what comes back, with one to wait for.
    async fn datagrams(number: usize) -> PyResult<Vec<Bytes>> {
        let _token = Token::new();
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (one, other) = (UdpSocket::bind(here)?, UdpSocket::bind(here)?);
        let receiving = async {
            let (mut all, mut buffer) = (Vec::new(), [0; 100]);
            for _ in 0..number {
                let (count, sender) = other.recv_from(&mut buffer).await?;
                assert_eq!(sender, one.local_addr()?);
                all.push(Bytes(buffer[..count].to_vec()));
            }
            Ok::<_, std::io::Error>(all)
        };
        let sending = async {
            one.connect(other.local_addr()?)?;
            for index in 0..number {
                if index % 2 == 0 {
                    one.send(format!("{index}").as_bytes()).await?;
                } else {
                    one.send_to(format!("{index}").as_bytes(), other.local_addr()?).await?;
                }
                // The receiver must wait.
                future::yield_now().await;
            }
            Ok(())
        };
        let (all, ()) = future::try_zip(receiving, sending).await?;
        Ok(all)
    }

    /// Sends so many bytes through a pair of sockets, more than fit; returns how many arrive.
    async fn flood(size: usize) -> PyResult<usize> {
        let _token = Token::new();
        let (mut one, mut other) = UnixStream::pair()?;
        let sending = async move {
            one.write_all(&vec![7; size]).await?;
            one.close().await
        };
        let receiving = async move {
            let mut all = Vec::new();
            other.read_to_end(&mut all).await
        };
        let ((), count) = future::try_zip(sending, receiving).await?;
        Ok(count)
    }

    /// Connects, waits for a byte on the loop, and for the rest in tokio.
    async fn read_goes_on_elsewhere(port: u16) -> PyResult<Bytes> {
        let token = Token::new();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let mut first = [0];
        stream.read_exact(&mut first).await?;
        let reading = ferrio_async::tokio::get_runtime().spawn(async move {
            let mut all = first.to_vec();
            stream.read_to_end(&mut all).await?;
            drop(token);
            Ok::<_, std::io::Error>(Bytes(all))
        });
        let read = reading.await.map_err(|failure| pyo3::exceptions::PyRuntimeError::new_err(failure.to_string()))?;
        Ok(read?)
    }

    /// Connects, waits for a byte, and drops the connection in another thread.
    async fn connection_dropped_elsewhere(port: u16) -> PyResult<()> {
        let token = Token::new();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.read_exact(&mut [0]).await?;
        std::thread::spawn(move || drop((stream, token)));
        Ok(())
    }

    /// Two readers of one connection; returns what each got.
    async fn two_readers(port: u16) -> PyResult<(Bytes, Bytes)> {
        let _token = Token::new();
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        let one = |mut stream| async move {
            let mut all = Vec::new();
            AsyncReadExt::read_to_end(&mut stream, &mut all).await?;
            Ok::<_, std::io::Error>(Bytes(all))
        };
        Ok(future::try_zip(one(&stream), one(&stream)).await?)
    }
}

async_pyfunction! {
    in ferrio_async::tokio::Tokio;

    /// Fails, as no loop runs in tokio's threads.
    async fn sleep_in_tokio() -> PyResult<()> {
        let _token = Token::new();
        time::sleep(seconds(0.001)).await;
        Ok(())
    }

    async fn connect_in_tokio(port: u16) -> PyResult<()> {
        let _token = Token::new();
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        Ok(())
    }
}

/// Writes and reads at the same time, by two references to one stream.
async fn exchange<S>(stream: &S, request: &[u8]) -> PyResult<Bytes>
where
    for<'a> &'a S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let writing = async {
        let mut stream = stream;
        stream.write_all(request).await?;
        stream.close().await
    };
    let reading = async {
        let (mut stream, mut all) = (stream, Vec::new());
        stream.read_to_end(&mut all).await?;
        Ok(all)
    };
    let ((), all) = future::try_zip(writing, reading).await?;
    Ok(Bytes(all))
}

/// Sends back what comes, until the end.
async fn echo<S>(stream: S) -> std::io::Result<()>
where
    for<'a> &'a S: AsyncReadExt + AsyncWriteExt + Unpin,
{
    let (mut reading, mut writing) = (&stream, &stream);
    let mut buffer = vec![0; 4096];
    loop {
        let count = reading.read(&mut buffer).await?;
        if count == 0 {
            return writing.close().await;
        }
        writing.write_all(&buffer[..count]).await?;
    }
}

/// A server on the loop that echoes; one connection after the other.
#[pyclass(frozen)]
struct Server(std::net::TcpListener);

#[pymethods]
impl Server {
    #[new]
    fn new() -> PyResult<Self> {
        Ok(Self(std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?))
    }

    fn port(&self) -> PyResult<u16> {
        Ok(self.0.local_addr()?.port())
    }

    /// Serves so many connections.
    fn serve<'py>(&self, py: Python<'py>, connections: usize) -> PyResult<Bound<'py, PyAny>> {
        let (listener, token) = (TcpListener::from_std(self.0.try_clone()?)?, Token::new());
        future_into_py(py, async move {
            for _ in 0..connections {
                echo(listener.accept().await?.0).await?;
            }
            drop(token);
            Ok(())
        })
    }
}

/// The same at a path, for one connection.
#[pyfunction]
fn serve_unix(py: Python<'_>, path: String) -> PyResult<Bound<'_, PyAny>> {
    let (listener, token) = (UnixListener::bind(path)?, Token::new());
    future_into_py(py, async move {
        echo(listener.accept().await?.0).await?;
        drop(token);
        Ok(())
    })
}

/// Sleeps, beside a future that only another thread could wake.
#[pyfunction]
fn sleep_beside_a_thread(py: Python<'_>, duration: f64) -> PyResult<Bound<'_, PyAny>> {
    let token = Token::new();
    future_into_py(py, async move {
        let held = std::sync::Mutex::new(None);
        let outside = poll_fn(|context| {
            *held.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(context.waker().clone());
            Poll::<()>::Pending
        });
        future::or(time::sleep(seconds(duration)), pin!(outside)).await;
        drop(token);
        Ok(())
    })
}

pub(super) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let inner = PyModule::new(module.py(), "reactor")?;
    inner.add_class::<Server>()?;
    inner.add_function(wrap_pyfunction!(sleep, &inner)?)?;
    inner.add_function(wrap_pyfunction!(tick, &inner)?)?;
    inner.add_function(wrap_pyfunction!(limited, &inner)?)?;
    inner.add_function(wrap_pyfunction!(sleep_dropped_elsewhere, &inner)?)?;
    inner.add_function(wrap_pyfunction!(sleep_goes_on_elsewhere, &inner)?)?;
    inner.add_function(wrap_pyfunction!(sleep_in_tokio, &inner)?)?;
    inner.add_function(wrap_pyfunction!(sleep_beside_a_thread, &inner)?)?;
    inner.add_function(wrap_pyfunction!(ask, &inner)?)?;
    inner.add_function(wrap_pyfunction!(ask_unix, &inner)?)?;
    inner.add_function(wrap_pyfunction!(serve_unix, &inner)?)?;
    inner.add_function(wrap_pyfunction!(datagrams, &inner)?)?;
    inner.add_function(wrap_pyfunction!(flood, &inner)?)?;
    inner.add_function(wrap_pyfunction!(two_readers, &inner)?)?;
    inner.add_function(wrap_pyfunction!(read_goes_on_elsewhere, &inner)?)?;
    inner.add_function(wrap_pyfunction!(connection_dropped_elsewhere, &inner)?)?;
    inner.add_function(wrap_pyfunction!(connect_in_tokio, &inner)?)?;
    module.add_submodule(&inner)
}
