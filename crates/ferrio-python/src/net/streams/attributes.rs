//! Attributes of asyncio's stream classes that libraries read and set, written once for all classes.

/// Makes a `#[pymethods]` block with a getter and a setter for each field of the class's state: `name: setter,
/// field`. Each field is an optional reference to any object.
macro_rules! optional_attributes {
    ($class:ident, $state:ident; $($(#[$doc:meta])* $name:ident: $setter:ident, $field:ident);* $(;)?) => {
        #[pymethods]
        impl $class {
            $(
                $(#[$doc])*
                #[getter]
                pub(super) fn $name(&self, py: Python<'_>) -> Option<Py<PyAny>> {
                    self.$state.with(py, |state| state.$field.as_ref().map(|known| known.clone_ref(py)))
                }

                #[setter($name)]
                pub(super) fn $setter(&self, py: Python<'_>, value: Option<Py<PyAny>>) {
                    let old = self.$state.with(py, |state| std::mem::replace(&mut state.$field, value));
                    drop(old);
                }
            )*
        }
    };
}

/// The same for flags: any value may be set, and its truth counts.
macro_rules! flag_attributes {
    ($class:ident, $state:ident; $($(#[$doc:meta])* $name:ident: $setter:ident, $field:ident);* $(;)?) => {
        #[pymethods]
        impl $class {
            $(
                $(#[$doc])*
                #[getter]
                fn $name(&self, py: Python<'_>) -> bool {
                    self.$state.with(py, |state| state.$field)
                }

                #[setter($name)]
                fn $setter(
                    &self,
                    py: Python<'_>,
                    #[pyo3(from_py_with = $crate::base::arguments::truth)] value: bool,
                ) {
                    self.$state.with(py, |state| state.$field = value);
                }
            )*
        }
    };
}

pub(super) use {flag_attributes, optional_attributes};
