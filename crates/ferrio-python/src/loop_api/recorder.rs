//! `Recorder`: starts and stops a recording of all loops, and makes tables of it.
//!
//! What is recorded, and how, is in `base/recording`; `ferrio_engine::recorder` plays it. Here the tables get names and
//! their form for `ferrio.sight.trace`: columns of little-endian numbers. Any thread may ask for a picture, also while
//! the loops run or are blocked.

use ferrio_engine::clock::{Nanos, nanos_from_seconds};
use ferrio_engine::recorder::picture::{Awaited, Name, Picture, Row, RowKind, Span};
use ferrio_engine::recorder::{End, Scale};
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};
use std::collections::HashMap;
use std::sync::Arc;

use crate::base::class::Class;
use crate::base::ffi::frames;
use crate::base::gc::collected;
use crate::base::recording::Session;
use crate::core::event_loop::every_loop;
use crate::core::task::Task;

/// Records what the loops of this process do. One recorder at a time may record.
///
/// `events` is how many each loop keeps. With `seconds`, only the latest time is of interest.
#[pyclass(frozen, name = "_Recorder", module = "ferrio._ferrio")]
pub(crate) struct Recorder {
    session: Arc<Session>,
    period: Option<Nanos>,
}

collected!(Recorder { session } not { period });

impl Class for Recorder {}

/// A number that means none.
const NONE: u32 = u32::MAX;

#[pymethods]
impl Recorder {
    #[new]
    #[pyo3(signature = (events, seconds, /))]
    fn new(events: usize, seconds: Option<f64>) -> PyResult<Self> {
        let period = match seconds {
            None => None,
            Some(seconds) => {
                let period = nanos_from_seconds(seconds).filter(|period| *period > 0);
                Some(period.ok_or_else(|| {
                    PyValueError::new_err(format!("a positive number of seconds is needed, got {seconds}"))
                })?)
            }
        };
        Ok(Self { session: Session::new(events, period), period })
    }

    /// Begin to record all loops, those that are made later included. `threads` are the names of the threads that run.
    ///
    /// Raises `RuntimeError` if another recorder records, unless `replace` is set: in a forked child that is its
    /// parent's.
    #[pyo3(signature = (threads, /, *, replace = false))]
    fn start(&self, py: Python<'_>, threads: HashMap<u64, String>, replace: bool) -> PyResult<()> {
        if Session::current().is_some() && !replace {
            return Err(PyRuntimeError::new_err("what the loops do is being recorded already"));
        }
        let old = Session::set_current(Some(self.session.clone()));
        drop(old);
        for native in every_loop(py)? {
            native.get().follow_recording(py)?;
            native.get().record_present(py, &threads)?;
        }
        Ok(())
    }

    /// Record no longer. What was recorded stays.
    fn stop(&self, py: Python<'_>) -> PyResult<()> {
        if self.session.is_current() {
            let old = Session::set_current(None);
            drop(old);
            for native in every_loop(py)? {
                native.get().stop_recording(py);
            }
        }
        Ok(())
    }

    /// Return the tables of what was recorded.
    fn picture<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // The tasks are held until the end, so none of their addresses is used again meanwhile.
        let pending = self.pending(py)?;
        let copies = self.session.copies(py);
        let (jobs, lost_jobs) = self.session.jobs.copy();
        let last = self.session.ticker.moment();
        let lost = copies.iter().map(|(_, _, lost)| lost).sum::<u64>() + lost_jobs;
        let numbers: Vec<_> = copies.iter().map(|(number, _, _)| *number).collect();
        let began = self.session.began;
        let from =
            self.period.map_or(began.nanos, |period| last.nanos.saturating_sub(period).max(began.nanos));
        let span = Span { scale: Scale::between(began, last), from, until: last.nanos };
        let picture = py.detach(move || {
            let mut picture = Picture::default();
            copies.iter().for_each(|(_, events, _)| picture.play(events, &span));
            picture.add_jobs(&jobs, &span);
            picture.finish();
            picture
        });
        let made = PyDict::new(py);
        made.set_item("duration", last.nanos - from)?;
        made.set_item("lost", lost)?;
        let rows = self.rows(py, &picture, &numbers, &pending)?;
        let mut labels = self.session.labels.texts();
        let tables = py.detach(|| tables(&picture, &rows, &mut labels));
        made.set_item("lanes", lanes(py, &picture, &numbers, &labels)?)?;
        made.set_item("rows", shown_rows(py, &picture, &rows)?)?;
        made.set_item("labels", labels)?;
        made.set_item("stacks", self.stacks(py)?)?;
        for (name, count, columns) in tables {
            let table = PyDict::new(py);
            table.set_item("count", count)?;
            for (column, bytes) in columns {
                table.set_item(column, PyBytes::new(py, &bytes))?;
            }
            made.set_item(name, table)?;
        }
        Ok(made)
    }
}

