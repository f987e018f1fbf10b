//! The methods and private attributes that are the same in several classes of transports, written once.
//!
//! Each macro makes one `#[pymethods]` block for a class whose field `core` is a `Core`. The private attributes are
//! those of asyncio that libraries read. They are copies: changing one changes nothing.

use pyo3::prelude::*;

use super::core::Transport;
use super::{lifetime, report};

/// `transport.pause_reading()`: does nothing if it is paused or closing.
pub(super) fn pause_reading<T: Transport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let py = transport.py();
    let core = transport.get().core();
    if !core.state.with(py, |state| state.is_reading() && !std::mem::replace(&mut state.paused, true)) {
        return Ok(());
    }
    T::settle_interest(transport)?;
    report::debug(core.event_loop.bind(py), "%r pauses reading", transport.as_any())
}

/// `transport.resume_reading()`: does nothing unless it is paused.
pub(super) fn resume_reading<T: Transport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let py = transport.py();
    let core = transport.get().core();
    if !core.state.with(py, |state| !state.closing && std::mem::replace(&mut state.paused, false)) {
        return Ok(());
    }
    T::settle_interest(transport)?;
    report::debug(core.event_loop.bind(py), "%r resumes reading", transport.as_any())
}

/// The finalizer's work for a transport that is dropped open: warns, and closes it.
pub(super) fn die_open<T: Transport>(transport: &Bound<'_, T>) -> PyResult<()> {
    let warned = report::unclosed(transport.as_any());
    warned.and(lifetime::end(transport))
}

/// What every transport has.
macro_rules! transport_methods {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Return whether the transport is closing or closed.
            pub(crate) fn is_closing(&self, py: Python<'_>) -> bool {
                self.core.is_closing(py)
            }

            /// Make `protocol` the receiver of what comes from now on.
            #[pyo3(signature = (protocol))]
            fn set_protocol(&self, protocol: &Bound<'_, PyAny>) -> PyResult<()> {
                self.core.set_protocol(protocol)
            }

            /// Return the protocol; `None` after the connection is lost.
            fn get_protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
                self.core.protocol(py)
            }

            /// The protocol; `None` after the connection is lost.
            #[getter]
            fn _protocol<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
                self.core.protocol(py)
            }

            /// The event loop; `None` after the transport is closed.
            #[getter]
            fn _loop<'py>(&self, py: Python<'py>) -> Option<Bound<'py, $crate::core::event_loop::Loop>> {
                self.core.is_open(py).then(|| self.core.event_loop.bind(py).clone())
            }

            fn __traverse__(&self, visit: pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
                $crate::base::gc::Traverse::traverse(&self.core, &visit)
            }

            fn __clear__(&self, py: Python<'_>) {
                self.core.clear(py);
            }
        }
    };
}

/// What a transport with a descriptor has, and a finalizer that closes it.
macro_rules! descriptor_methods {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Whether `close()` was called or the connection failed.
            #[getter]
            fn _closing(&self, py: Python<'_>) -> bool {
                self.core.is_closing(py)
            }
        }

        impl $crate::base::ffi::finalize::Finalize for $class {
            fn wants_finalize(dying: &$crate::base::ffi::finalize::Dying<'_, Self>) -> bool {
                dying.get().core.is_open(dying.py())
            }

            fn finalize(slf: &Bound<'_, Self>) -> PyResult<()> {
                $crate::net::transport::methods::die_open(slf)
            }

            $crate::base::ffi::finalize::general!();
        }
    };
}

/// The dict for the `get_extra_info` of the base class.
macro_rules! extra_attribute {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// The dict for the inherited `get_extra_info`.
            #[getter]
            fn _extra(&self, py: Python<'_>) -> Py<pyo3::types::PyDict> {
                self.core.extra.clone_ref(py)
            }
        }
    };
}

/// What a transport that reads has.
macro_rules! reading_methods {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Return whether arriving data goes to the protocol: not while paused or closing.
            fn is_reading(&self, py: Python<'_>) -> bool {
                self.core.state.with(py, |state| state.is_reading())
            }

            /// Stop reading until `resume_reading()`. Does nothing if reading is paused or the transport is closing.
            fn pause_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
                $crate::net::transport::methods::pause_reading(slf)
            }

            /// Read again. Does nothing unless reading is paused.
            fn resume_reading(slf: &Bound<'_, Self>) -> PyResult<()> {
                $crate::net::transport::methods::resume_reading(slf)
            }

            /// Whether `pause_reading()` was called.
            #[getter]
            fn _paused(&self, py: Python<'_>) -> bool {
                self.core.state.with(py, |state| state.paused)
            }
        }
    };
}

