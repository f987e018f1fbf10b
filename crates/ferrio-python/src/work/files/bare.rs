//! Reads a binary file through its descriptor, while no standard object has been made for it.
//!
//! While only large pieces or the whole rest are read, a buffer is of no use. So bytes go from the kernel directly
//! into the `bytes` object that is returned. Invariant: the descriptor's position is the file's.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use ferrio_engine::files::{self, Opened};
use pyo3::prelude::*;

use super::file::File;
use super::threads::{self, Slot};
use crate::base::error;
use crate::base::ffi::bytes::Filling;
use crate::core::operation::Operation;

/// The least that `read(n)` reads without a buffer: the smallest buffer of any Python.
pub(super) const LEAST: usize = 8192;

/// The most that the loop's thread copies from the page cache at a time.
pub(super) const CACHED: usize = 1024 * 1024;

/// A file that was opened, and has no standard object yet.
pub(super) struct Bare {
    /// Shared with the job that reads.
    opened: Arc<Opened>,
    /// Whether nothing was read yet, so that the size is as it was.
    fresh: bool,
}

/// What a job has read: the object it filled, what didn't fit, and why it ended early.
pub(super) type Piece = (Filling, Vec<u8>, io::Result<()>);

/// A read that is done, or that a thread continues.
pub(super) enum Reading<'py> {
    Done(Bound<'py, PyAny>),
    Away(Arc<Slot<Piece>>),
}

impl Bare {
    pub(super) fn new(opened: Opened) -> Self {
        Self { opened: Arc::new(opened), fresh: true }
    }

    /// The descriptor, for another owner; `Err` while a job reads.
    pub(super) fn into_opened(self) -> Result<Opened, Self> {
        Arc::try_unwrap(self.opened).map_err(|opened| Self { opened, fresh: false })
    }

    pub(super) fn fd(&self) -> i32 {
        self.opened.fd.as_raw_fd()
    }

    /// What to read: the descriptor, how many bytes of room that needs, and whether to read to the end.
    pub(super) fn plan(&mut self, count: Option<usize>) -> (Arc<Opened>, usize, bool) {
        let left = if std::mem::take(&mut self.fresh) {
            self.opened.size
        } else {
            files::remaining(self.fd()).unwrap_or(0)
        };
        // One byte more, to see the end without growing.
        let left = usize::try_from(left).unwrap_or(usize::MAX - 1).saturating_add(1);
        match count {
            None => (self.opened.clone(), left, true),
            Some(count) => (self.opened.clone(), count.min(left), count > left),
        }
    }
}

/// Reads as planned by [`Bare::plan`]. `most`: how many bytes, `None` for all.
pub(super) fn read<'py>(
    this: &Bound<'py, Operation>,
    file: &Py<File>,
    (opened, room, grows): (Arc<Opened>, usize, bool),
    most: Option<usize>,
) -> PyResult<Reading<'py>> {
    let py = this.py();
    let mut filling = Filling::with_room(py, room)?;
    if room <= CACHED + 1 {
        let (count, complete) = files::read_cached(opened.fd.as_raw_fd(), filling.memory())
            .map_err(|failure| error::from_system(py, &failure))?;
        filling.advance(count);
        if complete && !(grows && filling.is_full()) {
            return Ok(Reading::Done(filling.finish(py, &[])?.into_any()));
        }
    }
    let slot = threads::submit(this, Some(file), move || {
        let fd = opened.fd.as_raw_fd();
        let mut rest = Vec::new();
        let outcome = files::read_full(fd, filling.memory()).and_then(|count| {
            filling.advance(count);
            if !(grows && filling.is_full()) {
                return Ok(());
            }
            // It has grown since.
            match most {
                None => files::read_rest(fd, &mut rest),
                Some(most) => files::read_more(fd, &mut rest, most - room),
            }
        });
        drop(opened);
        (filling, rest, outcome)
    })?;
    Ok(Reading::Away(slot))
}

/// The bytes that a thread has read. If it could read none, raises its `OSError`.
pub(super) fn finish<'py>(py: Python<'py>, (filling, rest, outcome): Piece) -> PyResult<Bound<'py, PyAny>> {
    let object = filling.finish(py, &rest)?;
    match outcome {
        Err(failure) if object.as_bytes().is_empty() => Err(error::from_system(py, &failure)),
        _ => Ok(object.into_any()),
    }
}
