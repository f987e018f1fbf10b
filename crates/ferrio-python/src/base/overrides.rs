//! Which of a native class's methods a program replaced, in a subclass or with an attribute of the instance.
//!
//! Rust code that would call such a method does its work directly if it wasn't replaced. A class lists the methods
//! that matter as [`Names`], with one bit for each or for each family.

use std::sync::atomic::{AtomicU8, Ordering};

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyType};

use crate::base::ffi::Cast;

/// Methods and their bits.
pub(crate) type Names = &'static [(&'static str, u8)];

/// The bits of the replaced methods of one object.
#[derive(Debug)]
pub(crate) struct Overrides(AtomicU8);

impl Overrides {
    /// Nothing is replaced: an object of the class itself.
    pub(crate) const fn none() -> Self {
        Self(AtomicU8::new(0))
    }

    /// What the subclass `class` of `T` replaces.
    pub(crate) fn of_class<T: PyTypeInfo>(class: &Bound<'_, PyType>, names: Names) -> PyResult<Self> {
        Ok(Self(AtomicU8::new(class_bits::<T>(class, names)?)))
    }

    /// Whether any of `bits` is replaced.
    #[inline]
    pub(crate) fn has(&self, bits: u8) -> bool {
        self.0.load(Ordering::Relaxed) & bits != 0
    }

    /// Notes an attribute set on the instance.
    pub(crate) fn note(&self, name: &Bound<'_, PyAny>, names: Names) {
        if let Some(name) = name.as_instance::<PyString>() {
            let name = name.to_string_lossy();
            let bit = names.iter().find(|(known, _)| *known == name).map_or(0, |(_, bit)| *bit);
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Checks the class and the attributes of `object` again, after an attribute was deleted.
    pub(crate) fn refresh<T: PyTypeInfo>(&self, object: &Bound<'_, PyAny>, names: Names) -> PyResult<()> {
        let mut bits = class_bits::<T>(&object.get_type(), names)?;
        let attributes = object.getattr("__dict__")?;
        for (name, bit) in names {
            if attributes.contains(name)? {
                bits |= bit;
            }
        }
        self.0.store(bits, Ordering::Relaxed);
        Ok(())
    }
}

fn class_bits<T: PyTypeInfo>(class: &Bound<'_, PyType>, names: Names) -> PyResult<u8> {
    let ours = class.py().get_type::<T>();
    let mut bits = 0;
    if class.is(&ours) {
        return Ok(bits);
    }
    for (name, bit) in names {
        if !class.getattr(*name)?.is(&ours.getattr(*name)?) {
            bits |= bit;
        }
    }
    Ok(bits)
}
