//! The extension module `ferrio._ferrio`: the whole Python surface on one page.
//!
//! It knows CPython and the engine; it never names epoll. What each name means is said where it is defined.

mod error;
mod event_loop;
mod executor;
mod ffi;
mod files;
mod functions;
mod future;
mod given;
mod handle;
mod imports;
mod locks;
mod operation;
mod plain_socket;
mod process;
mod queues;
mod relations;
mod seconds;
mod server;
mod streams;
mod task;
mod taskgroup;
mod timeout;
mod tls;
mod transport;
mod wait_for;
mod whole;

use pyo3::prelude::*;

ffi::recycle::recycled!(
    future::Future,
    future::FutureIter,
    handle::Handle,
    handle::TimerHandle,
    operation::Operation,
    task::Task,
    timeout::Timeout,
);

#[pymodule(gil_used = false)]
mod _ferrio {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::event_loop::{
        _forget_running_loop, Loop,
        nested::{_allow_nested, _nested_allowed},
    };
    #[pymodule_export]
    use crate::executor::{
        _abandon_threads, _refuse_jobs, ThreadPool, to_process::to_process, to_thread::to_thread,
        worker::Worker,
    };
    #[pymodule_export]
    use crate::files::{
        call_in_file_thread,
        file::File,
        opening::{Opening, open, open_with},
        threads::{_file_jobs, _finish_file_jobs},
    };
    #[pymodule_export]
    use crate::future::chain::{chain, copy, wrap};
    #[pymodule_export]
    use crate::future::{Future, future_add_to_awaited_by, future_discard_from_awaited_by, isfuture};
    #[pymodule_export]
    use crate::handle::{Handle, TimerHandle};
    #[pymodule_export]
    use crate::imports::_load_before_the_end;
    #[pymodule_export]
    use crate::locks::{
        barrier::Barrier,
        bound::LoopBound,
        condition::Condition,
        event::Event,
        lock::Lock,
        semaphore::{BoundedSemaphore, Semaphore},
    };
    #[pymodule_export]
    use crate::operation::{Operation, sleep::sleep};
    #[pymodule_export]
    use crate::process::{launch::Launch, transport::SubprocessTransport};
    #[pymodule_export]
    use crate::queues::{
        Queue,
        ordered::{LifoQueue, PriorityQueue},
    };
    #[pymodule_export]
    use crate::server::Server;
    #[pymodule_export]
    use crate::streams::{
        flow::FlowControlMixin,
        protocol::{_stream_protocol, StreamReaderProtocol},
        reader::StreamReader,
        writer::StreamWriter,
    };
    #[pymodule_export]
    use crate::task::{
        Task,
        combinators::{
            as_completed::{AsCompleted, as_completed},
            gather::{Gathering, gather},
            shield::shield,
            wait::wait,
        },
        create::{create_task, ensure_future_function},
        current::current_task,
        eager::{EagerTaskFactory, create_eager_task_factory},
        hooks::{_enter_task, _leave_task, _register_task, _swap_current_task, _unregister_task},
        registry::{_pending_tasks, all_tasks},
        threadsafe::run_coroutine_threadsafe,
    };
    #[pymodule_export]
    use crate::taskgroup::TaskGroup;
    #[pymodule_export]
    use crate::timeout::{Timeout, timeout, timeout_at};
    #[pymodule_export]
    use crate::tls::{protocol::SSLProtocol, transport::SSLTransport};
    #[pymodule_export]
    use crate::transport::{
        datagram::DatagramTransport, read_pipe::ReadPipeTransport, socket::SocketTransport,
        write_pipe::WritePipeTransport,
    };
    #[pymodule_export]
    use crate::wait_for::wait_for;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        let py = module.py();
        crate::ffi::interpreter::park_ended_threads();
        crate::ffi::interpreter::let_attach_at_the_end(py);
        crate::imports::load(py)?;
        crate::relations::install(py)?;
        crate::locks::shorten_names(py);
        crate::queues::shorten_names(py);
        crate::ffi::finalize::install::<crate::future::Future>(py);
        crate::ffi::finalize::install::<crate::task::Task>(py);
        crate::ffi::finalize::install::<crate::task::combinators::gather::Gathering>(py);
        crate::ffi::finalize::install::<crate::operation::Operation>(py);
        crate::ffi::finalize::install::<crate::event_loop::Loop>(py);
        crate::ffi::finalize::install::<crate::transport::socket::SocketTransport>(py);
        crate::ffi::finalize::install::<crate::process::transport::SubprocessTransport>(py);
        crate::ffi::finalize::install::<crate::transport::datagram::DatagramTransport>(py);
        crate::ffi::finalize::install::<crate::transport::read_pipe::ReadPipeTransport>(py);
        crate::ffi::finalize::install::<crate::transport::write_pipe::WritePipeTransport>(py);
        crate::ffi::finalize::install::<crate::streams::writer::StreamWriter>(py);
        crate::ffi::finalize::install::<crate::tls::transport::SSLTransport>(py);
        crate::ffi::finalize::install::<crate::files::file::File>(py);
        crate::ffi::slots::install::<crate::operation::Operation>(py);
        crate::ffi::slots::install_coroutine::<crate::operation::Operation>(py)?;
        crate::ffi::slots::install::<crate::future::Future>(py);
        crate::ffi::slots::install::<crate::task::Task>(py);
        crate::ffi::recycle::install::<crate::future::Future>(py);
        crate::ffi::recycle::install::<crate::future::FutureIter>(py);
        crate::ffi::recycle::install::<crate::handle::Handle>(py);
        crate::ffi::recycle::install::<crate::handle::TimerHandle>(py);
        crate::ffi::recycle::install::<crate::operation::Operation>(py);
        crate::ffi::recycle::install::<crate::task::Task>(py);
        crate::ffi::recycle::install::<crate::timeout::Timeout>(py);
        crate::ffi::recycle::install_end::<crate::handle::Handle>(py);
        crate::ffi::recycle::install_end::<crate::operation::Operation>(py);
        crate::functions::of_class::<crate::event_loop::Loop>(module)?;
        crate::functions::of_class::<crate::handle::Handle>(module)?;
        crate::functions::of_class::<crate::handle::TimerHandle>(module)?;
        crate::functions::of_class::<crate::locks::barrier::Barrier>(module)?;
        crate::functions::of_class::<crate::locks::bound::LoopBound>(module)?;
        crate::functions::of_class::<crate::locks::condition::Condition>(module)?;
        crate::functions::of_class::<crate::locks::event::Event>(module)?;
        crate::functions::of_class::<crate::locks::lock::Lock>(module)?;
        crate::functions::of_class::<crate::locks::semaphore::BoundedSemaphore>(module)?;
        crate::functions::of_class::<crate::locks::semaphore::Semaphore>(module)?;
        crate::functions::of_class::<crate::process::transport::SubprocessTransport>(module)?;
        crate::functions::of_class::<crate::queues::Queue>(module)?;
        crate::functions::of_class::<crate::queues::ordered::LifoQueue>(module)?;
        crate::functions::of_class::<crate::queues::ordered::PriorityQueue>(module)?;
        crate::functions::of_class::<crate::server::Server>(module)?;
        crate::functions::of_class::<crate::streams::flow::FlowControlMixin>(module)?;
        crate::functions::of_class::<crate::streams::protocol::StreamReaderProtocol>(module)?;
        crate::functions::of_class::<crate::streams::reader::StreamReader>(module)?;
        crate::functions::of_class::<crate::streams::writer::StreamWriter>(module)?;
        crate::functions::of_class::<crate::task::combinators::as_completed::AsCompleted>(module)?;
        crate::functions::of_class::<crate::task::combinators::gather::Gathering>(module)?;
        crate::functions::of_class::<crate::taskgroup::TaskGroup>(module)?;
        crate::functions::of_class::<crate::timeout::Timeout>(module)?;
        crate::functions::of_class::<crate::tls::protocol::SSLProtocol>(module)?;
        crate::functions::of_class::<crate::tls::transport::SSLTransport>(module)?;
        crate::functions::of_class::<crate::transport::datagram::DatagramTransport>(module)?;
        crate::functions::of_class::<crate::transport::read_pipe::ReadPipeTransport>(module)?;
        crate::functions::of_class::<crate::transport::socket::SocketTransport>(module)?;
        crate::functions::of_class::<crate::transport::write_pipe::WritePipeTransport>(module)?;
        for declared in [
            crate::executor::to_process::TO_PROCESS,
            crate::executor::to_thread::TO_THREAD,
            crate::future::ISFUTURE,
            crate::future::chain::CHAIN_FUTURE,
            crate::future::chain::COPY_FUTURE_STATE,
            crate::future::chain::WRAP_FUTURE,
            crate::operation::sleep::SLEEP,
            crate::task::combinators::as_completed::AS_COMPLETED,
            crate::task::combinators::gather::GATHER,
            crate::task::combinators::shield::SHIELD,
            crate::task::combinators::wait::WAIT,
            crate::task::create::CREATE_TASK,
            crate::task::create::ENSURE_FUTURE,
            crate::task::eager::CREATE_EAGER_TASK_FACTORY,
            crate::task::threadsafe::RUN_COROUTINE_THREADSAFE,
            crate::timeout::TIMEOUT,
            crate::timeout::TIMEOUT_AT,
            crate::wait_for::WAIT_FOR,
        ] {
            crate::functions::of_module(module, &declared)?;
        }
        // In C from 3.12 on, and 3.14 on.
        if !cfg!(Py_3_12) {
            crate::functions::of_module(module, &crate::task::current::CURRENT_TASK)?;
        }
        if !cfg!(Py_3_14) {
            crate::functions::of_module(module, &crate::task::registry::ALL_TASKS)?;
        }
        crate::ffi::uncounted::surface(module);
        crate::ffi::uncounted::class::<crate::executor::elsewhere::Elsewhere>(py);
        crate::ffi::uncounted::class::<crate::future::FutureIter>(py);
        crate::ffi::uncounted::class::<crate::future::chain::Chain>(py);
        crate::ffi::uncounted::class::<crate::operation::face::Wrapper>(py);
        crate::ffi::uncounted::class::<crate::operation::sleep::Waker>(py);
        crate::ffi::uncounted::class::<crate::process::pipe::PipeProtocol>(py);
        crate::ffi::uncounted::class::<crate::task::combinators::wait::Countdown>(py);
        crate::ffi::uncounted::class::<crate::task::threadsafe::Submission>(py);
        crate::ffi::uncounted::class::<crate::task::wakeup::Wakeup>(py);
        crate::ffi::uncounted::class::<crate::task::wakeup::Watcher>(py);
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
