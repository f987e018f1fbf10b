//! The labels of a recording: numbers for the names of callbacks, jobs, coroutines and waits.
//!
//! A name is known by the address of what has it, so that naming a callback again costs one look-up. Invariant: what lies
//! at an address that has a label is kept alive by the session.

use std::collections::HashMap;
use std::sync::Mutex;

use pyo3::PyVisit;
use pyo3::prelude::*;
use pyo3::types::PyString;

use super::lock;
use crate::base::by_address::ByAddress;
use crate::base::ffi::callee::{self, Callee};
use crate::base::gc::{Traverse, Visited};
use crate::base::imports;

/// At most this many names have labels of their own. A program that makes code at run time could have any number.
const LIMIT: usize = 1 << 18;

/// The label of all other names.
const OTHER: u32 = 1;

/// Something that has a name.
pub(crate) enum Named<'a, 'py> {
    /// The name itself.
    Text(&'static str),
    /// A callable, by what it runs; or an object, by its class.
    Callable(&'a Bound<'py, PyAny>),
    /// What a `functools.partial` calls.
    Inner(Bound<'py, PyAny>),
    /// The name itself, as a `str` of Python's.
    Str(Bound<'py, PyString>),
}

impl<'a, 'py> Named<'a, 'py> {
    /// A callable. A `functools.partial` is known by its function.
    #[inline]
    pub(crate) fn callable(object: &'a Bound<'py, PyAny>) -> Self {
        if is_partial(object) { Self::within(object) } else { Self::Callable(object) }
    }

    #[cold]
    fn within(partial: &'a Bound<'py, PyAny>) -> Self {
        let mut function = partial.clone();
        while is_partial(&function)
            && let Ok(inner) = function.getattr(intern!(partial.py(), "func"))
        {
            function = inner;
        }
        Self::Inner(function)
    }

    #[inline]
    pub(crate) fn address(&self) -> usize {
        match self {
            Self::Text(text) => text.as_ptr().addr(),
            Self::Callable(object) => callee::address(object),
            Self::Inner(object) => callee::address(object),
            Self::Str(text) => text.as_ptr().addr(),
        }
    }

    fn identify(&self) -> Callee {
        let named = match self {
            Self::Text(text) => {
                Ok(Callee { address: text.as_ptr().addr(), keep: None, name: (*text).to_owned() })
            }
            Self::Callable(object) => callee::identify(object),
            Self::Inner(object) => callee::identify(object),
            Self::Str(text) => Ok(Callee {
                address: text.as_ptr().addr(),
                keep: Some(text.clone().into_any().unbind()),
                name: text.to_string_lossy().into_owned(),
            }),
        };
        named.unwrap_or_else(|_| Callee { address: self.address(), keep: None, name: "?".to_owned() })
    }
}

/// Whether it is exactly a `functools.partial`, whose attributes run no Python code.
#[inline]
fn is_partial(object: &Bound<'_, PyAny>) -> bool {
    let class = object.get_type_ptr().addr();
    imports::PARTIAL.get(object.py()).is_ok_and(|partial| partial.as_ptr().addr() == class)
}

/// The labels of a session.
pub(crate) struct Labels(Mutex<Content>);

struct Content {
    texts: Vec<String>,
    by_text: HashMap<String, u32>,
    by_address: ByAddress<u32>,
    kept: Vec<Py<PyAny>>,
}

impl Labels {
    pub(crate) fn new() -> Self {
        // The first is `ferrio_engine::recorder::OUTSIDE`.
        let texts = ["another thread", "(other)"].map(str::to_owned).to_vec();
        let by_text = HashMap::new();
        Self(Mutex::new(Content { texts, by_text, by_address: ByAddress::default(), kept: Vec::new() }))
    }

    /// Labels that were used before, under the same numbers.
    pub(crate) fn of_texts(texts: &[String]) -> Self {
        let labels = Self::new();
        let mut content = lock(&labels.0);
        content.texts = texts.to_vec();
        content.by_text = texts.iter().cloned().zip(0..).collect();
        drop(content);
        labels
    }

    /// The label of a name, and whether its address will always mean that.
    pub(crate) fn label(&self, named: &Named<'_, '_>) -> (u32, bool) {
        if let Some(label) = lock(&self.0).by_address.get(&named.address()) {
            return (*label, true);
        }
        let Callee { address, keep, name } = named.identify();
        let mut content = lock(&self.0);
        if content.kept.len() >= LIMIT {
            drop(content);
            drop(keep);
            return (OTHER, false);
        }
        let label = content.of_text(name);
        let is_new = content.by_address.insert(address, label).is_none();
        let surplus = match keep {
            Some(keep) if is_new => {
                content.kept.push(keep);
                None
            }
            other => other,
        };
        drop(content);
        drop(surplus);
        (label, true)
    }

    /// The label of a text.
    pub(crate) fn of_text(&self, text: String) -> u32 {
        lock(&self.0).of_text(text)
    }

    /// All of them, in the order of their numbers.
    pub(crate) fn texts(&self) -> Vec<String> {
        lock(&self.0).texts.clone()
    }
}

/// Skips labels in use, which only delays collection.
impl Traverse for Labels {
    fn traverse(&self, visit: &PyVisit<'_>) -> Visited {
        self.0.try_lock().map_or(Ok(()), |content| content.kept.traverse(visit))
    }
}

impl Content {
    fn of_text(&mut self, text: String) -> u32 {
        if let Some(label) = self.by_text.get(&text) {
            return *label;
        }
        if self.texts.len() >= LIMIT {
            return OTHER;
        }
        let label = self.texts.len() as u32;
        self.texts.push(text.clone());
        self.by_text.insert(text, label);
        label
    }
}
