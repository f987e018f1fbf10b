//! `File`: an asynchronous file, and which operation has it.
//!
//! Invariant: while `busy`, exactly one operation, or its job in a thread, has the file. It calls `leave` when it is
//! done, whether or not anybody still waits for it.

use ferrio_engine::files;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple, PyType};
use std::collections::VecDeque;
use std::sync::Arc;

use super::bare::Bare;
use super::call::{FileCall, Request};
use super::collector::{Collected, Collector};
use super::opening::How;
use crate::base::class::Class;
use crate::base::ffi::Guarded;
use crate::base::ffi::finalize::{Dying, Finalize, general};
use crate::base::gc::{collected, gc};
use crate::base::imports;
use crate::core::operation::unawaited::Unawaited;
use crate::core::operation::{self, Operation, immediate};

/// What does a file's work.
pub(super) enum Body {
    /// The descriptor alone.
    Bare(Bare),
    /// The object that `io.open` made.
    Standard(Py<PyAny>),
    /// It was closed before it needed an object.
    Closed,
}

gc!(match Body {
    Self::Standard(object) => (object),
    _ => (),
});

/// What is known about a standard object without calling it.
#[derive(Clone)]
pub(super) enum Kind {
    /// Reads a regular file through a buffer and writes nothing.
    Reader(i32),
    /// Writes a regular file through a buffer and reads nothing.
    Writer(Arc<Collected>),
    /// Anything else.
    Other,
}

struct State {
    busy: bool,
    waiters: VecDeque<Py<Operation>>,
    body: Body,
    kind: Kind,
    /// How it was opened; `None` if the standard library opened it.
    how: Option<Arc<How>>,
}

gc!(State { waiters, body, how } not { busy, kind });

/// An asynchronous file, as returned by `ferrio.open()`.
///
/// It has the methods of the file that the built-in `open()` returns for the same arguments, as awaitables;
/// `fileno()`, `detach()` and the attributes are not asynchronous.
#[pyclass(frozen, weakref, module = "ferrio")]
pub(crate) struct File {
    state: Guarded<State>,
}

collected!(File { state });

impl Class for File {}

impl File {
    /// A file without an object of the standard library.
    pub(super) fn bare(bare: Bare, how: Arc<How>) -> Self {
        Self::new(Body::Bare(bare), Kind::Other, Some(how))
    }

    /// A file around an object that `io.open` made.
    pub(super) fn standard(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let kind = Kind::of(object)?;
        Ok(Self::new(Body::Standard(object.clone().unbind()), kind, None))
    }

    fn new(body: Body, kind: Kind, how: Option<Arc<How>>) -> Self {
        Self { state: Guarded::new(State { busy: false, waiters: VecDeque::new(), body, kind, how }) }
    }

    /// Takes the file for `operation`. `false`: another operation has it, and `operation` will be woken at its turn.
    pub(super) fn enter(&self, operation: &Bound<'_, Operation>) -> bool {
        let entry = operation.clone().unbind();
        let unneeded = self.state.with(operation.py(), |state| {
            if state.busy {
                entry.get().park(operation.py());
                state.waiters.push_back(entry);
                None
            } else {
                state.busy = true;
                Some(entry)
            }
        });
        unneeded.is_some()
    }

    /// The operation no longer waits. `false` if it wasn't in the queue: then it has been given the file.
    pub(super) fn give_up(&self, operation: &Bound<'_, Operation>) -> bool {
        let removed = self.state.with(operation.py(), |state| {
            let place = state.waiters.iter().position(|waiter| waiter.is(operation));
            place.and_then(|place| state.waiters.remove(place))
        });
        removed.is_some()
    }

    /// Passes the file to the next operation that waits for it.
    pub(super) fn leave(&self, py: Python<'_>) -> PyResult<()> {
        loop {
            let next = self.state.with(py, |state| {
                let next = state.waiters.pop_front();
                state.busy = next.is_some();
                next
            });
            let Some(next) = next else { return Ok(()) };
            if operation::wake(next.bind(py))? {
                return Ok(());
            }
        }
    }

