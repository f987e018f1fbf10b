//! What asyncio calls the callbacks that are native here: `gather.<locals>._done_callback` and its like.
//!
//! Only for what is shown of futures: a native callback is a function pointer and the object that it tells.

use pyo3::prelude::*;

use super::as_completed::AsCompleted;
use super::wait::Countdown;
use super::{gather, shield};
use crate::core::event_loop::{self, Loop};
use crate::core::future::callbacks::WatcherCall;
use crate::core::future::{Future, chain};
use crate::sync::taskgroup::TaskGroup;

const CHECK_CANCEL: &str = "_chain_future.<locals>._call_check_cancel";

/// The name of the callback that calls `call` with `watcher`; the watcher's class where asyncio has no such callback.
pub(crate) fn of(watcher: &Bound<'_, PyAny>, call: WatcherCall) -> String {
    let name = if watcher.is_instance_of::<Loop>() {
        if event_loop::ends_run(call) { "_run_until_complete_cb" } else { CHECK_CANCEL }
    } else if watcher.is_instance_of::<gather::Gathering>() {
        "gather.<locals>._done_callback"
    } else if watcher.is_instance_of::<Countdown>() {
        "_wait.<locals>._on_completion"
    } else if watcher.is_instance_of::<AsCompleted>() {
        if cfg!(Py_3_13) {
            "_AsCompletedIterator._handle_completion"
        } else {
            "as_completed.<locals>._on_completion"
        }
    } else if watcher.is_instance_of::<TaskGroup>() {
        "TaskGroup._on_task_done"
    } else if watcher.is_instance_of::<chain::Chain>() {
        if chain::tells_source(call) { "_chain_future.<locals>._call_set_state" } else { CHECK_CANCEL }
    } else if watcher.is_instance_of::<Future>() {
        shield::name_of(call)
    } else {
        return watcher.get_type().name().map_or_else(|_| String::new(), |name| name.to_string());
    };
    name.to_owned()
}
