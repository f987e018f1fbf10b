//! Which of asyncio's classes each of ferrio's stands below.
//!
//! The classes are the standard library's own, whatever `ferrio.install()` puts in their places later.
//!
//! Invariant: classes come after those that they are derived from.

use pyo3::PyTypeInfo;
use pyo3::prelude::*;
use pyo3::types::PyType;

use crate::base::ffi::inherit::inherit;
use crate::core::{future, handle, task};
use crate::net::{process, streams, tls, transport};
use crate::sync::{combinators, locks, queues, taskgroup, timeout};

/// Puts ferrio's classes below asyncio's; called once, while the module is made, before anything else is done to them.
pub(crate) fn install(py: Python<'_>) -> PyResult<()> {
    below::<future::Future>(py, "asyncio.futures", "Future")?;
    below::<task::Task>(py, "asyncio.tasks", "Task")?;
    below::<combinators::gather::Gathering>(py, "asyncio.tasks", "_GatheringFuture")?;
    below::<handle::Handle>(py, "asyncio.events", "Handle")?;
    below::<handle::TimerHandle>(py, "asyncio.events", "TimerHandle")?;
    below::<locks::bound::LoopBound>(py, "asyncio.mixins", "_LoopBoundMixin")?;
    below::<locks::lock::Lock>(py, "asyncio.locks", "Lock")?;
    below::<locks::event::Event>(py, "asyncio.locks", "Event")?;
    below::<locks::condition::Condition>(py, "asyncio.locks", "Condition")?;
    below::<locks::semaphore::Semaphore>(py, "asyncio.locks", "Semaphore")?;
    below::<locks::semaphore::BoundedSemaphore>(py, "asyncio.locks", "BoundedSemaphore")?;
    below::<locks::barrier::Barrier>(py, "asyncio.locks", "Barrier")?;
    below::<queues::Queue>(py, "asyncio.queues", "Queue")?;
    below::<queues::ordered::PriorityQueue>(py, "asyncio.queues", "PriorityQueue")?;
    below::<queues::ordered::LifoQueue>(py, "asyncio.queues", "LifoQueue")?;
    below::<taskgroup::TaskGroup>(py, "asyncio.taskgroups", "TaskGroup")?;
    below::<timeout::Timeout>(py, "asyncio.timeouts", "Timeout")?;
    below::<streams::reader::StreamReader>(py, "asyncio.streams", "StreamReader")?;
    below::<streams::writer::StreamWriter>(py, "asyncio.streams", "StreamWriter")?;
    below::<streams::flow::FlowControlMixin>(py, "asyncio.streams", "FlowControlMixin")?;
    below::<streams::protocol::StreamReaderProtocol>(py, "asyncio.streams", "StreamReaderProtocol")?;
    below::<transport::socket::SocketTransport>(py, "asyncio.transports", "Transport")?;
    below::<transport::datagram::DatagramTransport>(
        py,
        "asyncio.selector_events",
        "_SelectorDatagramTransport",
    )?;
    below::<transport::read_pipe::ReadPipeTransport>(py, "asyncio.unix_events", "_UnixReadPipeTransport")?;
    below::<transport::write_pipe::WritePipeTransport>(py, "asyncio.unix_events", "_UnixWritePipeTransport")?;
    below::<process::transport::SubprocessTransport>(py, "asyncio.transports", "SubprocessTransport")?;
    below::<tls::protocol::SSLProtocol>(py, "asyncio.sslproto", "SSLProtocol")?;
    below::<tls::transport::SSLTransport>(py, "asyncio.sslproto", "_SSLProtocolTransport")
}

fn below<T: PyTypeInfo>(py: Python<'_>, module: &str, name: &str) -> PyResult<()> {
    let standard = py.import(module)?.getattr(name)?.cast_into::<PyType>()?;
    inherit(&T::type_object(py), &standard)
}
