//! Every Python object that the binding reaches, by name, loaded once.
//!
//! `load` runs while the module is made: what it fetches are the standard library's own objects, whatever
//! `ferrio.install()` puts in their places later.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// One imported object.
pub(crate) struct Import {
    cell: PyOnceLock<Py<PyAny>>,
    module: &'static str,
    name: &'static str,
}

impl Import {
    const fn new(module: &'static str, name: &'static str) -> Self {
        Self { cell: PyOnceLock::new(), module, name }
    }

    /// The object. Raises what the import raises.
    #[inline]
    pub(crate) fn get<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyAny>> {
        if let Some(object) = self.cell.get(py) {
            return Ok(object.bind(py));
        }
        self.cell.import(py, self.module, self.name)
    }
}

pub(crate) static CANCELLED_ERROR: Import = Import::new("asyncio.exceptions", "CancelledError");
pub(crate) static INVALID_STATE_ERROR: Import = Import::new("asyncio.exceptions", "InvalidStateError");
pub(crate) static BROKEN_BARRIER_ERROR: Import = Import::new("asyncio.exceptions", "BrokenBarrierError");
pub(crate) static INCOMPLETE_READ_ERROR: Import = Import::new("asyncio.exceptions", "IncompleteReadError");
pub(crate) static LIMIT_OVERRUN_ERROR: Import = Import::new("asyncio.exceptions", "LimitOverrunError");
pub(crate) static STANDARD_STREAM_READER: Import = Import::new("asyncio.streams", "StreamReader");
/// The `async def` function behind `StreamWriter.start_tls()`.
pub(crate) static START_TLS_OF_STREAM: Import = Import::new("ferrio.streams", "_start_tls");
pub(crate) static QUEUE_EMPTY: Import = Import::new("asyncio.queues", "QueueEmpty");
pub(crate) static QUEUE_FULL: Import = Import::new("asyncio.queues", "QueueFull");
/// The standard library's from 3.13 on; the package has one for the Pythons before.
pub(crate) static QUEUE_SHUT_DOWN: Import = Import::new("ferrio.queues", "QueueShutDown");
pub(crate) static DEQUE: Import = Import::new("collections", "deque");
pub(crate) static HEAPPUSH: Import = Import::new("heapq", "heappush");
pub(crate) static HEAPPOP: Import = Import::new("heapq", "heappop");
pub(crate) static STANDARD_FUTURE: Import = Import::new("asyncio.futures", "Future");
/// These two from 3.14 on.
pub(crate) static STANDARD_ADD_TO_AWAITED_BY: Import =
    Import::new("asyncio.futures", "future_add_to_awaited_by");
pub(crate) static STANDARD_DISCARD_FROM_AWAITED_BY: Import =
    Import::new("asyncio.futures", "future_discard_from_awaited_by");
pub(crate) static STANDARD_TASK: Import = Import::new("asyncio.tasks", "Task");
pub(crate) static TRANSPORT_SOCKET: Import = Import::new("asyncio.trsock", "TransportSocket");
pub(crate) static SET_RUNNING_LOOP: Import = Import::new("asyncio.events", "_set_running_loop");
pub(crate) static STANDARD_RUNNING_LOOP: Import = Import::new("asyncio.events", "_get_running_loop");
pub(crate) static GET_EVENT_LOOP: Import = Import::new("ferrio._policy", "get_event_loop");
/// The `async def` function that awaits its argument: the coroutine for an awaitable that is none.
pub(crate) static AWAIT_IT: Import = Import::new("ferrio._standard", "await_it");
/// What the caller of a function that takes a coroutine may have meant.
pub(crate) static HINT: Import = Import::new("ferrio._standard", "hint");
/// The `async def` function behind `loop.shutdown_asyncgens()`.
pub(crate) static CLOSE_ASYNCGENS: Import = Import::new("ferrio._standard", "close_asyncgens");
pub(crate) static COROUTINE_TYPE: Import = Import::new("types", "CoroutineType");
/// What a copy of a lock or a queue is made of, and how.
pub(crate) static STATE_OF: Import = Import::new("ferrio._copies", "state_of");
pub(crate) static RESTORE: Import = Import::new("ferrio._copies", "restore");
pub(crate) static GENERATOR_TYPE: Import = Import::new("types", "GeneratorType");
pub(crate) static GENERIC_ALIAS: Import = Import::new("types", "GenericAlias");
pub(crate) static EXTRACT_STACK: Import = Import::new("asyncio.format_helpers", "extract_stack");
pub(crate) static FORMAT_CALLBACK_SOURCE: Import =
    Import::new("asyncio.format_helpers", "_format_callback_source");
