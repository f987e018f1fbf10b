//! What `ferrio.testing` asks of a loop: the order in which it runs what is ready, and its virtual clock.

use ferrio_engine::order::{CANDIDATES, Choice, Order};
use pyo3::exceptions::{PyBaseException, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::base::error;
use crate::base::ffi::interpreter;
use crate::core::event_loop::Loop;
use crate::core::event_loop::chosen::Chosen;
use crate::core::event_loop::run::run_until_complete;
use crate::core::event_loop::virtual_clock::VirtualClock;

// What is chosen is shown as bytes.
const _: () = assert!(CANDIDATES <= u8::MAX as usize);

#[pymethods]
impl Loop {
    /// From the next turn on, run what is ready in another order.
    ///
    /// `way` is "fixed" (by `choices`), "random" (by `seed`) or "priorities" (by `seed`, `depth` and `length`).
    /// For "asked", `ask(candidates)` returns which one runs next of a list of pairs: a number that stays the same, and the
    /// task or `None`. `tell(object, chosen, of)` is called before each thing that runs. With `relaxed`, callbacks don't
    /// keep their order.
    /// Raises `ValueError` for another way.
    #[pyo3(signature = (way, *, seed = 0, depth = 1, length = 1, choices = Vec::new(), relaxed = false, tell = None, ask = None))]
    #[expect(clippy::too_many_arguments, reason = "all but one are keywords of Python's")]
    fn _set_order(
        &self,
        py: Python<'_>,
        way: &str,
        seed: u64,
        depth: usize,
        length: usize,
        choices: Vec<u32>,
        relaxed: bool,
        tell: Option<Py<PyAny>>,
        ask: Option<Py<PyAny>>,
    ) -> PyResult<()> {
        let order = match way {
            "fixed" | "asked" => Order::fixed(choices),
            "random" => Order::random(seed),
            "priorities" => Order::by_priorities(seed, depth, length),
            _ => return Err(PyValueError::new_err(format!("there is no order named {way:?}"))),
        };
        let mut chosen = Chosen::new(order, relaxed, tell);
        chosen.ask = ask;
        let old = self.set_order(py, Some(chosen));
        drop(old);
        Ok(())
    }

    /// Run `main()` as a task in a copy of the context, until it is done. From then on the order is asyncio's again.
    ///
    /// Return what it raised, if it did; what was chosen, and how many there were each time; and the place of the first fixed
    /// choice that wasn't possible. Raises only `KeyboardInterrupt`, `SystemExit` and what `_set_order`'s `tell` raises.
    fn _run_in_order(slf: &Bound<'_, Self>, main: &Bound<'_, PyAny>) -> PyResult<Ran> {
        let py = slf.py();
        let run = || {
            let task = Self::create_task(slf, main.call0()?, None, None, None, None)?;
            run_until_complete(slf, task).map(drop)
        };
        let raised = run().err();
        let (chosen, of, departed) = slf.get()._end_order(py);
        let raised = match raised {
            Some(failure) if error::ends_program(py, &failure) => return Err(failure),
            raised => raised.map(|failure| error::into_object(py, failure).unbind()),
        };
        Ok((raised, chosen, of, departed))
    }

    /// Return what was chosen, how many there were each time, and the place of the first fixed choice that wasn't possible.
    /// From then on the order is asyncio's again.
    fn _end_order(&self, py: Python<'_>) -> (Py<PyBytes>, Py<PyBytes>, Option<usize>) {
        let (choices, departed) = self.choices(py).unwrap_or_default();
        let old = self.set_order(py, None);
        drop(old);
        let bytes = |of: fn(&Choice) -> u32| {
            let bytes: Vec<u8> = choices.iter().map(|choice| of(choice) as u8).collect();
            PyBytes::new(py, &bytes).unbind()
        };
        (bytes(|choice| choice.chosen), bytes(|choice| choice.of), departed)
    }

    /// Return how many references to the loop there are during this call.
    fn _references(slf: &Bound<'_, Self>) -> isize {
        interpreter::count_references(slf)
    }

    /// Make the loop as it was when it was made, with a virtual clock at zero. Return whether that was possible.
    ///
    /// It isn't if something is left that ran on the loop, or if there are more than so many `references` to it.
    fn _renew(slf: &Bound<'_, Self>, references: isize) -> PyResult<bool> {
        Ok(slf.get().renew(slf.py())? && interpreter::count_references(slf) <= references)
    }

    /// Return the loop's virtual clock, or `None` if it has real time.
    fn _virtual_clock(&self, py: Python<'_>) -> Option<VirtualClock> {
        self.virtual_clock(py)
    }

    /// The child `pid` stands still until the loop's own time has come, so it doesn't hold the virtual clock; with `false`,
    /// it goes on. It also does when its transport kills it.
    fn _child_stands_still(&self, pid: i32, stands: bool) {
        self.child_stands_still(pid, stands);
    }

    /// One of the jobs that hold the virtual clock waits for the loop's own time from now on, so the clock may jump; with
    /// `false`, it no longer waits. Called in the loop's thread.
    fn _job_waits_for_time(&self, waits: bool) {
        self.job_idles(waits);
    }
}

/// What was raised; what was chosen; of how many; where the program departed.
type Ran = (Option<Py<PyBaseException>>, Py<PyBytes>, Py<PyBytes>, Option<usize>);
