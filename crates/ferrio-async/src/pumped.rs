//! A stream that runs in a runtime's threads, as a stream that the awaiting task polls.
//!
//! A future in the runtime, the pump, pushes items into a queue, until that is full. The consumer takes the whole queue at
//! once, so that one wake-up brings all that has come since the last. Items are converted where they are awaited. So the
//! runtime's threads never attach.
//! Invariants: a queue has one end, also if the runtime drops the pump. Wakers are woken and dropped outside the lock.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_core::Stream;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::generic::Runtime;
use crate::home::{AtHome, Home};
use crate::panic::{Payload, exception};

enum End {
    Finished,
    Panicked(Payload),
    /// The runtime dropped it.
    Dropped,
}

struct Queue<T> {
    items: VecDeque<PyResult<T>>,
    end: Option<End>,
    /// Of the consumer, while it waits for an item.
    consumer: Option<Waker>,
    /// Of the pump, while the queue is full.
    pump: Option<Waker>,
}

type Shared<T> = Arc<Mutex<Queue<T>>>;

fn lock<T>(queue: &Mutex<Queue<T>>) -> MutexGuard<'_, Queue<T>> {
    // Nothing under the lock can panic, except for the clone of a waker, which changes nothing.
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// A stream on its way through the runtime `R`.
pub(crate) struct Pumped<R: Runtime, S, T> {
    stage: Stage<R, S, T>,
    capacity: usize,
    /// What was taken from the queue.
    batch: VecDeque<PyResult<T>>,
}

enum Stage<R: Runtime, S, T> {
    Fresh(S),
    /// The pump stops when the task is dropped.
    Running(Shared<T>, #[allow(dead_code, reason = "kept for its drop")] R::Task),
    Finished,
}

// The stream moves into the runtime before it is polled, so it isn't pinned here.
impl<R: Runtime, S, T> Unpin for Pumped<R, S, T> {}

impl<R: Runtime, S, T> Pumped<R, S, T> {
    pub(crate) fn new(stream: S, capacity: usize) -> Self {
        Self { stage: Stage::Fresh(stream), capacity: capacity.max(1), batch: VecDeque::new() }
    }
}

impl<R, S, T> Pumped<R, S, T>
where
    R: Runtime,
    S: Stream<Item = PyResult<T>> + Send + 'static,
    T: Send + 'static,
{
    /// The queue; hands the stream to the runtime if that wasn't done. `None` after the end.
    fn start(&mut self) -> PyResult<Option<Shared<T>>> {
        match std::mem::replace(&mut self.stage, Stage::Finished) {
            Stage::Fresh(stream) => {
                let home = Python::attach(Home::current)?;
                let queue = Queue { items: VecDeque::new(), end: None, consumer: None, pump: None };
                let shared = Arc::new(Mutex::new(queue));
                let pump = Pump { shared: shared.clone(), capacity: self.capacity, stream, ended: false };
                self.stage = Stage::Running(shared.clone(), R::spawn(AtHome::new(home, pump)));
                Ok(Some(shared))
            }
            Stage::Running(shared, task) => {
                self.stage = Stage::Running(shared.clone(), task);
                Ok(Some(shared))
            }
            Stage::Finished => Ok(None),
        }
    }
}

impl<R, S, T> Stream for Pumped<R, S, T>
where
    R: Runtime,
    S: Stream<Item = PyResult<T>> + Send + 'static,
    T: Send + 'static,
{
    type Item = PyResult<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<PyResult<T>>> {
        if let Some(item) = self.batch.pop_front() {
            return Poll::Ready(Some(item));
        }
        let Some(shared) = self.start()? else { return Poll::Ready(None) };
        let (end, old, pump) = {
            let mut queue = lock(&shared);
            std::mem::swap(&mut queue.items, &mut self.batch);
            let end = if self.batch.is_empty() { queue.end.take() } else { None };
            let old = match &queue.consumer {
                _ if end.is_some() || !self.batch.is_empty() => queue.consumer.take(),
                Some(known) if known.will_wake(context.waker()) => None,
                _ => queue.consumer.replace(context.waker().clone()),
            };
            (end, old, queue.pump.take())
        };
        drop(old);
        wake(pump);
        if let Some(item) = self.batch.pop_front() {
            return Poll::Ready(Some(item));
        }
        let Some(end) = end else { return Poll::Pending };
        self.stage = Stage::Finished;
        Poll::Ready(match end {
            End::Finished => None,
            End::Panicked(payload) => Some(Err(exception(&*payload))),
            End::Dropped => Some(Err(PyRuntimeError::new_err("the runtime has dropped the stream"))),
        })
    }
}

pin_project_lite::pin_project! {
    /// What the runtime runs: fills the queue, and ends it whatever happens.
    struct Pump<S, T> {
        shared: Shared<T>,
        capacity: usize,
        #[pin]
        stream: S,
        ended: bool,
    }

    impl<S, T> PinnedDrop for Pump<S, T> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if !*this.ended {
                end(this.shared, End::Dropped);
            }
        }
    }
}

impl<S: Stream<Item = PyResult<T>>, T> Future for Pump<S, T> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        // After a batch other futures of the runtime have their turn.
        for _ in 0..*this.capacity {
            if !has_room(this.shared, *this.capacity, context) {
                return Poll::Pending;
            }
            let ended = match catch_unwind(AssertUnwindSafe(|| this.stream.as_mut().poll_next(context))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(Some(item))) => {
                    push(this.shared, item);
                    continue;
                }
                Ok(Poll::Ready(None)) => End::Finished,
                Err(payload) => End::Panicked(payload),
            };
            *this.ended = true;
            end(this.shared, ended);
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Whether the queue takes one more item; if not, the pump is woken when it does.
fn has_room<T>(shared: &Mutex<Queue<T>>, capacity: usize, context: &Context<'_>) -> bool {
    let mut queue = lock(shared);
    let full = queue.items.len() >= capacity;
    let old = if full { queue.pump.replace(context.waker().clone()) } else { queue.pump.take() };
    drop(queue);
    drop(old);
    !full
}

fn push<T>(shared: &Mutex<Queue<T>>, item: PyResult<T>) {
    let consumer = {
        let mut queue = lock(shared);
        queue.items.push_back(item);
        queue.consumer.take()
    };
    wake(consumer);
}

fn end<T>(shared: &Mutex<Queue<T>>, end: End) {
    let consumer = {
        let mut queue = lock(shared);
        queue.end = Some(end);
        queue.consumer.take()
    };
    wake(consumer);
}