pub(crate) static FUTURE_REPR: Import = Import::new("ferrio._standard", "future_repr");
pub(crate) static TASK_REPR: Import = Import::new("ferrio._standard", "task_repr");
/// What stands for the code and the frame that an operation hasn't got.
pub(crate) static OPERATION_CODE: Import = Import::new("ferrio._standard", "operation_code");
pub(crate) static OPERATION_FRAME: Import = Import::new("ferrio._standard", "operation_frame");
pub(crate) static EAGER_FACTORY_CODE: Import = Import::new("ferrio._standard", "EAGER_FACTORY_CODE");
pub(crate) static CELL_TYPE: Import = Import::new("types", "CellType");
pub(crate) static TASK_GET_STACK: Import = Import::new("asyncio.base_tasks", "_task_get_stack");
pub(crate) static TASK_PRINT_STACK: Import = Import::new("asyncio.base_tasks", "_task_print_stack");
pub(crate) static IS_COROUTINE: Import = Import::new("asyncio.coroutines", "iscoroutine");
pub(crate) static LOGGER: Import = Import::new("asyncio.log", "logger");
pub(crate) static EXCEPTION_GROUP: Import = Import::new("builtins", "ExceptionGroup");
pub(crate) static BASE_EXCEPTION_GROUP: Import = Import::new("builtins", "BaseExceptionGroup");
pub(crate) static GETFRAME: Import = Import::new("sys", "_getframe");
pub(crate) static GET_ASYNCGEN_HOOKS: Import = Import::new("sys", "get_asyncgen_hooks");
pub(crate) static SET_ASYNCGEN_HOOKS: Import = Import::new("sys", "set_asyncgen_hooks");
pub(crate) static GET_ORIGIN_DEPTH: Import = Import::new("sys", "get_coroutine_origin_tracking_depth");
pub(crate) static SET_ORIGIN_DEPTH: Import = Import::new("sys", "set_coroutine_origin_tracking_depth");
pub(crate) static IS_COROUTINE_FUNCTION: Import = Import::new("inspect", "iscoroutinefunction");
pub(crate) static IS_AWAITABLE: Import = Import::new("inspect", "isawaitable");
pub(crate) static CONCURRENT_FUTURE: Import = Import::new("concurrent.futures", "Future");
pub(crate) static CONCURRENT_CANCELLED_ERROR: Import = Import::new("concurrent.futures", "CancelledError");
pub(crate) static CONCURRENT_INVALID_STATE_ERROR: Import =
    Import::new("concurrent.futures", "InvalidStateError");
pub(crate) static STRERROR: Import = Import::new("os", "strerror");
pub(crate) static SENDFILE_NOT_AVAILABLE: Import =
    Import::new("asyncio.exceptions", "SendfileNotAvailableError");
