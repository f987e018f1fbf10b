//! The only raw calls of CPython: what PyO3 doesn't offer safely.
//!
//! Every function here is safe to call; a comment at each `unsafe` block says why. Nothing outside this folder may
//! use `unsafe`.
#![allow(unsafe_code, reason = "this folder is where raw CPython lives; the rest of the crate denies it")]

pub(crate) mod audit;
pub(crate) mod awaiters;
pub(crate) mod buffer;
pub(crate) mod bytes;
pub(crate) mod c_api;
pub(crate) mod callee;
pub(crate) mod cast;
pub(crate) mod cell;
pub(crate) mod class_version;
pub(crate) mod context;
pub(crate) mod coroutine;
pub(crate) mod fastcall;
pub(crate) mod finalize;
pub(crate) mod frames;
pub(crate) mod function;
pub(crate) mod function_code;
pub(crate) mod immortal;
pub(crate) mod inherit;
pub(crate) mod inline_box;
pub(crate) mod interpreter;
mod lock;
pub(crate) mod memory;
pub(crate) mod names;
pub(crate) mod on_show;
pub(crate) mod protect;
pub(crate) mod raise;
pub(crate) mod recursion;
pub(crate) mod recycle;
pub(crate) mod room;
pub(crate) mod scope;
pub(crate) mod slots;
pub(crate) mod task_fields;
pub(crate) mod task_list;
pub(crate) mod trashcan;

pub(crate) use cast::Cast;
pub(crate) use cell::{Exclusive, Guarded, Leaf, StateCell};