/// What a transport that writes has.
macro_rules! writing_methods {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// Set how many bytes may wait to be sent: above `high` the protocol's `pause_writing()` is called, at
            /// `low` or below its `resume_writing()`. The defaults are 64 KiB and a quarter of `high`.
            ///
            /// Raises `ValueError` unless `high >= low >= 0`.
            #[pyo3(signature = (high = None, low = None))]
            fn set_write_buffer_limits(
                slf: &Bound<'_, Self>,
                high: Option<$crate::base::arguments::SaturatingInt>,
                low: Option<$crate::base::arguments::SaturatingInt>,
            ) -> PyResult<()> {
                $crate::net::transport::flow::set_limits(slf, high, low)
            }

            /// Return the marks as `(low, high)`, in bytes.
            fn get_write_buffer_limits(&self, py: Python<'_>) -> (usize, usize) {
                (self._low_water(py), self._high_water(py))
            }

            /// Return how many bytes wait to be sent.
            fn get_write_buffer_size(&self, py: Python<'_>) -> usize {
                self.core.state.with(py, |state| Self::unsent(&state.own))
            }

            /// More waiting bytes than this pause the protocol.
            #[getter]
            fn _high_water(&self, py: Python<'_>) -> usize {
                self.core.state.with(py, |state| Self::marks(&mut state.own).high())
            }

            /// This many waiting bytes, or fewer, let the protocol go on.
            #[getter]
            fn _low_water(&self, py: Python<'_>) -> usize {
                self.core.state.with(py, |state| Self::marks(&mut state.own).low())
            }

            /// Whether the protocol was told to pause writing.
            #[getter]
            fn _protocol_paused(&self, py: Python<'_>) -> bool {
                self.core.state.with(py, |state| Self::marks(&mut state.own).is_paused())
            }
        }
    };
}

/// What the transport of a socket has, and a `repr` that shows what it waits for.
macro_rules! socket_methods {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// The number of the descriptor, even if it is closed.
            #[getter]
            fn _sock_fd(&self) -> i32 {
                self.fd
            }

            /// 0 until `connection_lost` is scheduled; then 1 plus the number of sends since.
            #[getter]
            fn _conn_lost(&self, py: Python<'_>) -> u32 {
                self.core.state.with(py, |state| state.lost_writes.saturating_add(u32::from(state.ended)))
            }

            /// Whether there is a protocol.
            #[getter]
            fn _protocol_connected(&self, py: Python<'_>) -> bool {
                self.core.protocol(py).is_some()
            }

            /// The most that one read takes, in bytes.
            #[getter]
            fn max_size(&self) -> usize {
                $crate::core::event_loop::receive::LARGEST_RECEIVED
            }

            fn __repr__(&self, py: Python<'_>) -> String {
                let (closed, closing, reading, writing, size) = self.core.state.with(py, |state| {
                    let size = Self::unsent(&state.own);
                    (!state.own.is_open(), state.closing, state.wants_input(), state.waits_to_send(), size)
                });
                let stage = match (closed, closing) {
                    (true, _) => "closed ",
                    (false, true) => "closing ",
                    (false, false) => "",
                };
                let (name, fd) = (stringify!($class), self.fd);
                if closed || self.core.event_loop.get().closed() {
                    return format!("<{name} {stage}fd={fd}>");
                }
                let word = |polls: bool| if polls { "polling" } else { "idle" };
                let (read, write) = (word(reading), word(writing));
                format!("<{name} {stage}fd={fd} read={read} write=<{write}, bufsize={size}>>")
            }
        }
    };
}

/// What the transport of a pipe has.
macro_rules! pipe_methods {
    ($class:ident) => {
        #[pymethods]
        impl $class {
            /// The file object; `None` after it is closed. A program that sets it to `None` owns the file again.
            #[getter]
            fn _pipe(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                self.core.state.with(py, |state| state.own.pipe.as_ref().map(|pipe| pipe.clone_ref(py)))
            }

            #[setter(_pipe)]
            fn set_pipe(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
                let old = self.core.state.with(py, |state| std::mem::replace(&mut state.own.pipe, value));
                drop(old);
            }

            /// The number of the descriptor, even if it is closed.
            #[getter]
            fn _fileno(&self) -> i32 {
                self.fd
            }

            fn __repr__(&self, py: Python<'_>) -> String {
                let (closed, closing, does) = self
                    .core
                    .state
                    .with(py, |state| (!state.own.is_open(), state.closing, state.own.end.shown()));
                let (stage, does) = match (closed, closing) {
                    (true, _) => ("closed ", "closed".to_owned()),
                    // A closed loop watches nothing, although the pipe is still open.
                    (false, true) if self.core.event_loop.get().closed() => ("closing ", "open".to_owned()),
                    (false, false) if self.core.event_loop.get().closed() => ("", "open".to_owned()),
                    (false, true) => ("closing ", does),
                    (false, false) => ("", does),
                };
                format!("<{} {stage}fd={} {does}>", stringify!($class), self.fd)
            }
        }
    };
}

pub(crate) use {
    descriptor_methods, extra_attribute, pipe_methods, reading_methods, socket_methods, transport_methods,
    writing_methods,
};
