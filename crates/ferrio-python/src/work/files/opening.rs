//! `ferrio.open()`: its arguments, the system's open in a thread, and the resulting file.
//!
//! If a path needs no `opener`, a job opens it while detached, and `io.open` then gets the descriptor. Arguments that
//! the built-in `open` refuses are passed to it, so that it raises the error. If a program replaced `io.open`, that is
//! called, as by the standard library's own modules. Invariant: a descriptor for which
//! nobody waits any more is closed.

use std::ffi::CString;
use std::os::fd::IntoRawFd;
use std::sync::Arc;

use ferrio_engine::files::{self, Access, Opened, Start};
use pyo3::exceptions::{PyOSError, PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyInt, PyString, PyTuple, PyType};

use super::bare::Bare;
use super::file::File;
use super::threads::{self, Doing, Slot};
use super::{Call, Outcome};
use crate::base::arguments::Argument;
use crate::base::class::Class;
use crate::base::ffi::{Cast, Guarded};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::operation::Operation;
use crate::core::operation::run::{Progress, Resume, Run};
use crate::core::operation::unawaited::Unawaited;

/// The arguments of `open`, as they came.
struct Arguments {
    file: Py<PyAny>,
    mode: Py<PyAny>,
    buffering: Py<PyAny>,
    encoding: Py<PyAny>,
    errors: Py<PyAny>,
    newline: Py<PyAny>,
    closefd: Py<PyAny>,
    opener: Py<PyAny>,
}

gc!(Arguments { file, mode, buffering, encoding, errors, newline, closefd, opener });

/// How a path was opened: what `io.open` needs in order to make an object for the descriptor.
pub(super) struct How {
    /// The name in the built-in `open`: `os.fspath()` of the argument.
    path: Py<PyAny>,
    arguments: Arguments,
}

gc!(How { path, arguments });

/// Open `file`, a path or a descriptor; to be awaited, or used with `async with`, which closes it.
///
/// The result is a `File`. The arguments are those of the built-in `open()`: `mode` ("r", "rb", "w", ...), the size
/// of the buffer `buffering`, for text files `encoding`, `errors` and `newline`, and `closefd` and `opener`. Raises
/// what the built-in `open()` raises.
#[pyfunction]
#[pyo3(signature = (file, mode = Argument::MISSING, buffering = Argument::MISSING, encoding = None, errors = None, newline = None, closefd = Argument::MISSING, opener = None))]
#[pyo3(
    text_signature = "(file, mode='r', buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None)"
)]
#[expect(clippy::too_many_arguments, reason = "they are the built-in function's")]
pub(crate) fn open(
    py: Python<'_>,
    file: Py<PyAny>,
    mode: Argument,
    buffering: Argument,
    encoding: Option<Py<PyAny>>,
    errors: Option<Py<PyAny>>,
    newline: Option<Py<PyAny>>,
    closefd: Argument,
    opener: Option<Py<PyAny>>,
) -> PyResult<Opening> {
    let none = |given: Option<Py<PyAny>>| given.unwrap_or_else(|| py.None());
    let arguments = Arguments {
        file,
        mode: mode.or_else(|| intern!(py, "r").clone().unbind().into_any()),
        buffering: match buffering.into_option() {
            Some(buffering) => buffering,
            None => (-1i32).into_pyobject(py)?.into_any().unbind(),
        },
        encoding: none(encoding),
        errors: none(errors),
        newline: none(newline),
        closefd: closefd.or_else(|| pyo3::types::PyBool::new(py, true).to_owned().into_any().unbind()),
        opener: none(opener),
    };
    Ok(Opening::new(Way::Path(arguments)))
}

/// As `open()`, for the file that `func(*args, **kwargs)` returns; a thread calls it: `tempfile.TemporaryFile`...
#[pyfunction]
#[pyo3(signature = (func, /, *args, **kwargs))]
pub(crate) fn open_with(func: Py<PyAny>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>>) -> Opening {
    Opening::new(Way::Call((func, args, kwargs)))
}

/// What the function returned. Raises `TypeError` if that isn't a file.
fn file_of(py: Python<'_>, call: &Call) -> Outcome {
    let made = super::invoke(py, call)?;
    if !made.bind(py).hasattr(intern!(py, "close"))? {
        return Err(PyTypeError::new_err(format!(
            "{} returned {}, which isn't a file: it can't be closed",
            call.0.bind(py).repr()?,
            made.bind(py).repr()?
        )));
    }
    Ok(made)
}

/// Where a file comes from.
enum Way {
    Path(Arguments),
    Call(Call),
}

gc!(match Way {
    Self::Path(arguments) => (arguments),
    Self::Call(call) => (call),
});

struct State {
    way: Option<Way>,
    /// What `async with` closes.
    file: Option<Py<File>>,
}

gc!(State { file, way });

/// What `ferrio.open()` returns: an awaitable of the file, and an asynchronous context manager that closes it.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct Opening {
    state: Guarded<State>,
}

collected!(Opening { state }, clear { state { file, way } });

impl Class for Opening {}

