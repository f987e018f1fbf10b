//! Time by the loop's clock, for futures that the awaiting task polls: [`sleep()`], [`timeout`], [`interval`].
//!
//! ```
//! use std::time::Duration;
//!
//! use ferrio_async::time;
//! use pyo3::prelude::*;
//!
//! ferrio_async::async_pyfunction! {
//!     async fn nap(seconds: f64) -> PyResult<()> {
//!         time::sleep(Duration::from_secs_f64(seconds)).await;
//!         Ok(())
//!     }
//! }
//! ```
//!
//! No runtime is needed: the loop's own timers wake the future. They go by the loop's clock, so on a loop of ferrio's with
//! virtual time a sleep takes no time.
//!
//! # In which thread
//!
//! A timer begins when it is first polled. That must be on the thread of a running loop: in a future of
//! [`future_into_py`](crate::future_into_py), not in one that a runtime's thread polls. Otherwise the poll panics, which the
//! `await` in Python raises as [`RustPanic`](crate::RustPanic). Afterwards any thread may poll and drop it.

use std::error::Error;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pyo3::exceptions::PyTimeoutError;
use pyo3::prelude::*;

use crate::reactor::{self, Called, Timer};

#[derive(Default)]
struct Alarm(Mutex<State>);

#[derive(Default)]
struct State {
    fired: bool,
    /// The loop is closed.
    ended: bool,
    waker: Option<Waker>,
}

impl Alarm {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing under the lock can panic, except for the clone of a waker, which changes nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.fired {
            return Poll::Ready(());
        }
        assert!(!state.ended, "ferrio_async::time: the event loop is closed");
        let old = match &state.waker {
            Some(known) if reactor::wakes_same(known, context.waker()) => None,
            _ => state.waker.replace(reactor::here(context.waker())),
        };
        drop(state);
        drop(old);
        Poll::Pending
    }

    fn wake(&self, change: impl FnOnce(&mut State)) {
        let waker = {
            let mut state = self.state();
            change(&mut state);
            state.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Called for Alarm {
    fn called(&self, _events: u32) {
        self.wake(|state| state.fired = true);
    }

    fn ended(&self) {
        self.wake(|state| state.ended = true);
    }
}

/// A timer that runs.
struct Running {
    alarm: Arc<Alarm>,
    /// The loop's time at which it fires, in nanoseconds.
    deadline: u64,
    #[expect(dead_code, reason = "the timer is stopped when this is dropped")]
    timer: Timer,
}

impl Running {
    /// Starts a timer for the time that `deadline` makes of the loop's time, in nanoseconds.
    fn start(deadline: impl FnOnce(u64) -> u64) -> Self {
        let alarm = Arc::new(Alarm::default());
        match Timer::start(deadline, &alarm) {
            Ok((timer, deadline)) => Self { alarm, deadline, timer },
            Err(failure) => panic!("ferrio_async::time: {failure}"),
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Waits for a time ([`Sleep`]).
#[must_use = "a sleep does nothing unless it is awaited"]
pub fn sleep(duration: Duration) -> Sleep {
    Sleep { duration, stage: Stage::Fresh }
}

/// What [`sleep()`] returns. The time begins when it is first polled.
///
/// # Panics
///
/// If it is first polled where no loop runs; if another thread polls it after the loop was closed.
#[must_use = "a sleep does nothing unless it is awaited"]
pub struct Sleep {
    duration: Duration,
    stage: Stage,
}

enum Stage {
    Fresh,
    Running(Running),
    Over,
}

impl Sleep {
    /// Whether it is over.
    #[must_use]
    pub fn is_elapsed(&self) -> bool {
        match &self.stage {
            Stage::Fresh => false,
            Stage::Running(running) => running.alarm.state().fired,
            Stage::Over => true,
        }
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Sleep").field("duration", &self.duration).finish_non_exhaustive()
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Stage::Fresh = self.stage {
            let duration = nanos(self.duration);
            self.stage = Stage::Running(Running::start(|now| now.saturating_add(duration)));
        }
        if let Stage::Running(running) = &self.stage {
            std::task::ready!(running.alarm.poll(context));
            self.stage = Stage::Over;
        }
        Poll::Ready(())
    }
}

/// Limits the time of a future. If the time is over first, the future is dropped and the result is an error.
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    Timeout { future: future.into_future(), sleep: sleep(duration) }
}

pin_project_lite::pin_project! {
    /// What [`timeout`] returns. The time begins when it is first polled.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless they are awaited"]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        #[pin]
        sleep: Sleep,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(value) = this.future.poll(context) {
            return Poll::Ready(Ok(value));
        }
        this.sleep.poll(context).map(|()| Err(Elapsed(())))
    }
}

/// The time of a [`timeout`] was over. In Python it is a `TimeoutError`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Elapsed(());

impl fmt::Display for Elapsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the time is over")
    }
}

impl Error for Elapsed {}

impl From<Elapsed> for PyErr {
    fn from(elapsed: Elapsed) -> Self {
        PyTimeoutError::new_err(elapsed.to_string())
    }
}

impl From<Elapsed> for std::io::Error {
    fn from(elapsed: Elapsed) -> Self {
        Self::new(std::io::ErrorKind::TimedOut, elapsed)
    }
}

/// Ticks again and again, the first time at once.
///
/// # Panics
///
/// If the period is zero.
#[must_use]
pub fn interval(period: Duration) -> Interval {
    assert!(!period.is_zero(), "an interval's period is longer than zero");
    Interval { period, running: None }
}

/// What [`interval`] returns. Ticks keep their distance, however long the work between them takes; those that it misses are
/// left out.
pub struct Interval {
    period: Duration,
    running: Option<Running>,
}

impl fmt::Debug for Interval {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interval").field("period", &self.period).finish_non_exhaustive()
    }
}

impl Interval {
    /// Waits for the next tick.
    ///
    /// # Panics
    ///
    /// As [`Sleep`].
    pub async fn tick(&mut self) {
        poll_fn(|context| self.poll_tick(context)).await;
    }

    /// Polls for the next tick.
    ///
    /// # Panics
    ///
    /// As [`Sleep`].
    pub fn poll_tick(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let period = nanos(self.period);
        let Some(running) = &self.running else {
            self.running = Some(Running::start(|now| now.saturating_add(period)));
            return Poll::Ready(());
        };
        std::task::ready!(running.alarm.poll(context));
        let last = running.deadline;
        // The first tick after now, counted from the last one.
        let next = |now: u64| {
            let missed = now.saturating_sub(last) / period;
            last.saturating_add(period.saturating_mul(missed + 1))
        };
        self.running = Some(Running::start(next));
        Poll::Ready(())
    }

    /// The time between two ticks.
    #[must_use]
    pub fn period(&self) -> Duration {
        self.period
    }
}