pub(crate) static UNSUPPORTED_OPERATION: Import = Import::new("io", "UnsupportedOperation");
pub(crate) static FSTAT: Import = Import::new("os", "fstat");
pub(crate) static LSEEK: Import = Import::new("os", "lseek");
pub(crate) static OPEN: Import = Import::new("io", "open");
pub(crate) static FILE_IO: Import = Import::new("io", "FileIO");
pub(crate) static BUFFERED_READER: Import = Import::new("io", "BufferedReader");
pub(crate) static BUFFERED_WRITER: Import = Import::new("io", "BufferedWriter");
pub(crate) static TEXT_IO_WRAPPER: Import = Import::new("io", "TextIOWrapper");
pub(crate) static FSPATH: Import = Import::new("os", "fspath");
pub(crate) static FSENCODE: Import = Import::new("os", "fsencode");
pub(crate) static AUDIT: Import = Import::new("sys", "audit");
pub(crate) static MODULES: Import = Import::new("sys", "modules");
pub(crate) static SSL_OBJECT: Import = Import::new("ssl", "SSLObject");
/// The C class behind `ssl.SSLObject` and `ssl.SSLSocket`.
pub(crate) static SSL_SOCKET_TYPE: Import = Import::new("_ssl", "_SSLSocket");
pub(crate) static MEMORY_BIO: Import = Import::new("ssl", "MemoryBIO");
pub(crate) static SSL_WANT_READ: Import = Import::new("ssl", "SSLWantReadError");
pub(crate) static SSL_SYSCALL_ERROR: Import = Import::new("ssl", "SSLSyscallError");
pub(crate) static SSL_CERTIFICATE_ERROR: Import = Import::new("ssl", "CertificateError");
pub(crate) static BYTES: Import = Import::new("builtins", "bytes");
pub(crate) static BUFFERED_PROTOCOL: Import = Import::new("asyncio.protocols", "BufferedProtocol");
pub(crate) static TCP_NODELAY: Import = Import::new("socket", "TCP_NODELAY");
pub(crate) static SET_NODELAY: Import = Import::new("asyncio.base_events", "_set_nodelay");
pub(crate) static IP_ADDRESS_INFO: Import = Import::new("asyncio.base_events", "_ipaddr_info");
pub(crate) static SENDFILE_MODE: Import = Import::new("asyncio.constants", "_SendfileMode");
/// The standard library's class, whatever a test suite has put into its place.
pub(crate) static SOCKET: Import = Import::new("ferrio._standard", "SOCKET");
/// The C class, whose methods nobody can replace.
pub(crate) static C_SOCKET: Import = Import::new("_socket", "socket");
pub(crate) static AF_INET: Import = Import::new("socket", "AF_INET");
pub(crate) static AF_INET6: Import = Import::new("socket", "AF_INET6");
pub(crate) static AF_UNIX: Import = Import::new("socket", "AF_UNIX");
pub(crate) static SOCK_STREAM: Import = Import::new("socket", "SOCK_STREAM");
pub(crate) static SOCK_DGRAM: Import = Import::new("socket", "SOCK_DGRAM");
pub(crate) static IPPROTO_TCP: Import = Import::new("socket", "IPPROTO_TCP");
pub(crate) static IPPROTO_UDP: Import = Import::new("socket", "IPPROTO_UDP");
pub(crate) static SOL_SOCKET: Import = Import::new("socket", "SOL_SOCKET");
pub(crate) static SO_ERROR: Import = Import::new("socket", "SO_ERROR");
pub(crate) static NI_NUMERICHOST: Import = Import::new("socket", "NI_NUMERICHOST");
pub(crate) static NI_NUMERICSERV: Import = Import::new("socket", "NI_NUMERICSERV");
pub(crate) static EAGAIN: Import = Import::new("errno", "EAGAIN");
pub(crate) static EIO: Import = Import::new("errno", "EIO");
pub(crate) static EINVAL: Import = Import::new("errno", "EINVAL");
pub(crate) static SIGTERM: Import = Import::new("signal", "SIGTERM");
pub(crate) static SIGKILL: Import = Import::new("signal", "SIGKILL");
pub(crate) static SET_WAKEUP_FD: Import = Import::new("signal", "set_wakeup_fd");
pub(crate) static MAIN_THREAD: Import = Import::new("threading", "main_thread");
pub(crate) static IS_FINALIZING: Import = Import::new("sys", "is_finalizing");
pub(crate) static WARN: Import = Import::new("warnings", "warn");
pub(crate) static WEAK_SET: Import = Import::new("weakref", "WeakSet");
pub(crate) static FORMAT_LIST: Import = Import::new("traceback", "format_list");
/// What the interpreter itself calls for a coroutine that nobody awaited.
pub(crate) static WARN_UNAWAITED: Import = Import::new("warnings", "_warn_unawaited_coroutine");
pub(crate) static REGISTER_TASK: Import = Import::new("asyncio.tasks", "_register_task");
pub(crate) static UNREGISTER_TASK: Import = Import::new("asyncio.tasks", "_unregister_task");
pub(crate) static ENTER_TASK: Import = Import::new("asyncio.tasks", "_enter_task");
pub(crate) static LEAVE_TASK: Import = Import::new("asyncio.tasks", "_leave_task");
/// The dictionary of the loops' current tasks; the one that counts up to 3.13 only.
pub(crate) static CURRENT_TASKS: Import = Import::new("asyncio.tasks", "_current_tasks");
/// From 3.14 on (3.12 and 3.13 have it too, but not for this).
pub(crate) static SWAP_CURRENT_TASK: Import = Import::new("asyncio.tasks", "_swap_current_task");
pub(crate) static STANDARD_ALL_TASKS: Import = Import::new("asyncio.tasks", "all_tasks");
pub(crate) static STANDARD_CURRENT_TASK: Import = Import::new("asyncio.tasks", "current_task");