impl Opening {
    fn new(way: Way) -> Self {
        Self { state: Guarded::new(State { way: Some(way), file: None }) }
    }
}

#[pymethods]
impl Opening {
    /// The generic alias `Opening[str]` or `Opening[bytes]`, for annotations (PEP 585).
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::GENERIC_ALIAS.get(class.py())?.call1((class, item))
    }

    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Operation>> {
        Self::__aenter__(slf)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, Operation>> {
        let py = slf.py();
        let Some(way) = slf.get().state.with(py, |state| state.way.take()) else {
            return Err(PyRuntimeError::new_err("cannot reuse already awaited open()"));
        };
        let opening = OpenCall { opening: slf.clone().unbind(), stage: Stage::Fresh(Box::new(way)) };
        Unawaited::new(opening).bare(py)
    }

    #[pyo3(signature = (*exception))]
    fn __aexit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<Unawaited> {
        let file = self.state.with(py, |state| state.file.as_ref().map(|file| file.clone_ref(py)));
        match file {
            Some(file) => File::__aexit__(file.into_bound(py), exception),
            None => Err(PyRuntimeError::new_err("open() was not entered")),
        }
    }
}

enum Stage {
    Fresh(Box<Way>),
    /// A job opens the path.
    Native(Arc<How>, Arc<Slot<std::io::Result<Opened>>>),
    /// `io.open` opens it.
    Standard(Arc<Slot<Outcome>>),
    Over,
}

gc!(match Stage {
    Self::Fresh(way) => (way),
    _ => (),
});

struct OpenCall {
    opening: Py<Opening>,
    stage: Stage,
}

gc!(OpenCall { opening, stage });

impl Run for OpenCall {
    fn resume<'py>(&mut self, this: &Bound<'py, Operation>, resume: Resume<'py>) -> PyResult<Progress<'py>> {
        let py = this.py();
        if let Resume::Throw(exception) = resume {
            self.stage = Stage::Over;
            return Err(PyErr::from_value(exception));
        }
        match std::mem::replace(&mut self.stage, Stage::Over) {
            Stage::Fresh(way) => {
                self.stage = match *way {
                    Way::Path(arguments) => start(this, arguments)?,
                    Way::Call(call) => {
                        let doing = Doing { name: "", object: call.0.clone_ref(py) };
                        let work = move |py: Python<'_>| file_of(py, &call);
                        Stage::Standard(threads::submit_attached(this, None, doing, work)?)
                    }
                };
                Ok(Progress::Park)
            }
            Stage::Native(how, slot) => match slot.take()? {
                Ok(opened) => {
                    let file = if opened.regular && how.is_plain_reader(py)? {
                        File::bare(Bare::new(opened), how)
                    } else {
                        File::standard(&how.standard_object(py, opened)?)?
                    };
                    self.end(py, file)
                }
                Err(failure) => Err(how.failure(py, &failure)),
            },
            Stage::Standard(slot) => self.end(py, File::standard(slot.take()??.bind(py))?),
            Stage::Over => Ok(Progress::Park),
        }
    }

    fn name(&self) -> &'static str {
        "open"
    }
}

impl OpenCall {
    fn end<'py>(&self, py: Python<'py>, file: File) -> PyResult<Progress<'py>> {
        let file = Bound::new(py, file)?;
        let entry = file.clone().unbind();
        let old = self.opening.get().state.with(py, |state| state.file.replace(entry));
        drop(old);
        Ok(Progress::Ready(file.into_any()))
    }
}

fn start(this: &Bound<'_, Operation>, arguments: Arguments) -> PyResult<Stage> {
    let py = this.py();
    let open = py.import(intern!(py, "io"))?.getattr(intern!(py, "open"))?;
    if open.is(imports::OPEN.get(py)?)
        && let Some((path, access)) = arguments.native(py)?
    {
        let how = How { path: imports::FSPATH.get(py)?.call1((&arguments.file,))?.unbind(), arguments };
        let audited = ("open", &how.path, &how.arguments.mode, access.flags());
        imports::AUDIT.get(py)?.call1(audited)?;
        let slot = threads::submit(this, None, move || files::open(&path, access))?;
        return Ok(Stage::Native(Arc::new(how), slot));
    }
    let doing = Doing { name: "open", object: arguments.file.clone_ref(py) };
    let open = open.unbind();
    let work = move |py: Python<'_>| {
        let given = &arguments;
        let all = (
            &given.file,
            &given.mode,
            &given.buffering,
            &given.encoding,
            &given.errors,
            &given.newline,
            &given.closefd,
            &given.opener,
        );
        open.bind(py).call1(all).map(Bound::unbind)
    };
    threads::submit_attached(this, None, doing, work).map(Stage::Standard)
}

impl Way {}

