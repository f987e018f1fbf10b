//! What everything stands on: CPython's raw calls, arguments, errors, names of other modules, the looks of functions.
//!
//! Knows no class of ferrio.

pub(crate) mod error;
pub(crate) mod ffi;
pub(crate) mod functions;
pub(crate) mod given;
pub(crate) mod imports;
pub(crate) mod seconds;
pub(crate) mod whole;
