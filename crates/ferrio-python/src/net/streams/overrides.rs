//! Which of a stream class's methods a Python subclass replaced: those go through Python, the others don't.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::PyType;

/// One bit a method of a list of names.
#[derive(Clone, Copy)]
pub(super) struct Overrides(u8);

impl Overrides {
    /// None: the class itself.
    pub(super) const NONE: Self = Self(0);

    /// Which of `names` the subclass `class` of `T` overrides.
    pub(super) fn of_class<T: PyTypeInfo>(class: &Bound<'_, PyType>, names: &[&str]) -> PyResult<Self> {
        let ours = class.py().get_type::<T>();
        if class.is(&ours) {
            return Ok(Self::NONE);
        }
        let mut bits = 0;
        for (place, name) in names.iter().enumerate() {
            if !class.getattr(*name)?.is(&ours.getattr(*name)?) {
                bits |= 1 << place;
            }
        }
        Ok(Self(bits))
    }

    /// Whether the name at `place` is overridden.
    #[inline]
    pub(super) fn has(self, place: u8) -> bool {
        self.0 & (1 << place) != 0
    }
}