/// The tasks that are pending, by the number of their loop and their own.
type Pending<'py> = HashMap<(u32, u64), Bound<'py, Task>>;

/// What a row is called, and what its task runs.
struct Title {
    name: String,
    coroutine: Option<String>,
}

impl Recorder {
    fn pending<'py>(&self, py: Python<'py>) -> PyResult<Pending<'py>> {
        let mut pending = Pending::new();
        for native in every_loop(py)? {
            let Some((session, number)) = native.get().recording().session(py) else { continue };
            if Arc::ptr_eq(&session, &self.session) {
                let tasks: Vec<_> = native
                    .get()
                    .with_tasks(py, |tasks| tasks.iter().map(|task| task.bind(py).clone()).collect());
                pending.extend(tasks.into_iter().map(|task| ((number, Task::recorded_id(&task)), task)));
            }
        }
        Ok(pending)
    }

    fn rows(
        &self,
        py: Python<'_>,
        picture: &Picture,
        numbers: &[u32],
        pending: &Pending<'_>,
    ) -> PyResult<Vec<Title>> {
        // Of tasks that haven't ended; asking for the labels first adds them to the list.
        let known = |row: &Row| {
            let number = numbers.get(row.lane as usize)?;
            let task = pending.get(&(*number, row.actor?))?;
            Some((task, Task::coroutine_label(&self.session.labels, task)))
        };
        let known: Vec<_> = picture.rows.iter().map(known).collect();
        let labels = self.session.labels.texts();
        let text = |label: u32| labels.get(label as usize).cloned();
        let title = |(row, known): (&Row, Option<(&Bound<'_, Task>, u32)>)| {
            let coroutine = known.map(|(_, label)| label).or(row.label).and_then(text);
            let name = match (known, &row.name) {
                (Some((task, _)), _) => Task::name(task)?.bind(py).str()?.to_string_lossy().into_owned(),
                (None, Name::Number(number)) => format!("Task-{number}"),
                (None, Name::Text(name)) => String::from_utf8_lossy(name).into_owned(),
                (None, Name::Unknown) => match row.kind {
                    RowKind::Actor => "?",
                    RowKind::Calls => "callbacks",
                    RowKind::Io => "I/O",
                    RowKind::Jobs => "jobs",
                }
                .to_owned(),
            };
            Ok(Title { name, coroutine })
        };
        picture.rows.iter().zip(known).map(title).collect()
    }

    /// The stacks, the innermost frame last.
    fn stacks(&self, py: Python<'_>) -> PyResult<Vec<Vec<(String, i32, String)>>> {
        let frame = |(code, at): &(Py<PyAny>, i32)| {
            let code = code.bind(py);
            let text = |name| Ok::<_, PyErr>(code.getattr(name)?.str()?.to_string_lossy().into_owned());
            Ok((text("co_filename")?, frames::line(code, *at), text("co_qualname")?))
        };
        let stacks = self.session.stacks(py);
        stacks.iter().map(|stack| stack.iter().rev().map(frame).collect()).collect()
    }
}

fn lanes<'py>(
    py: Python<'py>,
    picture: &Picture,
    numbers: &[u32],
    labels: &[String],
) -> PyResult<Bound<'py, PyList>> {
    let lanes = PyList::empty(py);
    for (at, lane) in picture.lanes.iter().enumerate() {
        let names: Vec<_> =
            lane.threads.iter().filter_map(|label| labels.get(*label as usize).map(String::as_str)).collect();
        let made = PyDict::new(py);
        made.set_item("name", names.join(", "))?;
        made.set_item("kind", if lane.is_worker { "worker" } else { "loop" })?;
        made.set_item("loop", if lane.is_worker { None } else { numbers.get(at) })?;
        lanes.append(made)?;
    }
    Ok(lanes)
}

