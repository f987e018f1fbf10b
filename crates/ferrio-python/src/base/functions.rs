//! Which of ferrio's names are functions for Python, and which are coroutine functions.
//!
//! What asyncio defines with `def` is a function here too, and what it defines with `async def` is a coroutine
//! function. `inspect`, mocks, and frameworks that take functions of both kinds rely on that. `ffi/function.rs` has
//! their type. A class lists the methods that are coroutine functions in its own file (`Functions`), and so does a
//! function of the module (`Declared`). What asyncio has in C (`Future`, `Task`, `current_task`) stays as PyO3 makes
//! it.
//!
//! Invariant: PyO3's `__text_signature__` is the only source of a signature.

use std::ffi::CStr;

use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyString};

use crate::base::ffi::fastcall::{Quick, QuickFunction};
use crate::base::ffi::function::{self, Look};
use crate::base::ffi::immortal;
use crate::base::imports;

/// The file name of the functions' code in tracebacks.
pub(crate) const FILE: &CStr = c"<ferrio>";

/// The dict of the extension module in which the functions' code finds the native methods.
const NATIVES: &str = "_natives";

/// The special methods that are functions in a class made in Python, and their signatures. (Only the interpreter or
/// ferrio calls the others.)
const SPECIAL: [(&str, &str); 15] = [
    ("__init__", ""), // the class has it
    ("__repr__", "($self)"),
    ("__str__", "($self)"),
    ("__hash__", "($self)"),
    ("__eq__", "($self, other)"),
    ("__lt__", "($self, other)"),
    ("__le__", "($self, other)"),
    ("__gt__", "($self, other)"),
    ("__ge__", "($self, other)"),
    ("__ne__", "($self, other)"),
    ("__iter__", "($self)"),
    ("__next__", "($self)"),
    ("__aiter__", "($self)"),
    ("__anext__", "($self)"),
    ("__len__", "($self)"),
];

/// A class whose methods are functions.
pub(crate) trait Functions: PyTypeInfo {
    /// The methods that are `async def` in asyncio.
    const COROUTINES: &'static [&'static str] = &[];

    /// Fast paths into its methods.
    const QUICK: &'static [Quick] = &[];
}

/// A function of the module, and how it looks to Python. `declared!` makes one of a `#[pyfunction]`.
pub(crate) struct Declared {
    /// Makes the object that PyO3 makes of it.
    make: Make,
    /// The module in which it is found and pickled; `None` for a function that asyncio has in C.
    module: Option<&'static str>,
    coroutine: bool,
    quick: Option<Quick>,
}

type Make = for<'py> fn(&Bound<'py, PyModule>) -> PyResult<Bound<'py, PyCFunction>>;

impl Declared {
    /// A built-in function.
    pub(crate) const fn builtin(make: Make) -> Self {
        Self { make, module: None, coroutine: false, quick: None }
    }

    /// One that is `def` in asyncio, in this module.
    pub(crate) const fn function(self, module: &'static str) -> Self {
        Self { module: Some(module), ..self }
    }

    /// One that is `async def` in asyncio, in this module.
    pub(crate) const fn coroutine(self, module: &'static str) -> Self {
        Self { module: Some(module), coroutine: true, ..self }
    }

    /// The same with a fast path.
    pub(crate) const fn by<F: QuickFunction>(self) -> Self {
        Self { quick: Some(Quick::function::<F>()), ..self }
    }
}

/// The [`Declared`] of a `#[pyfunction]`, a built-in function unless told otherwise.
macro_rules! declared {
    ($function:path) => {
        $crate::base::functions::Declared::builtin(|module| pyo3::wrap_pyfunction!($function, module))
    };
}
pub(crate) use declared;

/// Makes functions of the methods of a class; called while the module is made.
pub(crate) fn of_class<T: Functions>(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let class = T::type_object(py);
    let of = class.getattr(intern!(py, "__module__"))?;
    let named = class.name()?;
    let (mut coroutines, mut quick_ways) = (0, 0);
    let members: Bound<'_, PyDict> =
        class.getattr(intern!(py, "__dict__"))?.call_method0("copy")?.cast_into()?;
    for (key, member) in members {
        let key: Bound<'_, PyString> = key.cast_into()?;
        let name = key.to_str()?;
        if !(is_method(&member)? || is_slot(&member)? && special(name).is_some()) {
            continue;
        }
        let coroutine = T::COROUTINES.contains(&name);
        coroutines += usize::from(coroutine);
        let quick = T::QUICK.iter().find(|quick| quick.name == name);
        quick_ways += usize::from(quick.is_some());
        let qualname = format!("{named}.{name}");
        let look = Look { name: &key, qualname: &qualname, module: &of, coroutine };
        function::replace(&class, &key, &function::make(&member, &look, quick, &module.dict())?)?;
    }
    if coroutines != T::COROUTINES.len() {
        return Err(PyAttributeError::new_err(format!("{named} lacks some of {:?}", T::COROUTINES)));
    }
    if quick_ways != T::QUICK.len() {
        return Err(PyAttributeError::new_err(format!("{named} lacks some methods with a fast path")));
    }
    Ok(())
}

