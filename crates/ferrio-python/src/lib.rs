//! The extension module `ferrio._ferrio`: the whole Python surface on one page.
//!
//! It knows CPython and the engine; it never names epoll. What each name means is said where it is defined.

mod base;
mod core;
mod loop_api;
mod net;
mod sync;
mod work;

use pyo3::prelude::*;

base::ffi::recycle::recycled!(
    core::future::Future,
    core::future::FutureIter,
    core::handle::Handle,
    core::handle::TimerHandle,
    core::operation::Operation,
    core::task::Task,
    sync::timeout::Timeout,
);

#[pymodule(gil_used = false)]
mod _ferrio {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::base::imports::_load_before_the_end;
    #[pymodule_export]
    use crate::core::event_loop::_forget_running_loop;
    #[pymodule_export]
    use crate::core::event_loop::Loop;
    #[pymodule_export]
    use crate::core::event_loop::nested::_allow_nested;
    #[pymodule_export]
    use crate::core::event_loop::nested::_nested_allowed;
    #[pymodule_export]
    use crate::core::future::Future;
    #[pymodule_export]
    use crate::core::future::chain::chain;
    #[pymodule_export]
    use crate::core::future::chain::copy;
    #[pymodule_export]
    use crate::core::future::chain::wrap;
    #[pymodule_export]
    use crate::core::future::future_add_to_awaited_by;
    #[pymodule_export]
    use crate::core::future::future_discard_from_awaited_by;
    #[pymodule_export]
    use crate::core::future::isfuture;
    #[pymodule_export]
    use crate::core::handle::Handle;
    #[pymodule_export]
    use crate::core::handle::TimerHandle;
    #[pymodule_export]
    use crate::core::operation::Operation;
    #[pymodule_export]
    use crate::core::operation::sleep::sleep;
    #[pymodule_export]
    use crate::core::task::Task;
    #[pymodule_export]
    use crate::core::task::create::create_task;
    #[pymodule_export]
    use crate::core::task::create::ensure_future_function;
    #[pymodule_export]
    use crate::core::task::current::current_task;
    #[pymodule_export]
    use crate::core::task::eager::EagerTaskFactory;
    #[pymodule_export]
    use crate::core::task::eager::create_eager_task_factory;
    #[pymodule_export]
    use crate::core::task::hooks::_enter_task;
    #[pymodule_export]
    use crate::core::task::hooks::_leave_task;
    #[pymodule_export]
    use crate::core::task::hooks::_register_task;
    #[pymodule_export]
    use crate::core::task::hooks::_swap_current_task;
    #[pymodule_export]
    use crate::core::task::hooks::_unregister_task;
    #[pymodule_export]
    use crate::core::task::registry::_pending_tasks;
    #[pymodule_export]
    use crate::core::task::registry::all_tasks;
    #[pymodule_export]
    use crate::core::task::threadsafe::run_coroutine_threadsafe;
    #[pymodule_export]
    use crate::net::process::launch::Launch;
    #[pymodule_export]
    use crate::net::process::transport::SubprocessTransport;
    #[pymodule_export]
    use crate::net::server::Server;
    #[pymodule_export]
    use crate::net::streams::flow::FlowControlMixin;
    #[pymodule_export]
    use crate::net::streams::protocol::_stream_protocol;
    #[pymodule_export]
    use crate::net::streams::protocol::StreamReaderProtocol;
    #[pymodule_export]
    use crate::net::streams::reader::StreamReader;
    #[pymodule_export]
    use crate::net::streams::writer::StreamWriter;
    #[pymodule_export]
    use crate::net::tls::protocol::SSLProtocol;
    #[pymodule_export]
    use crate::net::tls::transport::SSLTransport;
    #[pymodule_export]
    use crate::net::transport::datagram::DatagramTransport;
    #[pymodule_export]
    use crate::net::transport::read_pipe::ReadPipeTransport;
    #[pymodule_export]
    use crate::net::transport::socket::SocketTransport;
    #[pymodule_export]
    use crate::net::transport::write_pipe::WritePipeTransport;
    #[pymodule_export]
    use crate::sync::combinators::as_completed::AsCompleted;
    #[pymodule_export]
    use crate::sync::combinators::as_completed::as_completed;
    #[pymodule_export]
    use crate::sync::combinators::gather::Gathering;
    #[pymodule_export]
    use crate::sync::combinators::gather::gather;
    #[pymodule_export]
    use crate::sync::combinators::shield::shield;
    #[pymodule_export]
    use crate::sync::combinators::wait::wait;
    #[pymodule_export]
    use crate::sync::locks::barrier::Barrier;
    #[pymodule_export]
    use crate::sync::locks::bound::LoopBound;
    #[pymodule_export]
    use crate::sync::locks::condition::Condition;
    #[pymodule_export]
    use crate::sync::locks::event::Event;
    #[pymodule_export]
    use crate::sync::locks::lock::Lock;
    #[pymodule_export]
    use crate::sync::locks::semaphore::BoundedSemaphore;
    #[pymodule_export]
    use crate::sync::locks::semaphore::Semaphore;
    #[pymodule_export]
    use crate::sync::queues::Queue;
    #[pymodule_export]
    use crate::sync::queues::ordered::LifoQueue;
    #[pymodule_export]
    use crate::sync::queues::ordered::PriorityQueue;
    #[pymodule_export]
    use crate::sync::taskgroup::TaskGroup;
    #[pymodule_export]
    use crate::sync::timeout::Timeout;
    #[pymodule_export]
    use crate::sync::timeout::timeout;
    #[pymodule_export]
    use crate::sync::timeout::timeout_at;
    #[pymodule_export]
    use crate::sync::wait_for::wait_for;
    #[pymodule_export]
    use crate::work::executor::_abandon_threads;
    #[pymodule_export]
    use crate::work::executor::_refuse_jobs;
    #[pymodule_export]
    use crate::work::executor::ThreadPool;
    #[pymodule_export]
    use crate::work::executor::to_process::to_process;
    #[pymodule_export]
    use crate::work::executor::to_thread::to_thread;
    #[pymodule_export]
    use crate::work::executor::worker::Worker;
    #[pymodule_export]
    use crate::work::files::call_in_file_thread;
    #[pymodule_export]
    use crate::work::files::file::File;
    #[pymodule_export]
    use crate::work::files::opening::Opening;
    #[pymodule_export]
    use crate::work::files::opening::open;
    #[pymodule_export]
    use crate::work::files::opening::open_with;
    #[pymodule_export]
    use crate::work::files::threads::_file_jobs;
    #[pymodule_export]
    use crate::work::files::threads::_finish_file_jobs;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::base::ffi::interpreter::park_ended_threads();
        crate::base::ffi::interpreter::let_attach_at_the_end(py);
        crate::base::imports::load(py)?;
        crate::loop_api::relations::install(py)?;
        crate::sync::locks::shorten_names(py);
        crate::sync::queues::shorten_names(py);
        crate::base::ffi::finalize::install::<crate::core::future::Future>(py);
        crate::base::ffi::finalize::install::<crate::core::task::Task>(py);
        crate::base::ffi::finalize::install::<crate::sync::combinators::gather::Gathering>(py);
        crate::base::ffi::finalize::install::<crate::core::operation::Operation>(py);
        crate::base::ffi::finalize::install::<crate::core::event_loop::Loop>(py);
        crate::base::ffi::finalize::install::<crate::net::transport::socket::SocketTransport>(py);
        crate::base::ffi::finalize::install::<crate::net::process::transport::SubprocessTransport>(py);
        crate::base::ffi::finalize::install::<crate::net::transport::datagram::DatagramTransport>(py);
        crate::base::ffi::finalize::install::<crate::net::transport::read_pipe::ReadPipeTransport>(py);
        crate::base::ffi::finalize::install::<crate::net::transport::write_pipe::WritePipeTransport>(py);
        crate::base::ffi::finalize::install::<crate::net::streams::writer::StreamWriter>(py);
        crate::base::ffi::finalize::install::<crate::net::tls::transport::SSLTransport>(py);
        crate::base::ffi::finalize::install::<crate::work::files::file::File>(py);
        crate::base::ffi::slots::install::<crate::core::operation::Operation>(py);
        crate::base::ffi::slots::install_coroutine::<crate::core::operation::Operation>(py)?;
        crate::base::ffi::slots::install::<crate::core::future::Future>(py);
        crate::base::ffi::slots::install::<crate::core::task::Task>(py);
        crate::base::ffi::recycle::install::<crate::core::future::Future>(py);
        crate::base::ffi::recycle::install::<crate::core::future::FutureIter>(py);
        crate::base::ffi::recycle::install::<crate::core::handle::Handle>(py);
        crate::base::ffi::recycle::install::<crate::core::handle::TimerHandle>(py);
        crate::base::ffi::recycle::install::<crate::core::operation::Operation>(py);
        crate::base::ffi::recycle::install::<crate::core::task::Task>(py);
        crate::base::ffi::recycle::install::<crate::sync::timeout::Timeout>(py);
        crate::base::ffi::recycle::install_end::<crate::core::handle::Handle>(py);
        crate::base::ffi::recycle::install_end::<crate::core::operation::Operation>(py);
        crate::base::functions::of_class::<crate::core::event_loop::Loop>(module)?;
        crate::base::functions::of_class::<crate::core::handle::Handle>(module)?;
        crate::base::functions::of_class::<crate::core::handle::TimerHandle>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::barrier::Barrier>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::bound::LoopBound>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::condition::Condition>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::event::Event>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::lock::Lock>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::semaphore::BoundedSemaphore>(module)?;
        crate::base::functions::of_class::<crate::sync::locks::semaphore::Semaphore>(module)?;
        crate::base::functions::of_class::<crate::net::process::transport::SubprocessTransport>(module)?;
        crate::base::functions::of_class::<crate::sync::queues::Queue>(module)?;
        crate::base::functions::of_class::<crate::sync::queues::ordered::LifoQueue>(module)?;
        crate::base::functions::of_class::<crate::sync::queues::ordered::PriorityQueue>(module)?;
        crate::base::functions::of_class::<crate::net::server::Server>(module)?;
        crate::base::functions::of_class::<crate::net::streams::flow::FlowControlMixin>(module)?;
        crate::base::functions::of_class::<crate::net::streams::protocol::StreamReaderProtocol>(module)?;
        crate::base::functions::of_class::<crate::net::streams::reader::StreamReader>(module)?;
        crate::base::functions::of_class::<crate::net::streams::writer::StreamWriter>(module)?;
        crate::base::functions::of_class::<crate::sync::combinators::as_completed::AsCompleted>(module)?;
        crate::base::functions::of_class::<crate::sync::combinators::gather::Gathering>(module)?;
        crate::base::functions::of_class::<crate::sync::taskgroup::TaskGroup>(module)?;
        crate::base::functions::of_class::<crate::sync::timeout::Timeout>(module)?;
        crate::base::functions::of_class::<crate::net::tls::protocol::SSLProtocol>(module)?;
        crate::base::functions::of_class::<crate::net::tls::transport::SSLTransport>(module)?;
        crate::base::functions::of_class::<crate::net::transport::datagram::DatagramTransport>(module)?;
        crate::base::functions::of_class::<crate::net::transport::read_pipe::ReadPipeTransport>(module)?;
        crate::base::functions::of_class::<crate::net::transport::socket::SocketTransport>(module)?;
        crate::base::functions::of_class::<crate::net::transport::write_pipe::WritePipeTransport>(module)?;
        for declared in [
            crate::work::executor::to_process::TO_PROCESS,
            crate::work::executor::to_thread::TO_THREAD,
            crate::core::future::ISFUTURE,
            crate::core::future::chain::CHAIN_FUTURE,
            crate::core::future::chain::COPY_FUTURE_STATE,
            crate::core::future::chain::WRAP_FUTURE,
            crate::core::operation::sleep::SLEEP,
            crate::sync::combinators::as_completed::AS_COMPLETED,
            crate::sync::combinators::gather::GATHER,
            crate::sync::combinators::shield::SHIELD,
            crate::sync::combinators::wait::WAIT,
            crate::core::task::create::CREATE_TASK,
            crate::core::task::create::ENSURE_FUTURE,
            crate::core::task::eager::CREATE_EAGER_TASK_FACTORY,
            crate::core::task::threadsafe::RUN_COROUTINE_THREADSAFE,
            crate::sync::timeout::TIMEOUT,
            crate::sync::timeout::TIMEOUT_AT,
            crate::sync::wait_for::WAIT_FOR,
        ] {
            crate::base::functions::of_module(module, &declared)?;
        }
        // In C from 3.12 on, and 3.14 on.
        if !cfg!(Py_3_12) {
            crate::base::functions::of_module(module, &crate::core::task::current::CURRENT_TASK)?;
        }
        if !cfg!(Py_3_14) {
            crate::base::functions::of_module(module, &crate::core::task::registry::ALL_TASKS)?;
        }
        crate::base::ffi::uncounted::surface(module);
        crate::base::ffi::uncounted::class::<crate::work::executor::elsewhere::Elsewhere>(py);
        crate::base::ffi::uncounted::class::<crate::core::future::FutureIter>(py);
        crate::base::ffi::uncounted::class::<crate::core::future::chain::Chain>(py);
        crate::base::ffi::uncounted::class::<crate::core::operation::face::Wrapper>(py);
        crate::base::ffi::uncounted::class::<crate::core::operation::sleep::Waker>(py);
        crate::base::ffi::uncounted::class::<crate::net::process::pipe::PipeProtocol>(py);
        crate::base::ffi::uncounted::class::<crate::sync::combinators::wait::Countdown>(py);
        crate::base::ffi::uncounted::class::<crate::core::task::threadsafe::Submission>(py);
        crate::base::ffi::uncounted::class::<crate::core::task::wakeup::Wakeup>(py);
        crate::base::ffi::uncounted::class::<crate::core::task::wakeup::Watcher>(py);
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
