//! How a class or a function of the module is declared: once, in its own file.
//!
//! A class implements `Class`, and a trait for each feature that PyO3 doesn't offer: `Finalize`, `Awaitable`,
//! `Coroutine`, `Recycle`, `Chained`, `End`, `Functions`. `lib.rs` lists the class, and `registration!` finds out
//! which of these traits it implements. Only a `Class` can be listed, and tests/repo fails if a `#[pyclass]` or a
//! `#[pyfunction]` isn't listed.

use std::marker::PhantomData;

use pyo3::prelude::*;
use pyo3::types::PyType;
use pyo3::{PyClass, PyTypeInfo};

use super::ffi::finalize::{self, Finalize};
use super::ffi::inherit::inherit;
use super::ffi::recycle::{self, End, Recycle};
use super::ffi::slots::{self, Awaitable, Coroutine};
use super::ffi::trashcan::{self, Chained};
use super::ffi::{immortal, names};
use super::functions::{self, Functions};

/// A class of asyncio, by its module and its name. It is the standard library's own, whatever `ferrio.install()`
/// replaces it with later.
pub(crate) type Standard = (&'static str, &'static str);

/// A class that `lib.rs` lists.
pub(crate) trait Class: PyClass {
    /// The asyncio class of which this one becomes a subclass (see `ffi/inherit.rs`).
    const BELOW: Option<Standard> = None;

    /// Whether the interpreter's own messages name the class without its module, as for a class made in Python.
    const SHORT_NAME: bool = false;
}

/// One step of registering a class in the module.
pub(crate) type Step = fn(&Bound<'_, PyModule>) -> PyResult<()>;

/// What is done for a class while the module is made, in this order.
pub(crate) struct Registration {
    /// Makes the class; done for all classes before the steps of any, since a class copies its base's slots.
    pub(crate) make: Step,
    pub(crate) steps: [Step; 10],
}

/// Registers every class; a class must come after its base.
pub(crate) fn register(module: &Bound<'_, PyModule>, classes: &[Registration]) -> PyResult<()> {
    classes.iter().try_for_each(|class| (class.make)(module))?;
    classes.iter().flat_map(|class| &class.steps).try_for_each(|step| step(module))
}

/// The steps that `T`'s traits need. If `T` meets the bound of an `impl`, its associated constant is found before
/// that of [`Nothing`].
pub(crate) struct Steps<T>(PhantomData<T>);

/// The step of a trait that a class doesn't implement.
pub(crate) trait Nothing {
    const FINALIZER: Step = nothing;
    const AWAITABLE: Step = nothing;
    const COROUTINE: Step = nothing;
    const RECYCLE: Step = nothing;
    const CHAINED: Step = nothing;
    const END: Step = nothing;
    const FUNCTIONS: Step = nothing;
}

impl<T> Nothing for Steps<T> {}

fn nothing(_module: &Bound<'_, PyModule>) -> PyResult<()> {
    Ok(())
}

impl<T: Class> Steps<T> {
    pub(crate) const SHOWN: Step = |module| module.add_class::<T>();
    /// Made now, although nobody can see it: PyO3 panics if memory is short when it makes one at its first use.
    pub(crate) const INTERNAL: Step = |module| {
        T::type_object(module.py());
        Ok(())
    };
    pub(crate) const BELOW: Step = |module| match T::BELOW {
        Some((file, name)) => {
            let standard = module.py().import(file)?.getattr(name)?.cast_into::<PyType>()?;
            inherit(&T::type_object(module.py()), &standard)
        }
        None => Ok(()),
    };
    pub(crate) const SHORT_NAME: Step = |module| {
        if T::SHORT_NAME {
            names::shorten::<T>(module.py());
        }
        Ok(())
    };
    pub(crate) const IMMORTAL: Step = |module| {
        immortal::class::<T>(module.py());
        Ok(())
    };
}

impl<T: Finalize + PyTypeInfo> Steps<T> {
    pub(crate) const FINALIZER: Step = |module| {
        finalize::install::<T>(module.py());
        Ok(())
    };
}

impl<T: Awaitable + PyTypeInfo> Steps<T> {
    pub(crate) const AWAITABLE: Step = |module| {
        slots::install::<T>(module.py());
        Ok(())
    };
}

impl<T: Coroutine + PyTypeInfo> Steps<T> {
    pub(crate) const COROUTINE: Step = |module| slots::install_coroutine::<T>(module.py());
}

impl<T: Recycle + PyTypeInfo> Steps<T> {
    pub(crate) const RECYCLE: Step = |module| {
        recycle::install::<T>(module.py());
        Ok(())
    };
}

impl<T: Chained + PyTypeInfo> Steps<T> {
    pub(crate) const CHAINED: Step = |module| {
        trashcan::install::<T>(module.py());
        Ok(())
    };
}

impl<T: End + PyTypeInfo> Steps<T> {
    pub(crate) const END: Step = |module| {
        recycle::install_end::<T>(module.py());
        Ok(())
    };
}

impl<T: Functions> Steps<T> {
    pub(crate) const FUNCTIONS: Step = functions::of_class::<T>;
}

/// The [`Registration`] of a class: `SHOWN` if the module exports it, else `INTERNAL`.
macro_rules! registration {
    ($make:ident $class:ty) => {{
        #[allow(unused_imports, reason = "a class may implement every trait")]
        use $crate::base::class::Nothing as _;
        type Steps = $crate::base::class::Steps<$class>;
        $crate::base::class::Registration {
            make: Steps::$make,
            steps: [
                Steps::BELOW,
                Steps::SHORT_NAME,
                Steps::FINALIZER,
                Steps::AWAITABLE,
                Steps::COROUTINE,
                Steps::RECYCLE,
                Steps::CHAINED,
                Steps::END,
                Steps::FUNCTIONS,
                Steps::IMMORTAL,
            ],
        }
    }};
}
pub(crate) use registration;

/// The function `register`, which fills the module: with exported classes, internal classes, functions that look as
/// if `def` had made them, and built-in ones. A class must come after its base.
macro_rules! surface {
    (
        classes: $($shown:path),* ;
        internal classes: $($internal:path),* ;
        functions: $($function:path),* ;
        built-in functions: $($builtin:path),* ;
    ) => {
        fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
            use $crate::base::class::registration;
            use $crate::base::functions::{self, declared};

            $crate::base::class::register(
                module,
                &[$(registration!(SHOWN $shown),)* $(registration!(INTERNAL $internal)),*],
            )?;
            for declared in [$($function,)* $(declared!($builtin)),*] {
                functions::register(module, &declared)?;
            }
            Ok(())
        }
    };
}
pub(crate) use surface;
