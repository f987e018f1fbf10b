//! `Launch`: a child that was started and may not run its program yet; and the wait until it does.
//!
//! Invariant: a cancelled wait leaves no child and no zombie, because it only ends after the child has.

use std::ffi::CString;
use std::os::fd::RawFd;

use ferrio_engine::Event;
use ferrio_engine::process::launch::{self as engine, Order, Outcome};
use ferrio_engine::process::{Child, Fate};
use ferrio_engine::reactor::Interest;
use pyo3::exceptions::{PyGeneratorExit, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::base::class::Class;
use crate::base::ffi::{Cast, Guarded};
use crate::base::gc::gc;
use crate::base::{error, imports};
use crate::core::event_loop::Loop;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation};

/// SIGKILL, which has this number everywhere.
pub(super) const KILL: i32 = 9;

/// A child that may not run its program yet. If it is dropped before a transport has the child, it kills the child.
#[pyclass(frozen, weakref, module = "ferrio._ferrio")]
pub(crate) struct Launch {
    /// The child's process number.
    #[pyo3(get)]
    pid: i32,
    state: Guarded<engine::Launch>,
}

impl Class for Launch {}

impl Launch {
    /// Hands the child over; `None` if that was done already.
    pub(super) fn take_child(&self, py: Python<'_>) -> Option<Child> {
        self.state.with(py, engine::Launch::take_child)
    }
}

#[pymethods]
impl Launch {
    /// Start a child; return `None` if the system doesn't support this way.
    ///
    /// `programs` are tried one after the other. The other arguments are what `subprocess.Popen._execute_child` has
    /// worked out. `environment` is a list of `NAME=value`. `streams` are the child's ends, `-1` for those that it
    /// inherits. `umask` and `process_group` are `-1` if they stay. Raises `OSError` if the child can't be created,
    /// `ValueError` and `TypeError` for bad arguments.
    #[staticmethod]
    #[pyo3(signature = (programs, arguments, environment, directory, streams, close_others, keep, umask, restore_signals, new_session, process_group, groups, group, user))]
    #[expect(clippy::too_many_arguments, reason = "they are Popen's")]
    fn start(
        py: Python<'_>,
        programs: Vec<Bound<'_, PyAny>>,
        arguments: Vec<Bound<'_, PyAny>>,
        environment: Option<Vec<Bound<'_, PyAny>>>,
        directory: Option<Bound<'_, PyAny>>,
        streams: (RawFd, RawFd, RawFd),
        close_others: bool,
        keep: Vec<RawFd>,
        umask: i32,
        restore_signals: bool,
        new_session: bool,
        process_group: i32,
        groups: Option<Vec<u32>>,
        group: Option<u32>,
        user: Option<u32>,
    ) -> PyResult<Option<Self>> {
        if keep.iter().any(|fd| *fd < 0) {
            return Err(PyValueError::new_err("bad value(s) in fds_to_keep"));
        }
        let given = |number: i32| (number >= 0).then_some(number);
        let order = Order {
            programs: encode_all(&programs)?,
            arguments: encode_all(&arguments)?,
            environment: environment.as_deref().map(encode_all).transpose()?,
            directory: directory.as_ref().map(encode).transpose()?,
            streams: [streams.0, streams.1, streams.2].map(given),
            close_others,
            keep,
            umask: given(umask).map(i32::cast_unsigned),
            restore_signals,
            new_session,
            process_group: given(process_group),
            groups,
            group,
            user,
        };
        let launch = engine::Launch::start(order).map_err(|failure| error::from_system(py, &failure))?;
        Ok(launch.map(|launch| Self { pid: launch.pid(), state: Guarded::new(launch) }))
    }
}

