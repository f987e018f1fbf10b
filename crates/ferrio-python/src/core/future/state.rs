//! The state of a future and its transitions; no Python code runs here and nothing is dropped here.

use pyo3::exceptions::PyBaseException;
use pyo3::prelude::*;

use super::callbacks::Callbacks;
use crate::base::gc::gc;
use crate::core::event_loop::LoopRef;

/// How the future ended, if it did.
#[derive(Default)]
pub(crate) enum Outcome {
    /// Not yet.
    #[default]
    Pending,
    /// By `cancel()`.
    Cancelled,
    /// With a value.
    Result(Py<PyAny>),
    /// With an exception, and the traceback that it had when it was set.
    Exception(Py<PyBaseException>, Option<Py<PyAny>>),
}

gc!(match Outcome {
    Self::Pending | Self::Cancelled => (),
    Self::Result(result) => (result),
    Self::Exception(exception, traceback) => (exception, traceback),
});

impl Outcome {
    /// The word that asyncio uses: `PENDING`, `CANCELLED` or `FINISHED`.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Cancelled => "CANCELLED",
            Self::Result(_) | Self::Exception(..) => "FINISHED",
        }
    }
}

/// What only few futures have; allocated when the first of these is set.
#[derive(Default)]
pub(crate) struct Extra {
    /// The argument of `cancel(msg)`.
    pub(crate) cancel_message: Option<Py<PyAny>>,
    /// The `CancelledError` that ended a task, kept to be raised once more with its traceback.
    pub(crate) cancelled_error: Option<Py<PyAny>>,
    /// Where the future was made, in debug mode.
    pub(crate) source_traceback: Option<Py<PyAny>>,
    /// The futures and tasks that await this one, if they have said so (a set; for call graphs).
    pub(crate) awaited_by: Option<Py<PyAny>>,
}

gc!(Extra { cancel_message, cancelled_error, source_traceback, awaited_by });

/// Everything a `Future` holds; only the attached thread touches it, inside its `Guarded`.
#[derive(Default)]
pub(crate) struct State {
    /// `None` until `__init__` has run (a subclass may forget to call it).
    pub(crate) home: Option<LoopRef>,
    pub(crate) outcome: Outcome,
    pub(crate) callbacks: Callbacks,
    /// The `_asyncio_future_blocking` of the await protocol.
    pub(crate) blocking: bool,
    /// Whether the exception must still be reported when the future is dropped.
    pub(crate) log_traceback: bool,
    pub(crate) extra: Option<Box<Extra>>,
}

gc!(State { home, outcome, extra, callbacks } not { blocking, log_traceback });

impl State {
    /// The rarely used fields, made on first use.
    pub(crate) fn extra(&mut self) -> &mut Extra {
        self.extra.get_or_insert_with(Box::default)
    }

    /// Moves from pending to `outcome` and returns the callbacks to schedule. `Err` returns the outcome if the future
    /// was done already.
    #[inline]
    pub(crate) fn finish(&mut self, outcome: Outcome) -> Result<Callbacks, Outcome> {
        if !matches!(self.outcome, Outcome::Pending) {
            return Err(outcome);
        }
        self.log_traceback = matches!(outcome, Outcome::Exception(..));
        self.outcome = outcome;
        Ok(std::mem::take(&mut self.callbacks))
    }
}