/// Adds a function to the module; called while the module is made.
pub(crate) fn register(module: &Bound<'_, PyModule>, declared: &Declared) -> PyResult<()> {
    let py = module.py();
    let original = (declared.make)(module)?;
    let Some(home) = declared.module else {
        immortal::function(&original);
        return module.add_function(original);
    };
    let name = original.getattr(intern!(py, "__name__"))?.cast_into::<PyString>()?;
    let home = PyString::new(py, home);
    let look =
        Look { name: &name, qualname: name.to_str()?, module: home.as_any(), coroutine: declared.coroutine };
    let made = function::make(&original, &look, declared.quick.as_ref(), &module.dict())?;
    module.add(&name, made)
}

fn is_method(member: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(member.get_type().name()? == "method_descriptor")
}

fn is_slot(member: &Bound<'_, PyAny>) -> PyResult<bool> {
    Ok(member.get_type().name()? == "wrapper_descriptor")
}

fn special(name: &str) -> Option<&'static str> {
    SPECIAL.iter().find(|(known, _)| *known == name).map(|(_, signature)| *signature)
}

/// Compiles a function that looks like `function` and calls `original`.
pub(crate) fn compile<'py>(
    function: &Bound<'py, PyAny>,
    original: &Bound<'py, PyAny>,
    coroutine: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = function.py();
    let name = original.getattr(intern!(py, "__name__"))?.cast_into::<PyString>()?;
    let qualname = original.getattr(intern!(py, "__qualname__"))?.cast_into::<PyString>()?;
    let (name, key) = (name.to_str()?, qualname.to_str()?);
    let (parameters, arguments) = parameters(&signature(original, name)?);
    let (start, wait) = if coroutine { ("async ", "await ") } else { ("", "") };
    let source = format!("{start}def {name}({parameters}): return {wait}{NATIVES}[{key:?}]({arguments})");
    let globals = function.getattr(intern!(py, "__globals__"))?.cast_into::<PyDict>()?;
    let natives = globals.call_method1("setdefault", (NATIVES, PyDict::new(py)))?;
    natives.set_item(&qualname, original)?;
    let code = imports::COMPILE.get(py)?.call1((source, FILE.to_string_lossy(), "exec"))?;
    let names = PyDict::new(py);
    imports::EXEC.get(py)?.call1((code, &names))?;
    let compiled =
        names.get_item(name)?.ok_or_else(|| PyTypeError::new_err("a function defines its name"))?;
    let keywords = PyDict::new(py);
    keywords.set_item("co_qualname", &qualname)?;
    let code = compiled.getattr("__code__")?.call_method("replace", (), Some(&keywords))?;
    compiled.setattr("__code__", code)?;
    Ok(compiled)
}

/// The signature of a method or function that PyO3 made, in CPython's form.
fn signature(original: &Bound<'_, PyAny>, name: &str) -> PyResult<String> {
    let py = original.py();
    if is_slot(original)? {
        return match special(name) {
            Some("") => {
                let class = original.getattr(intern!(py, "__objclass__"))?;
                let class = class.getattr(intern!(py, "__text_signature__"))?.extract::<Option<String>>()?;
                let class = class.unwrap_or_else(|| "(*args, **kwargs)".to_owned());
                let rest = class.trim_start_matches('(');
                Ok(if rest == ")" { "($self)".to_owned() } else { format!("($self, {rest}") })
            }
            signature => Ok(signature.unwrap_or("($self, *args)").to_owned()),
        };
    }
    original.getattr(intern!(py, "__text_signature__"))?.extract()
}

/// A text signature as the parameters of a `def`, and the arguments by which it passes them on. No default in any of
/// them has a comma in it.
fn parameters(signature: &str) -> (String, String) {
    let inside = signature.trim_start_matches('(').trim_end_matches(')');
    let inside = inside.replace('$', "");
    let mut by_name = false;
    let mut arguments = Vec::new();
    for parameter in inside.split(',').map(str::trim) {
        let name = parameter.split('=').next().unwrap_or_default();
        match name {
            "" | "/" => {}
            "*" => by_name = true,
            _ if name.starts_with("**") => arguments.push(name.to_owned()),
            _ if name.starts_with('*') => {
                by_name = true;
                arguments.push(name.to_owned());
            }
            _ if by_name => arguments.push(format!("{name}={name}")),
            _ => arguments.push(name.to_owned()),
        }
    }
    let arguments = arguments.join(", ");
    (inside, arguments)
}