    /// Calls `look` with the body if it is a bare descriptor.
    pub(super) fn with_bare<R>(&self, py: Python<'_>, look: impl FnOnce(&mut Bare) -> R) -> Option<R> {
        self.state.with(py, |state| match &mut state.body {
            Body::Bare(bare) => Some(look(bare)),
            Body::Standard(_) | Body::Closed => None,
        })
    }

    /// Takes the bare descriptor out, to close it.
    pub(super) fn take_bare(&self, py: Python<'_>) -> Option<Bare> {
        self.state.with(py, |state| match std::mem::replace(&mut state.body, Body::Closed) {
            Body::Bare(bare) => Some(bare),
            other => {
                state.body = other;
                None
            }
        })
    }

    /// Whether it was closed before it needed an object.
    pub(super) fn is_closed_bare(&self, py: Python<'_>) -> bool {
        self.state.with(py, |state| matches!(state.body, Body::Closed))
    }

    /// The standard object and its kind; made now if there is none.
    pub(super) fn object<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Kind)> {
        let known = self.state.with(py, |state| match &state.body {
            Body::Standard(object) => Some((object.clone_ref(py), state.kind.clone())),
            Body::Bare(_) | Body::Closed => None,
        });
        if let Some((object, kind)) = known {
            return Ok((object.into_bound(py), kind));
        }
        self.make_object(py)
    }

    #[cold]
    fn make_object<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, Kind)> {
        let how = self.state.with(py, |state| state.how.clone());
        let how = how.expect("a file that the standard library opened has its object");
        let object = match self.take_bare(py).map(Bare::into_opened) {
            Some(Ok(opened)) => how.standard_object(py, opened)?,
            Some(Err(bare)) => {
                self.state.with(py, |state| state.body = Body::Bare(bare));
                return Err(pyo3::exceptions::PyRuntimeError::new_err(
                    "the file is being read: await that before you detach it",
                ));
            }
            None => how.closed_object(py)?,
        };
        let kind = Kind::of(&object)?;
        let entry = Body::Standard(object.clone().unbind());
        let old = self.state.with(py, |state| {
            state.kind = kind.clone();
            std::mem::replace(&mut state.body, entry)
        });
        drop(old);
        Ok((object, kind))
    }

    fn attribute<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let busy = self.state.with(py, |state| match (&state.body, &state.how) {
            (Body::Bare(_), Some(how)) if state.busy => Some(how.clone()),
            _ => None,
        });
        match busy {
            // A thread reads from the descriptor, so no object may take it over now.
            Some(how) => how.attribute_of_busy(py, name),
            None => self.object(py)?.0.getattr(name),
        }
    }
}

impl Kind {
    fn of(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let is = |object: &Bound<'_, PyAny>, class: &imports::Import| {
            Ok::<_, PyErr>(object.get_type().is(class.get(py)?))
        };
        let buffer = if is(object, &imports::TEXT_IO_WRAPPER)? {
            object.getattr(intern!(py, "buffer"))?
        } else {
            object.clone()
        };
        let reads = is(&buffer, &imports::BUFFERED_READER)?;
        if !reads && !is(&buffer, &imports::BUFFERED_WRITER)? {
            return Ok(Self::Other);
        }
        let raw = buffer.getattr(intern!(py, "raw"))?;
        if !is(&raw, &imports::FILE_IO)? || raw.getattr(intern!(py, "closed"))?.is_truthy()? {
            return Ok(Self::Other);
        }
        // A method that somebody put into the object does the work, as in the standard library. A name is always there.
        if raw.getattr(intern!(py, "__dict__"))?.len()? > 1 {
            return Ok(Self::Other);
        }
        let fd: i32 = raw.call_method0(intern!(py, "fileno"))?.extract()?;
        if !files::is_regular(fd) {
            return Ok(Self::Other);
        }
        if reads {
            return Ok(Self::Reader(fd));
        }
        let collected = Collected::new(fd);
        raw.setattr(intern!(py, "write"), Bound::new(py, Collector { collected: collected.clone() })?)?;
        Ok(Self::Writer(collected))
    }
}

