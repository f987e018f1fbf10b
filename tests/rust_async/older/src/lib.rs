//! An extension module built with another PyO3 and, if there is one, another Rust than the probe and ferrio: futures and streams in both directions.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use ferrio_async::{async_pyfunction, future_into_py, into_future, into_stream, stream_into_py};
use futures_core::Stream;
use pyo3::prelude::*;

#[derive(Default)]
struct Gate {
    open: bool,
    waker: Option<Waker>,
}

async_pyfunction! {
    /// Returns twice the number, after another thread has said so.
    async fn double(number: i64) -> PyResult<i64> {
        let gate = Arc::new(Mutex::new(Gate::default()));
        let opened = gate.clone();
        std::thread::spawn(move || {
            let waker = {
                let mut gate = opened.lock().unwrap_or_else(PoisonError::into_inner);
                gate.open = true;
                gate.waker.take()
            };
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        poll_fn(|context| {
            let mut gate = gate.lock().unwrap_or_else(PoisonError::into_inner);
            if gate.open {
                return Poll::Ready(());
            }
            gate.waker = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
        Ok(2 * number)
    }

    /// Awaits what `function()` returns.
    async fn calling(function: Py<PyAny>) -> PyResult<Py<PyAny>> {
        Python::attach(|py| into_future(function.bind(py).call0()?))?.await
    }

    async fn panicking(text: String) -> PyResult<()> {
        panic!("{text}")
    }
}

/// Numbers, each of which is ready at the second look.
struct Counting {
    next: u64,
    end: u64,
    looked: bool,
}

impl Stream for Counting {
    type Item = PyResult<u64>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PyResult<u64>>> {
        if self.next == self.end {
            return Poll::Ready(None);
        }
        self.looked = !self.looked;
        if self.looked {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.next += 1;
        Poll::Ready(Some(Ok(self.next - 1)))
    }
}

#[pyfunction]
fn counting(py: Python<'_>, end: u64) -> PyResult<Bound<'_, PyAny>> {
    stream_into_py(py, Counting { next: 0, end, looked: false })
}

/// Reads an async iterator to its end; returns the list.
#[pyfunction]
fn read(iterator: Bound<'_, PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let (py, stream) = (iterator.py(), into_stream(iterator)?);
    future_into_py(py, async move {
        let (mut stream, mut items) = (pin!(stream), Vec::new());
        while let Some(item) = poll_fn(|context| stream.as_mut().poll_next(context)).await {
            items.push(item?);
        }
        Ok(items)
    })
}

#[pymodule(gil_used = false)]
fn rust_older(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // What build.py says.
    module.add("toolchain", option_env!("OTHER_TOOLCHAIN"))?;
    module.add("RustPanic", module.py().get_type::<ferrio_async::RustPanic>())?;
    module.add_function(wrap_pyfunction!(double, module)?)?;
    module.add_function(wrap_pyfunction!(calling, module)?)?;
    module.add_function(wrap_pyfunction!(panicking, module)?)?;
    module.add_function(wrap_pyfunction!(counting, module)?)?;
    module.add_function(wrap_pyfunction!(read, module)?)
}
