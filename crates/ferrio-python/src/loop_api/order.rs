//! What `ferrio.testing` asks of a loop: the order in which it runs what is ready, and its virtual clock.

use ferrio_engine::order::Order;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::core::event_loop::Loop;
use crate::core::event_loop::chosen::Chosen;
use crate::core::event_loop::virtual_clock::VirtualClock;

#[pymethods]
impl Loop {
    /// From the next turn on, run what is ready in another order.
    ///
    /// `way` is "fixed" (by `choices`), "random" (by `seed`) or "priorities" (by `seed`, `depth` and `length`).
    /// `tell(object, chosen, of)` is called before each thing that runs. With `relaxed`, callbacks don't keep their order.
    /// Raises `ValueError` for another way.
    #[pyo3(signature = (way, *, seed = 0, depth = 1, length = 1, choices = Vec::new(), relaxed = false, tell = None))]
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
    ) -> PyResult<()> {
        let order = match way {
            "fixed" => Order::fixed(choices),
            "random" => Order::random(seed),
            "priorities" => Order::by_priorities(seed, depth, length),
            _ => return Err(PyValueError::new_err(format!("there is no order named {way:?}"))),
        };
        let old = self.set_order(py, Some(Chosen { order, relaxed, tell, guide: None }));
        drop(old);
        Ok(())
    }

    /// Return what was chosen, as pairs of the choice and how many there were, and the place of the first fixed choice that
    /// wasn't possible. The order is asyncio's again.
    fn _end_order(&self, py: Python<'_>) -> (Vec<(u32, u32)>, Option<usize>) {
        let (choices, departed) = self.choices(py).unwrap_or_default();
        let old = self.set_order(py, None);
        drop(old);
        (choices.into_iter().map(|choice| (choice.chosen, choice.of)).collect(), departed)
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