/// Methods that call the standard object, in a place where the call can wait.
macro_rules! calls {
    ($($(#[$note:meta])* $method:ident $name:literal;)*) => {
        #[pymethods]
        impl File {
            $(
                $(#[$note])*
                #[pyo3(signature = (*args, **kwargs))]
                fn $method(slf: Bound<'_, Self>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>>) -> Unawaited {
                    let name = intern!(slf.py(), stringify!($method)).clone().unbind();
                    FileCall::operation(slf, Request::Call { name, shown: $name, args, kwargs })
                }
            )*
        }
    };
}

calls! {
    /// Write what is buffered to the file.
    flush "File.flush";
    /// Return whether the file is a terminal.
    isatty "File.isatty";
    /// Return up to `n` buffered bytes, or a few more; the position stays.
    peek "File.peek";
    /// Read with at most one system call.
    read1 "File.read1";
    /// Return whether the file can be read.
    readable "File.readable";
    /// Read to the end (unbuffered files).
    readall "File.readall";
    /// Read into a writable buffer; return the number of bytes.
    readinto "File.readinto";
    /// As `readinto`, with at most one system call.
    readinto1 "File.readinto1";
    /// Read a line, but at most `size` of it.
    readline "File.readline";
    /// Read all lines, or about `hint` bytes or characters of them.
    readlines "File.readlines";
    /// Change encoding, errors, newline or buffering of a text file.
    reconfigure "File.reconfigure";
    /// Move the position; return the new one.
    seek "File.seek";
    /// Return whether the position can be moved.
    seekable "File.seekable";
    /// Return the position.
    tell "File.tell";
    /// Truncate the file at its position, or at the given one; return the new size.
    truncate "File.truncate";
    /// Return whether the file can be written.
    writable "File.writable";
    /// Write bytes or text; return how much was written.
    write "File.write";
    /// Write everything that an iterable yields.
    writelines "File.writelines";
}

#[pymethods]
impl File {
    /// The generic alias `File[str]` or `File[bytes]`, for annotations (PEP 585).
    #[classmethod]
    fn __class_getitem__<'py>(
        class: &Bound<'py, PyType>,
        item: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        imports::GENERIC_ALIAS.get(class.py())?.call1((class, item))
    }

    /// Read up to `size` bytes or characters, or to the end.
    #[pyo3(signature = (*args, **kwargs))]
    fn read(slf: Bound<'_, Self>, args: Py<PyTuple>, kwargs: Option<Py<PyDict>>) -> Unawaited {
        FileCall::operation(slf, Request::Read { args, kwargs })
    }

    /// Write what is buffered and close the file. Closing it again does nothing.
    pub(super) fn close(slf: Bound<'_, Self>) -> Unawaited {
        FileCall::operation(slf, Request::Close)
    }

    fn __aiter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __anext__(slf: Bound<'_, Self>) -> Unawaited {
        FileCall::operation(slf, Request::Next)
    }

    fn __aenter__(slf: &Bound<'_, Self>) -> Unawaited {
        immediate::call(slf.as_any(), None, "File.__aenter__", |file, _none| {
            let py = file.py();
            if file.getattr(intern!(py, "closed"))?.is_truthy()? {
                return Err(pyo3::exceptions::PyValueError::new_err("I/O operation on closed file."));
            }
            Ok(file.clone())
        })
    }

    #[pyo3(signature = (*exception))]
    pub(super) fn __aexit__(slf: Bound<'_, Self>, exception: &Bound<'_, PyTuple>) -> PyResult<Unawaited> {
        let py = slf.py();
        let object = slf.get().state.with(py, |state| match (&state.body, &state.kind) {
            (Body::Standard(object), Kind::Other) => Some(object.bind(py).clone()),
            _ => None,
        });
        let name = intern!(py, "__exit__");
        // The end of the block may do more than close: a named temporary file is removed.
        if object.map_or(Ok(false), |object| object.hasattr(name))? {
            let (name, args) = (name.clone().unbind(), exception.clone().unbind());
            let request = Request::Call { name, shown: "File.__aexit__", args, kwargs: None };
            return Ok(FileCall::operation(slf, request));
        }
        Ok(Self::close(slf))
    }

    /// Return the descriptor's number.
    fn fileno<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(fd) = self.with_bare(py, |bare| bare.fd()) {
            return Ok(fd.into_pyobject(py)?.into_any());
        }
        self.object(py)?.0.call_method0(intern!(py, "fileno"))
    }

    /// Detach the layer below (a text file's buffer, a buffer's raw file) and return it, a synchronous file.
    fn detach<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let (object, _) = self.object(py)?;
        let detached = object.call_method0(intern!(py, "detach"))?;
        self.state.with(py, |state| state.kind = Kind::Other);
        Ok(detached)
    }

    /// Whether the file is closed.
    #[getter]
    fn closed<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let known = self.state.with(py, |state| match state.body {
            Body::Bare(_) => Some(false),
            Body::Closed => Some(true),
            Body::Standard(_) => None,
        });
        match known {
            Some(closed) => Ok(pyo3::types::PyBool::new(py, closed).to_owned().into_any()),
            None => self.object(py)?.0.getattr(intern!(py, "closed")),
        }
    }

    /// The other attributes of the built-in file: `name`, `mode`, `encoding`, `errors`, `newlines`, `buffer`, `raw`,
    /// `line_buffering`, `write_through`.
    fn __getattr__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyString>) -> PyResult<Bound<'py, PyAny>> {
        let text = name.to_string_lossy();
        match &*text {
            "name" | "mode" | "encoding" | "errors" | "newlines" | "buffer" | "raw" | "line_buffering"
            | "write_through" => self.attribute(py, name),
            _ => Err(pyo3::exceptions::PyAttributeError::new_err(format!(
                "'File' object has no attribute '{text}'"
            ))),
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let py = slf.py();
        let name =
            slf.get().attribute(py, intern!(py, "name")).and_then(|name| name.repr().map(|r| r.to_string()));
        let closed = if slf.get().closed(py)?.is_truthy()? { " closed" } else { "" };
        Ok(format!("<ferrio.File {}{closed}>", name.unwrap_or_else(|_| "detached".into())))
    }

    fn __clear__(&self, py: Python<'_>) {
        let cleared = self.state.with(py, |state| {
            (std::mem::take(&mut state.waiters), std::mem::replace(&mut state.body, Body::Closed))
        });
        drop(cleared);
    }
}

impl Finalize for File {
    fn wants_finalize(dying: &Dying<'_, Self>) -> bool {
        dying.get().with_bare(dying.py(), |_| ()).is_some()
    }

    /// The standard library's objects warn themselves.
    fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        let how = slf.get().state.with(py, |state| state.how.clone());
        let bare = slf.get().take_bare(py);
        let name = match &how {
            Some(how) => how.name(py).repr()?.to_string(),
            None => String::new(),
        };
        drop(bare);
        let category = py.get_type::<pyo3::exceptions::PyResourceWarning>();
        let keywords = PyDict::new(py);
        keywords.set_item(intern!(py, "source"), slf)?;
        let message = format!("unclosed file <ferrio.File {name}>");
        imports::WARN.get(py)?.call((message, category, 1), Some(&keywords))?;
        Ok(())
    }

    general!();
}
