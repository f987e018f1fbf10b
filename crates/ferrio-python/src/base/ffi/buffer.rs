//! The bytes of any bytes-like object (`bytes`, `bytearray`, `memoryview`, `array`...), held across turns of the
//! loop.

use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;

/// A C-contiguous view of an object's memory. The object can't be resized while the view exists.
///
/// The collector doesn't see the reference inside; a cycle through it lives until the view is dropped.
pub(crate) struct Buffer {
    // Boxed: an exporter may point into the view itself.
    view: Box<ffi::Py_buffer>,
}

// SAFETY: the view is only read and released while attached to the interpreter (`Python` token, `try_attach`).
unsafe impl Send for Buffer {}

impl Buffer {
    /// The bytes of `object`, to be read. Raises `TypeError` if it isn't bytes-like.
    pub(crate) fn to_read(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_SIMPLE)
    }

    /// The bytes of `object`, to be written. Raises `TypeError` if it isn't bytes-like, or is immutable.
    pub(crate) fn to_write(object: &Bound<'_, PyAny>) -> PyResult<Self> {
        Self::get(object, ffi::PyBUF_WRITABLE).map_err(|failure| {
            if !failure.is_instance_of::<PyBufferError>(object.py()) {
                return failure;
            }
            let class = object.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
            PyTypeError::new_err(format!("a read-write bytes-like object is required, not '{class}'"))
        })
    }

    fn get(object: &Bound<'_, PyAny>, flags: std::ffi::c_int) -> PyResult<Self> {
        let mut view = Box::new(ffi::Py_buffer::new());
        // SAFETY: attached, `object` is alive, and `view` is memory of the right type that stays where it is.
        if unsafe { ffi::PyObject_GetBuffer(object.as_ptr(), &mut *view, flags) } != 0 {
            return Err(PyErr::fetch(object.py()));
        }
        Ok(Self { view })
    }

    /// The number of bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        usize::try_from(self.view.len).unwrap_or(0)
    }

    /// Lets `look` read the bytes; it must not run Python code, which could change them. Without a GIL other threads
    /// could change them, so `look` gets a copy, unless the object is a `bytes`.
    #[inline]
    pub(crate) fn read<R>(&self, _py: Python<'_>, look: impl FnOnce(&[u8]) -> R) -> R {
        if self.len() == 0 {
            return look(&[]);
        }
        if cfg!(Py_GIL_DISABLED) && !self.is_immutable() {
            return look(&self.copied());
        }
        // SAFETY: the exporter keeps `len` bytes at `buf` until the release. Nobody writes to them. The bytes of a
        // `bytes` object never change. Others only change while another thread or Python code runs, which can't
        // happen meanwhile.
        look(unsafe { std::slice::from_raw_parts(self.view.buf.cast::<u8>(), self.len()) })
    }

    /// Lets `fill` write the bytes; it must not run Python code. A view that isn't writable appears empty. Without a
    /// GIL `fill` gets a copy, because other threads may use the object; the copy is written back afterwards.
    #[inline]
    pub(crate) fn write<R>(&mut self, _py: Python<'_>, fill: impl FnOnce(&mut [u8]) -> R) -> R {
        if self.len() == 0 || self.view.readonly != 0 {
            return fill(&mut []);
        }
        if cfg!(Py_GIL_DISABLED) {
            let mut copy = self.copied();
            let answer = fill(&mut copy);
            // SAFETY: the exporter granted a writable view of `len` bytes. Other threads may use them, as they may
            // while CPython's own functions write there; there is no Rust reference to them.
            unsafe { std::ptr::copy(copy.as_ptr(), self.view.buf.cast(), copy.len()) };
            return answer;
        }
        // SAFETY: as for `read`, and the exporter granted a writable view.
        fill(unsafe { std::slice::from_raw_parts_mut(self.view.buf.cast::<u8>(), self.len()) })
    }

    /// Whether the view shows the memory of a `bytes` object.
    fn is_immutable(&self) -> bool {
        // SAFETY: the view has a reference to its exporter, which is enough to read the type.
        unsafe { !self.view.obj.is_null() && ffi::PyBytes_CheckExact(self.view.obj) != 0 }
    }

    /// A copy of the bytes, without a Rust reference to them.
    fn copied(&self) -> Vec<u8> {
        let mut copy = Vec::with_capacity(self.len());
        // SAFETY: the exporter keeps `len` bytes at `buf`; the vector has room for them.
        unsafe {
            std::ptr::copy(self.view.buf.cast::<u8>(), copy.as_mut_ptr(), self.len());
            copy.set_len(self.len());
        }
        copy
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // If the interpreter has ended, there is nothing to give it back to.
        Python::try_attach(|_py| {
            // SAFETY: attached; the view was filled by PyObject_GetBuffer and is released once.
            unsafe { ffi::PyBuffer_Release(&mut *self.view) };
        });
    }
}
