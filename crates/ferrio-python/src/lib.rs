//! The extension module `ferrio._ferrio`: the whole Python surface on one page.

use pyo3::prelude::*;

#[pymodule]
mod _ferrio {}