fn shown_rows<'py>(py: Python<'py>, picture: &Picture, titles: &[Title]) -> PyResult<Bound<'py, PyList>> {
    let rows = PyList::empty(py);
    for (row, title) in picture.rows.iter().zip(titles) {
        let made = PyDict::new(py);
        let kind = match row.kind {
            RowKind::Actor => "task",
            RowKind::Calls => "callbacks",
            RowKind::Io => "io",
            RowKind::Jobs => "jobs",
        };
        let end = match row.ended {
            Some((_, End::Finished)) => Some("finished"),
            Some((_, End::Cancelled)) => Some("cancelled"),
            Some((_, End::Failed)) => Some("failed"),
            Some((_, End::Abandoned)) | None => None,
        };
        made.set_item("kind", kind)?;
        made.set_item("name", &title.name)?;
        made.set_item("coro", &title.coroutine)?;
        made.set_item("lane", row.lane)?;
        made.set_item("created", row.created)?;
        made.set_item("ended", row.ended.map(|(time, _)| time))?;
        made.set_item("end", end)?;
        made.set_item("parent", row.parent)?;
        made.set_item("stack", row.stack)?;
        rows.append(made)?;
    }
    Ok(rows)
}

/// The name of a table, how many entries it has, and its columns.
type Table = (&'static str, usize, Vec<(&'static str, Vec<u8>)>);

fn tables(picture: &Picture, titles: &[Title], labels: &mut Vec<String>) -> Vec<Table> {
    let (mut slices, mut wakes, mut waits, mut polls) = <[Columns; 4]>::default().into();
    let (mut kinds, mut known) = (Vec::new(), HashMap::new());
    for slice in &picture.slices {
        slices
            .time(slice.start)
            .length(slice.length)
            .number("row", Some(slice.row))
            .number("label", slice.label);
        kinds.push(slice.kind as u8);
    }
    for wake in &picture.wakes {
        wakes
            .time(wake.time)
            .number("from", wake.from)
            .number("to", Some(wake.to))
            .number("label", wake.label);
        wakes.long("delay", wake.delay);
    }
    for wait in &picture.waits {
        let label = match wait.what {
            Awaited::Label(label) => label,
            Awaited::Row(row) => *known.entry(row).or_insert_with(|| {
                labels.push(format!("task {}", titles[row as usize].name));
                labels.len() as u32 - 1
            }),
        };
        waits.time(wait.start).length(wait.length).number("row", Some(wait.row)).number("label", Some(label));
    }
    for poll in &picture.polls {
        polls.time(poll.start).length(poll.length).number("lane", Some(poll.lane));
    }
    let mut slices = slices.finish("start");
    slices.push(("kind", kinds));
    vec![
        ("slices", picture.slices.len(), slices),
        ("wakes", picture.wakes.len(), wakes.finish("time")),
        ("waits", picture.waits.len(), waits.finish("start")),
        ("polls", picture.polls.len(), polls.finish("start")),
    ]
}

/// The columns of a table. Times are written as differences.
#[derive(Default)]
struct Columns {
    latest: Nanos,
    times: Vec<u8>,
    others: Vec<(&'static str, Vec<u8>)>,
}

impl Columns {
    fn time(&mut self, time: Nanos) -> &mut Self {
        put_long(&mut self.times, time - self.latest);
        self.latest = time;
        self
    }

    fn length(&mut self, length: Nanos) -> &mut Self {
        self.long("length", length)
    }

    fn long(&mut self, name: &'static str, value: Nanos) -> &mut Self {
        put_long(self.column(name), value);
        self
    }

    fn number(&mut self, name: &'static str, value: Option<u32>) -> &mut Self {
        self.column(name).extend(value.unwrap_or(NONE).to_le_bytes());
        self
    }

    fn column(&mut self, name: &'static str) -> &mut Vec<u8> {
        let at = self.others.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
            self.others.push((name, Vec::new()));
            self.others.len() - 1
        });
        &mut self.others[at].1
    }

    fn finish(self, time: &'static str) -> Vec<(&'static str, Vec<u8>)> {
        let mut all = self.others;
        all.insert(0, (time, self.times));
        all
    }
}

/// Writes a number of nanoseconds: in four bytes if it fits, else the largest such number and then all of it.
fn put_long(bytes: &mut Vec<u8>, value: Nanos) {
    match u32::try_from(value) {
        Ok(short) if short != NONE => bytes.extend(short.to_le_bytes()),
        _ => {
            bytes.extend(NONE.to_le_bytes());
            bytes.extend(value.to_le_bytes());
        }
    }
}
