//! An extension module in Rust: coroutine functions for Python, on any asyncio loop.
//!
//! `sleep` and `ask` run in tokio's threads, and so does the HTTP client in `http.rs`, which has streams in both directions.
//! `retry` needs no runtime: the task that awaits it polls it. `nap` and `request` in `alone.rs` need none either, as the loop
//! watches their timers and sockets.

mod alone;
mod http;

use std::time::Duration;

use ferrio_async::async_pyfunction;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async_pyfunction! {
    in ferrio_async::tokio::Tokio;

    /// Sleep for a number of seconds, by tokio's clock.
    async fn sleep(seconds: f64) -> PyResult<()> {
        tokio::time::sleep(Duration::from_secs_f64(seconds.max(0.0))).await;
        Ok(())
    }

    /// Send a request to a TCP server and return all it answers.
    async fn ask(host: String, port: u16, request: Vec<u8>) -> PyResult<PythonBytes> {
        let mut stream = TcpStream::connect((host, port)).await?;
        stream.write_all(&request).await?;
        stream.shutdown().await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok(PythonBytes(answer))
    }
}

async_pyfunction! {
    /// Call a coroutine function until it raises no `OSError`, at most `attempts` times; return its value.
    #[pyo3(signature = (function, attempts = 3))]
    async fn retry(function: Py<PyAny>, attempts: usize) -> PyResult<Py<PyAny>> {
        let mut attempt = 1;
        loop {
            let call = Python::attach(|py| ferrio_async::into_future(function.bind(py).call0()?))?;
            match call.await {
                Err(failure) if attempt < attempts && is_os_error(&failure) => attempt += 1,
                outcome => return outcome,
            }
        }
    }
}

fn is_os_error(failure: &PyErr) -> bool {
    Python::attach(|py| failure.is_instance_of::<pyo3::exceptions::PyOSError>(py))
}

/// Becomes `bytes`, on the loop's thread.
struct PythonBytes(Vec<u8>);

impl<'py> IntoPyObject<'py> for PythonBytes {
    type Target = PyBytes;
    type Output = Bound<'py, PyBytes>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, &self.0))
    }
}

#[pymodule(gil_used = false)]
fn rust_example(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(sleep, module)?)?;
    module.add_function(wrap_pyfunction!(ask, module)?)?;
    alone::fill(module)?;
    http::fill(module)?;
    module.add_function(wrap_pyfunction!(retry, module)?)
}