impl Arguments {
    /// Path and access if a job can open it; `None` if the built-in `open` must check it first.
    fn native(&self, py: Python<'_>) -> PyResult<Option<(CString, Access)>> {
        let file = self.file.bind(py);
        if file.is_instance_of::<PyInt>() || !self.opener.is_none(py) || !self.closefd.is_truthy(py)? {
            return Ok(None);
        }
        let Some(mode) = self.mode.bind(py).as_exactly::<PyString>() else { return Ok(None) };
        let Some((access, text)) = access(&mode.to_string_lossy()) else { return Ok(None) };
        let Ok(buffering) = self.buffering.extract::<i32>(py) else { return Ok(None) };
        let optional =
            |value: &Py<PyAny>| value.is_none(py) || value.bind(py).is_exact_instance_of::<PyString>();
        let texts = [&self.encoding, &self.errors, &self.newline];
        let sane = if text {
            buffering != 0 && texts.iter().all(|value| optional(value))
        } else {
            texts.iter().all(|value| value.is_none(py))
        };
        if !sane || buffering < -1 {
            return Ok(None);
        }
        let Ok(encoded) = imports::FSENCODE.get(py)?.call1((file,)) else { return Ok(None) };
        let path = CString::new(encoded.cast::<PyBytes>()?.as_bytes()).ok();
        Ok(path.map(|path| (path, access)))
    }
}

/// What a mode means, and whether the file is a text file. `None` for a mode that the built-in `open` must check.
fn access(mode: &str) -> Option<(Access, bool)> {
    let count = |letter: char| mode.chars().filter(|known| *known == letter).count();
    let known = mode.chars().all(|letter| "rwxabt+".contains(letter));
    let starts = count('r') + count('w') + count('x') + count('a');
    if !known
        || starts != 1
        || count('b') > 1
        || count('t') > 1
        || count('+') > 1
        || count('b') + count('t') > 1
    {
        return None;
    }
    let start = match mode.chars().find(|letter| "rwxa".contains(*letter))? {
        'w' => Start::Truncate,
        'x' => Start::Create,
        'a' => Start::Append,
        _ => Start::Keep,
    };
    let both = count('+') == 1;
    let reads = start == Start::Keep;
    Some((Access { reads: reads || both, writes: !reads || both, start }, count('b') == 0))
}

impl How {
    /// Whether it is a binary file, to be read with the usual buffer.
    fn is_plain_reader(&self, py: Python<'_>) -> PyResult<bool> {
        let mode = self.arguments.mode.bind(py).cast::<PyString>()?;
        let plain = matches!(&*mode.to_string_lossy(), "rb" | "br");
        Ok(plain && self.arguments.buffering.extract::<i32>(py)? == -1)
    }

    /// The standard library's object for the open descriptor, which it owns from now on.
    pub(super) fn standard_object<'py>(
        &self,
        py: Python<'py>,
        opened: Opened,
    ) -> PyResult<Bound<'py, PyAny>> {
        let giver = Giver { fd: Guarded::new(Some(opened)) };
        let given = &self.arguments;
        let opener = Bound::new(py, giver)?;
        let all = (
            &self.path,
            &given.mode,
            &given.buffering,
            &given.encoding,
            &given.errors,
            &given.newline,
            true,
            opener,
        );
        imports::OPEN.get(py)?.call1(all)
    }

    /// A closed object, which behaves as closed files do.
    pub(super) fn closed_object<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let nothing = files::open(c"/dev/null", Access { reads: true, writes: false, start: Start::Keep });
        let opened = nothing.map_err(|failure| crate::base::error::from_system(py, &failure))?;
        let object = self.standard_object(py, opened)?;
        object.call_method0(intern!(py, "close"))?;
        Ok(object)
    }

    /// The attribute of the standard object, while a thread works on the descriptor. For plain readers.
    pub(super) fn attribute_of_busy<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match &*name.to_string_lossy() {
            "name" => Ok(self.path.bind(py).clone()),
            "mode" => Ok(intern!(py, "rb").clone().into_any()),
            "raw" => Err(PyRuntimeError::new_err("the file is being read: await that before you detach it")),
            _ => imports::BUFFERED_READER.get(py)?.getattr(name),
        }
    }

    /// The built-in file's `name`.
    pub(super) fn name<'py>(&self, py: Python<'py>) -> Bound<'py, PyAny> {
        self.path.bind(py).clone()
    }

    /// The `OSError` of a failed open, with number, text and file name.
    fn failure(&self, py: Python<'_>, failure: &std::io::Error) -> PyErr {
        let number = failure.raw_os_error().unwrap_or(0);
        match imports::STRERROR.get(py).and_then(|strerror| strerror.call1((number,))) {
            Ok(text) => PyOSError::new_err((number, text.unbind(), self.path.clone_ref(py))),
            Err(error) => error,
        }
    }
}

/// An `opener` that has the descriptor already.
#[pyclass(frozen, module = "ferrio._ferrio")]
pub(crate) struct Giver {
    fd: Guarded<Option<Opened>>,
}

impl Class for Giver {}

#[pymethods]
impl Giver {
    #[pyo3(signature = (*_arguments, **_keywords))]
    fn __call__(
        &self,
        py: Python<'_>,
        _arguments: &Bound<'_, PyTuple>,
        _keywords: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<i32> {
        match self.fd.with(py, Option::take) {
            Some(opened) => Ok(opened.fd.into_raw_fd()),
            None => Err(PyRuntimeError::new_err("the descriptor was handed over already")),
        }
    }
}
