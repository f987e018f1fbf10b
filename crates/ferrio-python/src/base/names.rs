//! `intern!`: Python strings that the code names, made when the module is loaded.
//!
//! Later there may be no memory for one. PyO3's macro of this name makes each at its first use, and panics then.

use pyo3::prelude::*;
use pyo3::sync::Interned;

/// A name in the crate; `inventory` knows them all.
pub(crate) struct Name(pub(crate) &'static Interned);

inventory::collect!(Name);

/// The interned Python string of a literal.
macro_rules! intern {
    ($py:expr, $text:expr) => {{
        static NAME: pyo3::sync::Interned = pyo3::sync::Interned::new($text);
        inventory::submit!($crate::base::names::Name(&NAME));
        NAME.get($py)
    }};
}

/// Makes all of them.
pub(super) fn load(py: Python<'_>) {
    for Name(name) in inventory::iter::<Name> {
        name.get(py);
    }
}
