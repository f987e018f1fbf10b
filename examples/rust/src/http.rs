//! An HTTP client: hyper in tokio's threads. A body in one piece, a stream of lines for `async for`, and a body that a Python
//! generator makes.

use std::error::Error;
use std::io;

use bytes::Bytes;
use ferrio_async::{async_pyfunction, into_stream};
use futures_lite::future::{or, pending};
use futures_lite::stream::{self, Stream, StreamExt};
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use pyo3::exceptions::{PyConnectionError, PyValueError};
use pyo3::prelude::*;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::PythonBytes;

async_pyfunction! {
    in ferrio_async::tokio::Tokio;

    /// Fetch a URL; return its status and its body.
    async fn get(url: String) -> PyResult<(u16, PythonBytes)> {
        whole(request(Method::GET, &url, Empty::<Bytes>::new()).await?).await
    }
}

/// Fetch a URL; an async iterator of the lines of its body, as they come.
#[pyfunction]
fn lines(py: Python<'_>, url: String) -> PyResult<Bound<'_, PyAny>> {
    ferrio_async::tokio::stream_into_py(py, lines_of(url))
}

fn lines_of(url: String) -> impl Stream<Item = PyResult<String>> {
    stream::try_unfold(None, move |lines: Option<Lines>| {
        let url = url.clone();
        async move {
            let mut lines = match lines {
                Some(lines) => lines,
                None => Lines {
                    answer: request(Method::GET, &url, Empty::<Bytes>::new()).await?,
                    rest: Vec::new(),
                },
            };
            Ok(lines.next().await?.map(|line| (line, Some(lines))))
        }
    })
}

struct Lines {
    answer: Answer,
    rest: Vec<u8>,
}

impl Lines {
    async fn next(&mut self) -> PyResult<Option<String>> {
        let mut searched = 0;
        loop {
            if let Some(at) = self.rest[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=searched + at).collect();
                return Ok(Some(String::from_utf8(line)?));
            }
            searched = self.rest.len();
            match self.answer.response.body_mut().frame().await.transpose().map_err(failed)? {
                Some(frame) => self.rest.extend(frame.into_data().unwrap_or_default()),
                None if self.rest.is_empty() => return Ok(None),
                None => return Ok(Some(String::from_utf8(std::mem::take(&mut self.rest))?)),
            }
        }
    }
}

/// Post to a URL what an async generator makes, while it makes it; return the answer's status and body.
///
/// The request runs in tokio. The generator is read by the task that awaits this: so tokio's threads needn't attach to take
/// the bytes out of Python's objects. An answer that comes early closes the generator.
#[pyfunction]
fn send<'py>(url: String, chunks: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let (py, mut chunks) = (chunks.py(), into_stream(chunks)?);
    ferrio_async::future_into_py(py, async move {
        let (sender, body) = channel();
        // Both futures stop the other when they are dropped: this one the task, and that one the channel.
        let mut requests = JoinSet::new();
        let sending = async move { whole(request(Method::POST, &url, body).await?).await };
        requests.spawn_on(sending, ferrio_async::tokio::get_runtime().handle());
        let fed = async move {
            while let Some(chunk) = chunks.next().await {
                let chunk = Python::attach(|py| chunk?.extract::<Vec<u8>>(py))?;
                if sender.send(Some(chunk.into())).await.is_err() {
                    break; // the request says why
                }
            }
            let _ = sender.send(None).await;
            pending::<PyResult<_>>().await
        };
        let answered = async {
            match requests.join_next().await {
                Some(Ok(answer)) => answer,
                Some(Err(_)) | None => Err(PyConnectionError::new_err("the request was aborted")),
            }
        };
        or(answered, fed).await
    })
}

/// A body of chunks, up to the first `None`. Without one it fails, so that a part isn't taken for the whole.
fn channel() -> (mpsc::Sender<Option<Bytes>>, impl Body<Data = Bytes, Error = io::Error> + Send + Unpin) {
    let (sender, mut receiver) = mpsc::channel::<Option<Bytes>>(4);
    let frames = stream::poll_fn(move |context| {
        receiver.poll_recv(context).map(|received| match received {
            Some(chunk) => chunk.map(|chunk| Ok(Frame::data(chunk))),
            None => Some(Err(io::Error::other("the body has no end"))),
        })
    });
    (sender, StreamBody::new(frames))
}

/// A response, and the connection that it comes from, which ends when this is dropped.
struct Answer {
    response: Response<Incoming>,
    connection: JoinSet<hyper::Result<()>>,
}

async fn request<B>(method: Method, url: &str, body: B) -> PyResult<Answer>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let url: Uri = url.parse().map_err(|_| PyValueError::new_err(format!("not a URL: {url:?}")))?;
    let (Some("http"), Some(authority)) = (url.scheme_str(), url.authority()) else {
        return Err(PyValueError::new_err(format!("not an http:// URL: '{url}'")));
    };
    let stream = TcpStream::connect((authority.host(), authority.port_u16().unwrap_or(80))).await?;
    let (mut sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let mut connection = JoinSet::new();
    connection.spawn(driver);
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::builder().method(method).uri(path).header(HOST, authority.as_str()).body(body);
    let request = request.map_err(|error| PyValueError::new_err(error.to_string()))?;
    let response = sender.send_request(request).await.map_err(failed)?;
    Ok(Answer { response, connection })
}

async fn whole(answer: Answer) -> PyResult<(u16, PythonBytes)> {
    let status = answer.response.status().as_u16();
    let body = answer.response.into_body().collect().await.map_err(failed)?;
    drop(answer.connection);
    Ok((status, PythonBytes(body.to_bytes().into())))
}

fn failed(error: hyper::Error) -> PyErr {
    let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    PyConnectionError::new_err(format!("{error}{cause}"))
}

pub(super) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(get, module)?)?;
    module.add_function(wrap_pyfunction!(lines, module)?)?;
    module.add_function(wrap_pyfunction!(send, module)?)
}
