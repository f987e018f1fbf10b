//! A sleep and a TCP client without a runtime: the loop's own timers and sockets wake them, in no thread but the loop's.

use std::time::Duration;

use ferrio_async::net::TcpStream;
use ferrio_async::{async_pyfunction, time};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use pyo3::prelude::*;

use crate::PythonBytes;

async_pyfunction! {
    /// Sleep for a number of seconds, by the loop's clock.
    async fn nap(seconds: f64) -> PyResult<()> {
        time::sleep(Duration::from_secs_f64(seconds.max(0.0))).await;
        Ok(())
    }

    /// Send a line to a TCP server and return the line that it answers, without its end; raise `TimeoutError` after
    /// `limit` seconds.
    #[pyo3(signature = (host, port, line, limit = 10.0))]
    async fn request(host: String, port: u16, line: Vec<u8>, limit: f64) -> PyResult<PythonBytes> {
        time::timeout(Duration::from_secs_f64(limit.max(0.0)), exchange(&host, port, &line)).await?
    }
}

async fn exchange(host: &str, port: u16, line: &[u8]) -> PyResult<PythonBytes> {
    let mut stream = TcpStream::connect_host(host, port).await?;
    stream.write_all(line).await?;
    stream.write_all(b"\n").await?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !answer.contains(&b'\n') {
        let count = stream.read(&mut buffer).await?;
        if count == 0 {
            break;
        }
        answer.extend_from_slice(&buffer[..count]);
    }
    let length = answer.iter().position(|byte| *byte == b'\n').unwrap_or(answer.len());
    answer.truncate(length);
    Ok(PythonBytes(answer))
}

pub(super) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(nap, module)?)?;
    module.add_function(wrap_pyfunction!(request, module)?)
}
