//! The name by which the interpreter's own error messages call a class.

use pyo3::ffi;
use pyo3::{PyTypeInfo, Python};

/// Lets messages say "object Lock can't be used in 'await' expression", as they do of a class made in Python, and not
/// "object ferrio.Lock". What `__name__` and `__module__` say stays as it is. Called while the module is made.
pub(crate) fn shorten<T: PyTypeInfo>(py: Python<'_>) {
    let class = T::type_object_raw(py);
    // SAFETY: attached; `tp_name` is a NUL-terminated string that lives as long as the class, and so does its tail. A
    // heap type frees the string by another pointer, which it keeps for that (`_ht_tpname`, since 3.11).
    unsafe {
        let name = (*class).tp_name;
        let dot = std::ffi::CStr::from_ptr(name).to_bytes().iter().rposition(|byte| *byte == b'.');
        if let Some(dot) = dot {
            (*class).tp_name = name.add(dot + 1);
        }
        ffi::PyType_Modified(class);
    }
}
