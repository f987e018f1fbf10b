//! One operation on a file: it waits for its turn, runs where its work can wait, and passes the file to the next.
//!
//! Work that needs no disk (the data is in the page cache or goes into a buffer) is done on the loop's thread. Reads,
//! writes and closes of a descriptor run in a detached thread, all others in an attached one. Invariant: after its
//! turn has come, an operation is completed. If it is cancelled, its task doesn't wait for the end, but the next
//! operation on the file does.

use std::os::fd::AsRawFd;
use std::sync::Arc;

use ferrio_engine::files;
use pyo3::exceptions::{PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyList, PyString, PyTuple};

use super::Outcome;
use super::bare::{self, Piece, Reading};
use super::collector::Collected;
use super::file::{File, Kind};
use super::threads::{self, Doing, Slot};
use crate::base::error;
use crate::base::ffi::Cast;
use crate::base::gc::gc;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{Operation, Phase};

/// How far ahead of its position a reader's buffer may read: the largest buffer of any Python.
const REACH: usize = 128 * 1024;

/// The most that the loop's thread copies or decodes at a time.
const LARGEST_HERE: usize = 256 * 1024;

/// What is asked of a file.
pub(super) enum Request {
    Read { args: Py<PyTuple>, kwargs: Option<Py<PyDict>> },
    Close,
    Next,
    Call { name: Py<PyString>, shown: &'static str, args: Py<PyTuple>, kwargs: Option<Py<PyDict>> },
}

gc!(match Request {
    Self::Read { args, kwargs } | Self::Call { args, kwargs, .. } => (args, kwargs),
    Self::Close | Self::Next => (),
});

enum Stage {
    Fresh,
    /// Other operations have the file.
    Queued,
    /// A thread calls the standard object.
    Calling(Arc<Slot<Outcome>>),
    /// A thread reads from the bare descriptor.
    Reading(Arc<Slot<Piece>>),
    /// A thread closes the bare descriptor.
    Closing(Arc<Slot<std::io::Result<()>>>),
    /// A thread makes the disk read the data that the call will need.
    Warming(Arc<Slot<()>>),
    /// A thread writes what the buffer handed down; then the call has its outcome.
    Writing(Arc<Slot<std::io::Result<()>>>, Outcome),
}

gc!(match Stage {
    Self::Writing(_, Ok(value)) => (value),
    _ => (),
});

/// One operation.
pub(super) struct FileCall {
    file: Py<File>,
    request: Request,
    stage: Stage,
}

gc!(FileCall { file, request, stage });

/// Where to call the standard object.
enum Place {
    Here,
    /// Here, after a thread has made the disk read this far.
    Warmed(i32, usize),
    /// Here; a thread writes what it hands down.
    Collecting(Arc<Collected>),
    Thread,
}

impl FileCall {
    pub(super) fn operation(file: Bound<'_, File>, request: Request) -> Unawaited {
        Unawaited::new(Self { file: file.unbind(), request, stage: Stage::Fresh })
    }
}

impl Run for FileCall {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.abandon(this)?;
            return Err(PyErr::from_value(exception));
        }
        let progress = match std::mem::replace(&mut self.stage, Stage::Fresh) {
            Stage::Fresh => {
                if !self.file.get().enter(this) {
                    self.stage = Stage::Queued;
                    return Ok(Progress::Park);
                }
                self.begin(this)
            }
            Stage::Queued => self.begin(this),
            Stage::Calling(slot) => slot.take().and_then(|outcome| ready(py, outcome)),
            Stage::Reading(slot) => {
                slot.take().and_then(|piece| bare::finish(py, piece)).map(Progress::Ready)
            }
            Stage::Closing(slot) => match slot.take() {
                Ok(Ok(())) => Ok(Progress::Ready(py.None().into_bound(py))),
                Ok(Err(failure)) => Err(error::from_system(py, &failure)),
                Err(failure) => Err(failure),
            },
            Stage::Warming(slot) => slot.take().and_then(|()| self.call_here(py)),
            Stage::Writing(slot, outcome) => match slot.take() {
                Ok(Ok(())) => ready(py, outcome),
                Ok(Err(failure)) => Err(error::from_system(py, &failure)),
                Err(failure) => Err(failure),
            },
        };
        if matches!(progress, Ok(Progress::Park)) {
            return progress;
        }
        self.file.get().leave(py)?;
        progress
    }

    fn name(&self) -> &'static str {
        match &self.request {
            Request::Read { .. } => "File.read",
            Request::Close => "File.close",
            Request::Next => "File.__anext__",
            Request::Call { shown, .. } => shown,
        }
    }
}