fn encode_all(strings: &[Bound<'_, PyAny>]) -> PyResult<Vec<CString>> {
    strings.iter().map(encode).collect()
}

fn encode(string: &Bound<'_, PyAny>) -> PyResult<CString> {
    let encoded = match string.as_exactly::<PyBytes>() {
        Some(bytes) => CString::new(bytes.as_bytes()),
        None => {
            let bytes = imports::FSENCODE.get(string.py())?.call1((string,))?;
            CString::new(bytes.cast::<PyBytes>()?.as_bytes())
        }
    };
    encoded.map_err(|_| PyValueError::new_err("embedded null byte"))
}

#[pymethods]
impl Loop {
    /// Wait until the child of `launch` runs its program, and return `None`. If it couldn't run that, wait until it
    /// is gone, and return where it failed and the number of the error. The place is 0 for the preparation, 1 for its
    /// directory, 2 for the program.
    ///
    /// If the wait is cancelled, it kills the child.
    #[pyo3(signature = (launch))]
    fn _launched(slf: Bound<'_, Self>, launch: Bound<'_, Launch>) -> Unawaited {
        Unawaited::new(Launched {
            event_loop: slf.unbind(),
            launch: launch.unbind(),
            watched: None,
            ending: None,
        })
    }
}

struct Launched {
    event_loop: Py<Loop>,
    launch: Py<Launch>,
    /// The descriptor that reports the next step.
    watched: Option<RawFd>,
    /// The child is being killed; afterwards this is reported.
    ending: Option<Ending>,
}

gc!(Launched { event_loop, launch, ending } not { watched });

enum Ending {
    Failed(i32, i32),
    Thrown(Py<PyAny>),
}

gc!(match Ending {
    Self::Thrown(exception) => (exception),
    Self::Failed(..) => (),
});

impl Run for Launched {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let progress = match resume {
            Resume::Throw(exception) => self.give_up(this, exception),
            Resume::Send => self.go_on(this),
        };
        if !matches!(progress, Ok(Progress::Park)) {
            self.unwatch(py);
            self.launch.get().state.with(py, engine::Launch::finish);
        }
        progress
    }

    fn name(&self) -> &'static str {
        "Loop._launched"
    }
}

impl Launched {
    fn go_on<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if self.ending.is_some() {
            return self.end(this);
        }
        let outcome = self.launch.get().state.with(py, engine::Launch::outcome);
        match outcome.map_err(|failure| error::from_system(py, &failure))? {
            Outcome::Pending => {
                let descriptor = self.launch.get().state.with(py, |launch| launch.descriptor());
                self.watch(this, descriptor)
            }
            Outcome::Started => Ok(Progress::Ready(py.None().into_bound(py))),
            Outcome::Failed(place, number) => {
                self.ending = Some(Ending::Failed(place as i32, number));
                self.end(this)
            }
        }
    }

    /// Kills the child, then raises `exception`.
    fn give_up<'py>(
        &mut self,
        this: &Bound<'py, Operation>,
        exception: Bound<'py, PyAny>,
    ) -> PyResult<Progress<'py>> {
        let py = this.py();
        if exception.is_instance_of::<PyGeneratorExit>() {
            // There is no time to wait.
            self.launch.get().state.with(py, engine::Launch::abandon);
            return Err(PyErr::from_value(exception));
        }
        let sent = self.launch.get().state.with(py, |launch| launch.child().map(|child| child.signal(KILL)));
        if let Some(Err(failure)) = sent {
            return Err(error::from_system(py, &failure));
        }
        let old = self.ending.replace(Ending::Thrown(exception.unbind()));
        drop(old);
        self.end(this)
    }

    /// Waits until nothing of the child is left.
    fn end<'py>(&mut self, this: &Bound<'py, Operation>) -> PyResult<Progress<'py>> {
        let py = this.py();
        let (descriptor, fate) = self.launch.get().state.with(py, |launch| match launch.child() {
            Some(child) => (child.descriptor(), Some(child.reap())),
            None => (None, None),
        });
        if let (Some(descriptor), Some(Ok(Fate::Running))) = (descriptor, fate) {
            return self.watch(this, descriptor);
        }
        self.unwatch(py);
        let child = self.launch.get().take_child(py);
        drop(child);
        match self.ending.take() {
            Some(Ending::Thrown(exception)) => Err(PyErr::from_value(exception.into_bound(py))),
            Some(Ending::Failed(place, number)) => {
                Ok(Progress::Ready((place, number).into_pyobject(py)?.into_any()))
            }
            None => Ok(Progress::Ready(py.None().into_bound(py))),
        }
    }

    fn watch<'py>(&mut self, this: &Bound<'py, Operation>, descriptor: RawFd) -> PyResult<Progress<'py>> {
        let py = this.py();
        if self.watched != Some(descriptor) {
            self.unwatch(py);
            let outcome = self.event_loop.get().watch_natively(
                descriptor,
                this.as_any(),
                on_event,
                Some(Interest::READABLE),
            );
            if let Err(failure) = outcome {
                self.launch.get().state.with(py, engine::Launch::abandon);
                return Err(error::from_system(py, &failure));
            }
            self.event_loop.get().child_began();
            self.watched = Some(descriptor);
        }
        Ok(Progress::Park)
    }

    fn unwatch(&mut self, py: Python<'_>) {
        if let Some(descriptor) = self.watched.take() {
            self.event_loop.get().unwatch_natively(py, descriptor);
            self.event_loop.get().child_ended();
        }
    }
}

fn on_event(_native: &Bound<'_, Loop>, owner: &Bound<'_, PyAny>, _event: Event) -> PyResult<()> {
    operation::wake(owner.cast::<Operation>()?).map(drop)
}
