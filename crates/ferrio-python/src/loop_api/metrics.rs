//! What a loop has counted, for `ferrio.sight.metrics`.
//!
//! The engine's meter and the loop's own parts count; here the numbers come together. Each is read by itself, so a
//! snapshot of a loop that runs in another thread may mix neighbouring moments. That is sound: the numbers are atomics,
//! or read while the loop's state is borrowed.

use ferrio_engine::clock::Clock;
use ferrio_engine::histogram::{Bucket, Histogram};
use ferrio_engine::meter::Meter;
use ferrio_engine::seconds_from_nanos;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::core::event_loop::Loop;

/// Begin to count what a loop does, or stop; what was counted stays.
#[pyfunction]
#[pyo3(signature = (r#loop, metered, /))]
pub(crate) fn _meter(r#loop: &Bound<'_, Loop>, metered: bool) {
    r#loop.get().set_metered(r#loop.py(), metered);
}

/// Return the numbers of a loop, by name. A histogram is a tuple: sum, least, most, and (from, below, count) for each bucket.
#[pyfunction]
#[pyo3(signature = (r#loop, /))]
pub(crate) fn _metrics<'py>(r#loop: &Bound<'py, Loop>) -> PyResult<Bound<'py, PyDict>> {
    let (py, native) = (r#loop.py(), r#loop.get());
    let found = PyDict::new(py);
    let now = Clock::monotonic().now();
    found.set_item("time", seconds_from_nanos(now))?;
    match native.metered() {
        Some(meter) => add_metered(&found, meter, now)?,
        None => add_metered(&found, &Meter::new(), now)?,
    }
    let (pending, tasks) = native.with_tasks(py, |tasks| (tasks.len(), tasks.counts()));
    found.set_item("tasks_pending", pending)?;
    found.set_item("tasks_created", native.progress().samples().created())?;
    found.set_item("tasks_finished", tasks.finished)?;
    found.set_item("tasks_failed", tasks.failed)?;
    found.set_item("tasks_cancelled", tasks.cancelled)?;
    let (ready, timers, descriptors) = native.queued(py);
    found.set_item("ready", ready)?;
    found.set_item("timers", timers)?;
    found.set_item("descriptors", descriptors)?;
    let traffic = native.traffic();
    found.set_item("bytes_received", native.receiving().received())?;
    found.set_item("bytes_sent", traffic.sent.get())?;
    found.set_item("connections_open", traffic.open())?;
    found.set_item("connections_accepted", traffic.accepted.get())?;
    found.set_item("connections_made", traffic.made.get())?;
    found.set_item("slow_callbacks", native.progress().slow())?;
    Ok(found)
}

fn add_metered(found: &Bound<'_, PyDict>, meter: &Meter, now: u64) -> PyResult<()> {
    let py = found.py();
    found.set_item("turns", meter.turns())?;
    found.set_item("steps", meter.steps())?;
    found.set_item("callbacks", meter.callbacks())?;
    let times = meter.phases.times(now);
    found.set_item("busy", seconds_from_nanos(times.busy))?;
    found.set_item("polling", seconds_from_nanos(times.polling))?;
    found.set_item("resuming", seconds_from_nanos(times.resuming))?;
    found.set_item("timer_delay", shown(py, &meter.timer_delay)?)?;
    found.set_item("ready_delay", shown(py, &meter.ready_delay)?)?;
    found.set_item("jobs_queued", meter.jobs.queued())?;
    found.set_item("jobs_running", meter.jobs.running())?;
    found.set_item("jobs_finished", meter.jobs.finished())?;
    found.set_item("job_wait", shown(py, &meter.jobs.wait)?)
}

/// In seconds.
fn shown<'py>(py: Python<'py>, histogram: &Histogram) -> PyResult<Bound<'py, PyAny>> {
    let contents = histogram.contents();
    let bucket = |Bucket { from, below, count }: &Bucket| {
        (seconds_from_nanos(*from), seconds_from_nanos(*below), *count)
    };
    let buckets = PyTuple::new(py, contents.buckets.iter().map(bucket))?;
    let (least, most) = contents.extremes.unwrap_or_default();
    let seconds = [contents.sum, least, most].map(seconds_from_nanos);
    Ok((seconds[0], seconds[1], seconds[2], buckets).into_pyobject(py)?.into_any())
}