fn ready(py: Python<'_>, outcome: Outcome) -> PyResult<Progress<'_>> {
    match outcome {
        Ok(value) => Ok(Progress::Ready(value.into_bound(py))),
        // An `await` can't raise `StopIteration`, and `async for` needs `StopAsyncIteration`.
        Err(failure) if failure.is_instance_of::<PyStopIteration>(py) => {
            Err(PyStopAsyncIteration::new_err(()))
        }
        Err(failure) => Err(failure),
    }
}

impl FileCall {
    /// Nobody waits any more. A job that has begun goes on, and passes the file on when it is done.
    fn abandon(&mut self, this: &Bound<'_, Operation>) -> PyResult<()> {
        let woken = this.get().resumed_from(this.py()) == Phase::Woken;
        let has_file = match std::mem::replace(&mut self.stage, Stage::Fresh) {
            Stage::Fresh => false,
            Stage::Queued => !self.file.get().give_up(this),
            // If it was woken, the job is done and found somebody waiting. Otherwise it will find nobody.
            _ => woken,
        };
        if has_file { self.file.get().leave(this.py()) } else { Ok(()) }
    }

    /// Goes as far as it can; it has the file.
    fn begin<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        match &self.request {
            Request::Read { args, kwargs: None } => {
                if let Some(count) = bare_count(args.bind(py))
                    && let Some(plan) = self.file.get().with_bare(py, |bare| bare.plan(count))
                {
                    return match bare::read(this, &self.file, plan, count)? {
                        Reading::Done(bytes) => Ok(Progress::Ready(bytes)),
                        Reading::Away(slot) => {
                            self.stage = Stage::Reading(slot);
                            Ok(Progress::Park)
                        }
                    };
                }
            }
            Request::Close => {
                if let Some(Ok(opened)) = self.file.get().take_bare(py).map(bare::Bare::into_opened) {
                    if files::closes_quickly(opened.fd.as_raw_fd()) {
                        files::close(opened.fd).map_err(|failure| error::from_system(py, &failure))?;
                        return Ok(Progress::Ready(py.None().into_bound(py)));
                    }
                    let slot = threads::submit(this, Some(&self.file), move || files::close(opened.fd))?;
                    self.stage = Stage::Closing(slot);
                    return Ok(Progress::Park);
                }
                if self.file.get().is_closed_bare(py) {
                    return Ok(Progress::Ready(py.None().into_bound(py)));
                }
            }
            _ => {}
        }
        self.call(this)
    }

    /// Calls the standard object, here or in a thread.
    fn call<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let (object, kind) = self.file.get().object(py)?;
        match self.place(&object, &kind) {
            Place::Here => self.call_here(py),
            Place::Warmed(fd, reach) => {
                let slot = threads::submit(this, Some(&self.file), move || files::warm(fd, reach))?;
                self.stage = Stage::Warming(slot);
                Ok(Progress::Park)
            }
            Place::Collecting(collected) => {
                collected.collect(true);
                let outcome = self.invoke(&object).map(Bound::unbind);
                collected.collect(false);
                if collected.is_empty() {
                    return ready(py, outcome);
                }
                let slot = threads::submit(this, Some(&self.file), move || collected.write_out())?;
                self.stage = Stage::Writing(slot, outcome);
                Ok(Progress::Park)
            }
            Place::Thread => {
                let call = Self {
                    file: self.file.clone_ref(py),
                    request: self.request.duplicate(py),
                    stage: Stage::Fresh,
                };
                let object = object.unbind();
                let work = move |py: Python<'_>| match &kind {
                    Kind::Writer(collected) => call.invoke_writer(object.bind(py), collected),
                    Kind::Reader(_) | Kind::Other => call.invoke(object.bind(py)).map(Bound::unbind),
                };
                let doing = Doing { name: self.name(), object: self.file.clone_ref(py).into_any() };
                let slot = threads::submit_attached(this, Some(&self.file), doing, work)?;
                self.stage = Stage::Calling(slot);
                Ok(Progress::Park)
            }
        }
    }

    fn call_here<'py>(&self, py: Python<'py>) -> PyResult<Progress<'py>> {
        let (object, _) = self.file.get().object(py)?;
        ready(py, self.invoke(&object).map(Bound::unbind))
    }

    /// The call itself.
    fn invoke<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = object.py();
        match &self.request {
            Request::Close => object.call_method0(intern!(py, "close")),
            Request::Next => object.call_method0(intern!(py, "__next__")),
            Request::Read { args, kwargs } => {
                let keywords = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
                object.getattr(intern!(py, "read"))?.call(args.bind(py), keywords)
            }
            Request::Call { name, args, kwargs, .. } => {
                let keywords = kwargs.as_ref().map(|kwargs| kwargs.bind(py));
                object.getattr(name.bind(py))?.call(args.bind(py), keywords)
            }
        }
    }

    /// The call in a thread, for a file whose buffered output may be waiting.
    fn invoke_writer(&self, object: &Bound<'_, PyAny>, collected: &Arc<Collected>) -> Outcome {
        let py = object.py();
        let written = if collected.is_empty() { Ok(()) } else { py.detach(|| collected.write_out()) };
        let closes = matches!(self.request, Request::Close);
        if let Err(failure) = &written
            && !closes
        {
            return Err(error::from_system(py, failure));
        }
        let outcome = self.invoke(object).map(Bound::unbind);
        if closes {
            collected.discard();
        }
        match written {
            Err(failure) if outcome.is_ok() => Err(error::from_system(py, &failure)),
            _ => outcome,
        }
    }

    fn place(&self, object: &Bound<'_, PyAny>, kind: &Kind) -> Place {
        let py = object.py();
        if let Request::Call { name, .. } = &self.request
            && matches!(&*name.bind(py).to_string_lossy(), "isatty" | "readable" | "seekable" | "writable")
        {
            return Place::Here;
        }
        match kind {
            Kind::Other => Place::Thread,
            Kind::Reader(fd) => self.reading_place(py, *fd),
            Kind::Writer(collected) => self.writing_place(py, collected),
        }
    }

    /// Where a reader's call is made: here, if the data it may need is in the page cache or soon will be.
    fn reading_place(&self, py: Python<'_>, fd: i32) -> Place {
        let reach = match &self.request {
            Request::Close if files::closes_quickly(fd) => return Place::Here,
            Request::Close => return Place::Thread,
            Request::Next => Some(REACH),
            Request::Read { args, .. } => size_of_argument(args.bind(py), true),
            Request::Call { name, args, .. } => match &*name.bind(py).to_string_lossy() {
                "tell" => return Place::Here,
                "seek" | "readline" | "peek" | "read1" => {
                    size_of_argument(args.bind(py), false).or(Some(REACH))
                }
                "readinto" | "readinto1" => size_of_argument(args.bind(py), false),
                "readlines" => None,
                _ => return Place::Thread,
            },
        };
        let reach = match reach {
            // Text has up to four bytes per character.
            Some(size) => size.saturating_mul(4).clamp(REACH, 8 * LARGEST_HERE),
            None => usize::MAX,
        };
        let Some(left) = files::remaining(fd) else { return Place::Thread };
        let reach = usize::try_from(left).unwrap_or(usize::MAX).min(reach);
        if reach > LARGEST_HERE {
            return Place::Thread;
        }
        match files::is_cached(fd, reach.saturating_sub(1)) {
            Some(true) => Place::Here,
            Some(false) => Place::Warmed(fd, reach),
            None => Place::Thread,
        }
    }

    /// Where a writer's call is made: here, if it only fills a buffer.
    fn writing_place(&self, py: Python<'_>, collected: &Arc<Collected>) -> Place {
        let Request::Call { name, args, .. } = &self.request else { return Place::Thread };
        if !collected.is_empty() {
            return Place::Thread;
        }
        let first = args.bind(py).get_item(0).ok();
        let small = match (&*name.bind(py).to_string_lossy(), &first) {
            ("flush", _) => true,
            ("write", Some(data)) => {
                let known = data.is_exact_instance_of::<PyBytes>()
                    || data.is_exact_instance_of::<PyString>()
                    || data.is_exact_instance_of::<PyByteArray>();
                known && data.len().is_ok_and(|length| length <= LARGEST_HERE)
            }
            ("writelines", Some(lines)) => {
                (lines.is_exact_instance_of::<PyList>() || lines.is_exact_instance_of::<PyTuple>())
                    && lines.len().is_ok_and(|length| length <= 1024)
            }
            _ => false,
        };
        if small { Place::Collecting(collected.clone()) } else { Place::Thread }
    }
}