pub(crate) static PARTIAL: Import = Import::new("functools", "partial");
pub(crate) static THREAD: Import = Import::new("threading", "Thread");
pub(crate) static THREAD_POOL: Import = Import::new("ferrio.executor", "ThreadPool");
/// The `async def` function behind `loop.shutdown_default_executor()`.
pub(crate) static SHUT_DOWN_EXECUTORS: Import = Import::new("ferrio.executor", "shut_down");
pub(crate) static THREAD_POOL_EXECUTOR: Import = Import::new("concurrent.futures", "ThreadPoolExecutor");
pub(crate) static EXECUTOR: Import = Import::new("concurrent.futures", "Executor");
pub(crate) static BROKEN_EXECUTOR: Import = Import::new("concurrent.futures", "BrokenExecutor");
/// Makes the process pool that a loop keeps.
pub(crate) static NEW_PROCESS_POOL: Import = Import::new("ferrio.processes", "_new_pool");
pub(crate) static POOL_OF_FOREIGN_LOOP: Import = Import::new("ferrio.processes", "_pool_of_foreign_loop");
/// The error of a call that may not have reached its process.
pub(crate) static EXPLAIN_UNSENT: Import = Import::new("ferrio.processes", "_explain_unsent");

/// Fetches what `ferrio.install()` may replace.
pub(crate) fn load(py: Python<'_>) -> PyResult<()> {
    for import in [
        &STANDARD_FUTURE,
        &STANDARD_TASK,
        &SET_RUNNING_LOOP,
        &STANDARD_RUNNING_LOOP,
        &CANCELLED_ERROR,
        &INVALID_STATE_ERROR,
        &REGISTER_TASK,
        &UNREGISTER_TASK,
        &ENTER_TASK,
        &LEAVE_TASK,
        &STANDARD_CURRENT_TASK,
        &STANDARD_ALL_TASKS,
        &IS_COROUTINE,
        &STANDARD_STREAM_READER,
        // Needed for reports while the interpreter ends, when no import works any more.
        &LOGGER,
        &WARN,
        &WARN_UNAWAITED,
        &COROUTINE_TYPE,
        &FUTURE_REPR,
        &TASK_REPR,
        // `ferrio.tasks` has a function of that name, which calls this one.
        if cfg!(Py_3_14) { &SWAP_CURRENT_TASK } else { &CURRENT_TASKS },
    ] {
        import.get(py)?;
    }
    if cfg!(Py_3_14) {
        STANDARD_ADD_TO_AWAITED_BY.get(py)?;
        STANDARD_DISCARD_FROM_AWAITED_BY.get(py)?;
    }
    Ok(())
}
