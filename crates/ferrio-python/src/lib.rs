//! The extension module `ferrio._ferrio`: the whole Python surface on one page.
//!
//! Each name is documented where it is defined. How the binding is laid out is in ARCHITECTURE.md.

#[macro_use]
mod base;
mod core;
mod loop_api;
mod net;
mod sync;
mod work;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
fn _ferrio(module: &Bound<'_, PyModule>) -> PyResult<()> {
    base::prepare(module.py())?;
    register(module)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))
}

base::class::surface! {
    classes:
        core::event_loop::Loop,
        core::future::Future,
        core::handle::Handle,
        core::handle::TimerHandle,
        core::operation::Operation,
        core::task::Task,
        sync::combinators::as_completed::AsCompleted,
        sync::locks::bound::LoopBound,
        sync::taskgroup::TaskGroup,
        sync::timeout::Timeout,
        sync::combinators::gather::Gathering,
        sync::locks::barrier::Barrier,
        sync::locks::condition::Condition,
        sync::locks::event::Event,
        sync::locks::lock::Lock,
        sync::locks::semaphore::Semaphore,
        sync::queues::Queue,
        sync::locks::semaphore::BoundedSemaphore,
        sync::queues::ordered::LifoQueue,
        sync::queues::ordered::PriorityQueue,
        work::executor::ThreadPool,
        work::executor::worker::Worker,
        work::files::file::File,
        work::files::opening::Opening,
        loop_api::journal::Recorded,
        loop_api::journal::Writer,
        loop_api::recorder::Recorder,
        loop_api::sampler::Sampler,
        loop_api::watcher::Watcher,
        core::event_loop::virtual_clock::VirtualClock,
        net::process::launch::Launch,
        net::process::transport::SubprocessTransport,
        net::server::Server,
        net::streams::flow::FlowControlMixin,
        net::streams::reader::StreamReader,
        net::streams::writer::StreamWriter,
        net::tls::protocol::SSLProtocol,
        net::tls::transport::SSLTransport,
        net::transport::datagram::DatagramTransport,
        net::transport::read_pipe::ReadPipeTransport,
        net::transport::socket::SocketTransport,
        net::transport::write_pipe::WritePipeTransport,
        net::streams::protocol::StreamReaderProtocol;
    internal classes:
        core::event_loop::profiled::Waiting,
        core::future::chain::Chain,
        core::future::iter::FutureIter,
        core::operation::face::Wrapper,
        core::operation::waker::Waker,
        core::task::threadsafe::Submission,
        core::task::wakeup::Wakeup,
        core::task::wakeup::Watcher,
        sync::combinators::wait::Countdown,
        work::executor::foreign_executor::ForeignCall,
        work::executor::recorded::Collected,
        work::files::collector::Collector,
        work::files::opening::Giver,
        net::process::pipe::PipeProtocol,
        net::server::arrival::Arrival,
        loop_api::views::Timed;
    functions:
        core::future::ISFUTURE,
        core::future::chain::CHAIN_FUTURE,
        core::future::chain::COPY_FUTURE_STATE,
        core::future::chain::WRAP_FUTURE,
        core::operation::sleep::SLEEP,
        core::operation::unawaited::OBSERVE,
        core::task::create::CREATE_TASK,
        core::task::create::ENSURE_FUTURE,
        core::task::current::CURRENT_TASK,
        core::task::registry::ALL_TASKS,
        core::task::threadsafe::RUN_COROUTINE_THREADSAFE,
        sync::combinators::as_completed::AS_COMPLETED,
        sync::combinators::gather::GATHER,
        sync::combinators::shield::SHIELD,
        sync::combinators::wait::WAIT,
        sync::timeout::TIMEOUT,
        sync::timeout::TIMEOUT_AT,
        sync::wait_for::WAIT_FOR,
        work::executor::to_process::TO_PROCESS,
        work::executor::to_thread::TO_THREAD;
    built-in functions:
        base::imports::_load_before_the_end,
        core::event_loop::running::_forget_running_loop,
        core::event_loop::progress::_announce_loops,
        core::event_loop::metered::_announce_closes,
        core::event_loop::metered::_meter_loops,
        core::event_loop::running::_every_loop,
        loop_api::metrics::_meter,
        loop_api::metrics::_metrics,
        core::event_loop::nested::_allow_nested,
        core::event_loop::nested::_nested_allowed,
        core::future::awaited_by::future_add_to_awaited_by,
        core::future::awaited_by::future_discard_from_awaited_by,
        core::task::hooks::_enter_task,
        core::task::hooks::_leave_task,
        core::task::hooks::_register_task,
        core::task::hooks::_swap_current_task,
        core::task::hooks::_unregister_task,
        core::task::registry::_pending_tasks,
        net::streams::protocol::_stream_protocol,
        work::executor::_refuse_jobs,
        work::files::call_in_file_thread,
        work::files::opening::open,
        work::files::opening::open_with,
        work::files::threads::_file_jobs,
        work::files::threads::_finish_file_jobs;
}
