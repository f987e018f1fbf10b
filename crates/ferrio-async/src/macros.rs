//! An `async fn` as a Python function.

/// Makes Python functions of `async fn`s.
///
/// Each becomes a `#[pyfunction]` that returns a coroutine. Attributes, such as documentation and `#[pyo3(signature =
/// ...)]`, stay. After `in` stands a runtime ([`generic::Runtime`](crate::generic::Runtime)) whose threads run the
/// functions; without it the awaiting task polls them itself. The arguments are what the future owns: no references.
///
/// ```
/// use pyo3::prelude::*;
///
/// ferrio_async::async_pyfunction! {
///     /// Return the sum of both.
///     #[pyo3(signature = (a, b = 1))]
///     pub async fn add(a: i64, b: i64) -> PyResult<i64> {
///         Ok(a + b)
///     }
/// }
/// ```
///
/// With tokio:
///
/// ```
/// # #[cfg(feature = "tokio")] mod example {
/// use pyo3::prelude::*;
///
/// ferrio_async::async_pyfunction! {
///     in ferrio_async::tokio::Tokio;
///
///     /// Return the size of a file.
///     async fn size(path: String) -> PyResult<u64> {
///         Ok(tokio::fs::metadata(path).await?.len())
///     }
/// }
/// # }
/// ```
#[macro_export]
macro_rules! async_pyfunction {
    (in $runtime:ty; $($functions:tt)*) => {
        $crate::__async_pyfunction! { [$runtime] $($functions)* }
    };
    ($($functions:tt)*) => {
        $crate::__async_pyfunction! { [] $($functions)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __async_pyfunction {
    ([$($runtime:ty)?]) => {};
    (
        [$($runtime:ty)?]
        $(#[$attribute:meta])*
        $visibility:vis async fn $name:ident($($argument:ident: $type:ty),* $(,)?) -> $result:ty $body:block
        $($others:tt)*
    ) => {
        #[::pyo3::pyfunction]
        $(#[$attribute])*
        $visibility fn $name<'py>(
            py: ::pyo3::Python<'py>,
            $($argument: $type),*
        ) -> ::pyo3::PyResult<::pyo3::Bound<'py, ::pyo3::PyAny>> {
            struct Named;
            impl $crate::private::Name for Named {
                const NAME: &'static str = ::std::stringify!($name);
            }
            let future = async move {
                let result: $result = async move { $body }.await;
                result
            };
            $crate::__into_py!([$($runtime)?] Named, py, future)
        }
        $crate::__async_pyfunction! { [$($runtime)?] $($others)* }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __into_py {
    ([] $name:ident, $py:ident, $future:ident) => {
        $crate::private::named_future_into_py::<$name, _, _>($py, $future)
    };
    ([$runtime:ty] $name:ident, $py:ident, $future:ident) => {
        $crate::private::generic_named::<$runtime, $name, _, _>($py, $future)
    };
}
