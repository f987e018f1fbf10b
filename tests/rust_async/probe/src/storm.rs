//! Threads that complete futures out of order and at moments that nobody foresees.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ferrio_async::{async_pyfunction, future_into_py};
use pyo3::prelude::*;

use super::Token;

const THREADS: usize = 3;
/// How many futures a thread holds back at most.
const HELD: usize = 8;

static STORM: LazyLock<Vec<Sender<Pending>>> = LazyLock::new(|| {
    (0..THREADS)
        .map(|index| {
            let (sender, receiver) = channel();
            std::thread::spawn(move || complete(&receiver, index as u64 + 1));
            sender
        })
        .collect()
});

/// One future as a thread of the storm sees it.
struct Pending(Arc<Shared>);

#[derive(Default)]
struct Shared {
    done: AtomicBool,
    waker: Mutex<Option<Waker>>,
}

impl Shared {
    fn take(&self) -> Option<Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Completes what comes: a random one of those that it holds, sometimes after a wake-up for nothing.
fn complete(drops: &Receiver<Pending>, seed: u64) {
    let (mut held, mut state) = (Vec::with_capacity(HELD), seed);
    loop {
        match drops.recv_timeout(if held.is_empty() { Duration::from_secs(3600) } else { Duration::ZERO }) {
            Ok(drop) => held.push(drop),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        if held.is_empty() || (held.len() < HELD && state & 3 == 0) {
            continue;
        }
        let Pending(shared) = held.swap_remove((state >> 8) as usize % held.len());
        if state & 0x30 == 0
            && let Some(waker) = shared.take()
        {
            waker.wake();
        }
        if state & 0x4000_0000 == 0 {
            std::thread::yield_now();
        }
        shared.done.store(true, Ordering::Release);
        if let Some(waker) = shared.take() {
            waker.wake();
        }
    }
}

/// Waits until a thread of the storm has completed it.
#[derive(Default)]
struct Wait(Option<Arc<Shared>>);

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let known = self.0.is_some();
        let shared = self.0.get_or_insert_default();
        let old =
            shared.waker.lock().unwrap_or_else(PoisonError::into_inner).replace(context.waker().clone());
        drop(old);
        if !known {
            let thread = NEXT.fetch_add(1, Ordering::Relaxed) % THREADS;
            // The threads live as long as the process.
            let _ = STORM[thread].send(Pending(shared.clone()));
        }
        if shared.done.load(Ordering::Acquire) { Poll::Ready(()) } else { Poll::Pending }
    }
}

/// A number, a Python object and a token, all of which go through the future.
struct Answer(u64, Py<PyAny>, #[allow(dead_code, reason = "it counts")] Token);

impl<'py> IntoPyObject<'py> for Answer {
    type Target = pyo3::types::PyTuple;
    type Output = Bound<'py, Self::Target>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        (self.0, self.1).into_pyobject(py)
    }
}

async fn answer(number: u64, object: Py<PyAny>) -> PyResult<Answer> {
    let token = Token::new();
    Wait::default().await;
    Ok(Answer(number, object, token))
}

async_pyfunction! {
    /// `(number, object)`, after a thread of the storm has said so.
    async fn storm(number: u64, object: Py<PyAny>) -> PyResult<Answer> {
        answer(number, object).await
    }
}

async_pyfunction! {
    in ferrio_async::tokio::Tokio;

    async fn storm_in_tokio(number: u64, object: Py<PyAny>) -> PyResult<Answer> {
        answer(number, object).await
    }
}

async_pyfunction! {
    in ferrio_async::smol::Smol;

    async fn storm_in_smol(number: u64, object: Py<PyAny>) -> PyResult<Answer> {
        answer(number, object).await
    }
}

/// As `storm`; the future has its token, its object and its thread before it is awaited.
#[pyfunction]
fn storm_before_the_await(py: Python<'_>, number: u64, object: Py<PyAny>) -> PyResult<Bound<'_, PyAny>> {
    let (token, shared) = (Token::new(), Arc::<Shared>::default());
    let _ = STORM[0].send(Pending(shared.clone()));
    future_into_py(py, async move {
        Wait(Some(shared)).await;
        Ok(Answer(number, object, token))
    })
}

pub(super) fn fill(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_function(wrap_pyfunction!(storm, module)?)?;
    module.add_function(wrap_pyfunction!(storm_in_tokio, module)?)?;
    module.add_function(wrap_pyfunction!(storm_in_smol, module)?)?;
    module.add_function(wrap_pyfunction!(storm_before_the_await, module)?)
}