impl Request {
    fn duplicate(&self, py: Python<'_>) -> Self {
        let other = |kwargs: &Option<Py<PyDict>>| kwargs.as_ref().map(|kwargs| kwargs.clone_ref(py));
        match self {
            Self::Read { args, kwargs } => Self::Read { args: args.clone_ref(py), kwargs: other(kwargs) },
            Self::Close => Self::Close,
            Self::Next => Self::Next,
            Self::Call { name, shown, args, kwargs } => Self::Call {
                name: name.clone_ref(py),
                shown,
                args: args.clone_ref(py),
                kwargs: other(kwargs),
            },
        }
    }
}

/// How much `read(...)` asks for, if a bare descriptor can do it: `Some(None)` for all.
fn bare_count(arguments: &Bound<'_, PyTuple>) -> Option<Option<usize>> {
    if arguments.is_empty() {
        return Some(None);
    }
    let count = arguments.get_item(0).ok().filter(|_| arguments.len() == 1)?;
    if count.is_none() {
        return Some(None);
    }
    match count.as_exactly::<pyo3::types::PyInt>()?.extract::<isize>().ok()? {
        -1 => Some(None),
        count => usize::try_from(count).ok().filter(|count| *count >= bare::LEAST).map(Some),
    }
}

/// The size that the first argument is or has. `None` if there is none, or if it is negative and `negative` sizes
/// mean all.
fn size_of_argument(arguments: &Bound<'_, PyTuple>, negative: bool) -> Option<usize> {
    let first = arguments.get_item(0).ok()?;
    if let Ok(size) = first.extract::<isize>() {
        return usize::try_from(size).ok().or(if negative { None } else { Some(0) });
    }
    first.len().ok()
}
