//! The name of a class in the interpreter's own error messages.

use pyo3::ffi;
use pyo3::{PyTypeInfo, Python};

/// Makes messages say "object Lock can't be used in 'await' expression", as for a class made in Python, instead of
/// "object ferrio.Lock". `__name__` and `__module__` stay as they are. Called while the module is made.
pub(crate) fn shorten<T: PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: attached; `tp_name` is a NUL-terminated string that lives as long as the class, and so does its tail. A
    // heap type frees the string through another pointer, which it keeps for that (`_ht_tpname`, since 3.11).
    unsafe {
        let name = (*class).tp_name;
        let dot = std::ffi::CStr::from_ptr(name).to_bytes().iter().rposition(|byte| *byte == b'.');
        if let Some(dot) = dot {
            (*class).tp_name = name.add(dot + 1);
        }
        ffi::PyType_Modified(class);
    }
}
