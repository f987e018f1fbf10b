//! ferrio-async: a ready future, one woken on its own thread, and ones that another thread completes; streams.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::LazyLock;
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll};

use ferrio_async::{async_pyfunction, into_stream_with_capacity, local_future_into_py, stream_into_py};
use futures_core::Stream;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::sync::{mpsc, oneshot};

/// A thread that completes what it gets.
static COMPLETER: LazyLock<Sender<oneshot::Sender<()>>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<oneshot::Sender<()>>();
    std::thread::spawn(move || {
        for waiting in receiver {
            // An error means that nobody waits any more.
            let _ = waiting.send(());
        }
    });
    sender
});

async fn completed() -> PyResult<()> {
    let (sender, receiver) = oneshot::channel();
    COMPLETER.send(sender).map_err(|_| PyRuntimeError::new_err("the thread has ended"))?;
    receiver.await.map_err(|_| PyRuntimeError::new_err("the thread has ended"))
}

async_pyfunction! {
    async fn ready() -> PyResult<()> {
        Ok(())
    }

    async fn from_thread() -> PyResult<()> {
        completed().await
    }
}

async_pyfunction! {
    in ferrio_async::tokio::Tokio;

    async fn ready_in_tokio() -> PyResult<()> {
        Ok(())
    }

    async fn from_thread_in_tokio() -> PyResult<()> {
        completed().await
    }
}

/// Woken on the loop's thread, once.
#[pyfunction]
fn local(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    let mut woken = false;
    local_future_into_py(
        py,
        poll_fn(move |context| {
            if std::mem::replace(&mut woken, true) {
                return Poll::Ready(Ok(()));
            }
            context.waker().wake_by_ref();
            Poll::Pending
        }),
    )
}

/// Items that are there.
struct Items(u64);

impl Stream for Items {
    type Item = PyResult<u64>;

    fn poll_next(mut self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<PyResult<u64>>> {
        let left = self.0.checked_sub(1);
        self.0 = left.unwrap_or(0);
        Poll::Ready(left.map(Ok))
    }
}

#[pyfunction]
fn items(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyAny>> {
    stream_into_py(py, Items(count))
}

/// Items that a thread sends.
struct Sent(mpsc::UnboundedReceiver<u64>);

impl Stream for Sent {
    type Item = PyResult<u64>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PyResult<u64>>> {
        self.0.poll_recv(context).map(|item| item.map(Ok))
    }
}

static FEEDER: LazyLock<Sender<(u64, mpsc::UnboundedSender<u64>)>> = LazyLock::new(|| {
    let (sender, receiver) = channel::<(u64, mpsc::UnboundedSender<u64>)>();
    std::thread::spawn(move || {
        for (count, items) in receiver {
            for item in 0..count {
                // An error means that nobody waits any more.
                let _ = items.send(item);
            }
        }
    });
    sender
});

#[pyfunction]
fn items_from_thread(py: Python<'_>, count: u64) -> PyResult<Bound<'_, PyAny>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    FEEDER.send((count, sender)).map_err(|_| PyRuntimeError::new_err("the thread has ended"))?;
    stream_into_py(py, Sent(receiver))
}

/// Takes all items of a Python iterator, in tokio; as many are made ahead as by pyo3-async-runtimes.
#[pyfunction]
fn consume<'py>(iterator: Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = iterator.py();
    let stream = into_stream_with_capacity(iterator, 10)?;
    ferrio_async::tokio::future_into_py(py, async move {
        let mut stream = pin!(stream);
        while let Some(item) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
            item?;
        }
        Ok(())
    })
}

#[pymodule(gil_used = false)]
fn rust_ours(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(ready, module)?)?;
    module.add_function(wrap_pyfunction!(local, module)?)?;
    module.add_function(wrap_pyfunction!(from_thread, module)?)?;
    module.add_function(wrap_pyfunction!(ready_in_tokio, module)?)?;
    module.add_function(wrap_pyfunction!(items, module)?)?;
    module.add_function(wrap_pyfunction!(items_from_thread, module)?)?;
    module.add_function(wrap_pyfunction!(consume, module)?)?;
    module.add_function(wrap_pyfunction!(from_thread_in_tokio, module)?)
}
