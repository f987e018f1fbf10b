//! Every Python object that the binding uses, by name, loaded once.
//!
//! `load` runs while the module is made, so it fetches the standard library's own objects, whatever
//! `ferrio.install()` replaces later. `_load_before_the_end` fetches the rest while that is still possible.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// One imported object, or a whole module if the name is empty.
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
        let object = self.cell.get_or_try_init(py, || {
            let module = py.import(self.module)?.into_any();
            Ok::<_, PyErr>(if self.name.is_empty() { module } else { module.getattr(self.name)? }.unbind())
        })?;
        Ok(object.bind(py))
    }
}

macro_rules! imports {
    ($($(#[$documentation:meta])* $import:ident = $module:literal, $name:literal;)*) => {
        $($(#[$documentation])* pub(crate) static $import: Import = Import::new($module, $name);)*

        static EVERY_IMPORT: &[&Import] = &[$(&$import),*];
    };
}

imports! {
    CANCELLED_ERROR = "asyncio.exceptions", "CancelledError";
    INVALID_STATE_ERROR = "asyncio.exceptions", "InvalidStateError";
    BROKEN_BARRIER_ERROR = "asyncio.exceptions", "BrokenBarrierError";
    INCOMPLETE_READ_ERROR = "asyncio.exceptions", "IncompleteReadError";
    LIMIT_OVERRUN_ERROR = "asyncio.exceptions", "LimitOverrunError";
    /// The enumerations of the states of a timeout and a barrier.
    TIMEOUT_STATE = "asyncio.timeouts", "_State";
    BARRIER_STATE = "asyncio.locks", "_BarrierState";
    STANDARD_STREAM_READER = "asyncio.streams", "StreamReader";
    /// Lets a thread wait for a child.
    WAIT_IN_THREAD = "ferrio._process", "wait_in_thread";
    /// The `async def` function behind `StreamWriter.start_tls()`.
    START_TLS_OF_STREAM = "ferrio.streams", "_start_tls";
    QUEUE_EMPTY = "asyncio.queues", "QueueEmpty";
    QUEUE_FULL = "asyncio.queues", "QueueFull";
    /// The standard library's from 3.13 on; the package defines it for older Pythons.
    QUEUE_SHUT_DOWN = "ferrio.queues", "QueueShutDown";
    DEQUE = "collections", "deque";
    HEAPPUSH = "heapq", "heappush";
    HEAPPOP = "heapq", "heappop";
    STANDARD_FUTURE = "asyncio.futures", "Future";
    /// These two from 3.14 on.
    STANDARD_ADD_TO_AWAITED_BY = "asyncio.futures", "future_add_to_awaited_by";
    STANDARD_DISCARD_FROM_AWAITED_BY = "asyncio.futures", "future_discard_from_awaited_by";
    STANDARD_TASK = "asyncio.tasks", "Task";
    STANDARD_LOOP = "asyncio.base_events", "BaseEventLoop";
    STANDARD_HANDLE = "asyncio.events", "Handle";
    /// From 3.14 on.
    STANDARD_THREAD_SAFE_HANDLE = "asyncio.events", "_ThreadSafeHandle";
    TRANSPORT_SOCKET = "asyncio.trsock", "TransportSocket";
    SET_RUNNING_LOOP = "asyncio.events", "_set_running_loop";
    STANDARD_RUNNING_LOOP = "asyncio.events", "_get_running_loop";
    GET_EVENT_LOOP = "ferrio._policy", "get_event_loop";
    /// The `async def` function that awaits its argument: it makes a coroutine of any awaitable.
    AWAIT_IT = "ferrio._standard", "await_it";
    /// Suggests what the caller of a function that takes a coroutine may have meant.
    HINT = "ferrio._standard", "hint";
    /// The `async def` function behind `loop.shutdown_asyncgens()`.
    CLOSE_ASYNCGENS = "ferrio._standard", "close_asyncgens";
    COROUTINE_TYPE = "types", "CoroutineType";
    /// What a copy of a lock or a queue is made of.
    STATE_OF = "ferrio._copies", "state_of";
    RESTORE = "ferrio._copies", "restore";
    GENERATOR_TYPE = "types", "GeneratorType";
    GENERIC_ALIAS = "types", "GenericAlias";
    EXTRACT_STACK = "asyncio.format_helpers", "extract_stack";
    FORMAT_CALLBACK_SOURCE = "asyncio.format_helpers", "_format_callback_source";
    FUTURE_REPR = "ferrio._standard", "future_repr";
    TASK_REPR = "ferrio._standard", "task_repr";
    CALLBACK_FUNCTION = "ferrio._standard", "callback_function";
    /// Makes the coroutine function whose frames stand for an operation's.
    STAND_IN = "ferrio._frames", "stand_in";
    /// Makes what such a frame awaits if nobody resumes it.
    PAUSE = "ferrio._frames", "pause";
    /// asyncio's own `wait_for`, on ferrio's timeouts.
    OBSERVED_WAIT_FOR = "ferrio._frames", "wait_for";
    EAGER_FACTORY_CODE = "ferrio._standard", "EAGER_FACTORY_CODE";
    CELL_TYPE = "types", "CellType";
    TASK_GET_STACK = "asyncio.base_tasks", "_task_get_stack";
    TASK_PRINT_STACK = "asyncio.base_tasks", "_task_print_stack";
    IS_COROUTINE = "asyncio.coroutines", "iscoroutine";
    ENVIRON = "os", "environ";
    LOGGER = "asyncio.log", "logger";
    EXCEPTION_GROUP = "builtins", "ExceptionGroup";
    BASE_EXCEPTION_GROUP = "builtins", "BaseExceptionGroup";
    GETFRAME = "sys", "_getframe";
    GET_ASYNCGEN_HOOKS = "sys", "get_asyncgen_hooks";
    SET_ASYNCGEN_HOOKS = "sys", "set_asyncgen_hooks";
    GET_ORIGIN_DEPTH = "sys", "get_coroutine_origin_tracking_depth";
    SET_ORIGIN_DEPTH = "sys", "set_coroutine_origin_tracking_depth";
    IS_COROUTINE_FUNCTION = "inspect", "iscoroutinefunction";
    IS_AWAITABLE = "inspect", "isawaitable";
    OPCODE_NAMES = "opcode", "opname";
    CONCURRENT_FUTURE = "concurrent.futures", "Future";
    CONCURRENT_CANCELLED_ERROR = "concurrent.futures", "CancelledError";
    CONCURRENT_INVALID_STATE_ERROR = "concurrent.futures", "InvalidStateError";
    STRERROR = "os", "strerror";
    SENDFILE_NOT_AVAILABLE = "asyncio.exceptions", "SendfileNotAvailableError";
    UNSUPPORTED_OPERATION = "io", "UnsupportedOperation";
    FSTAT = "os", "fstat";
    LSEEK = "os", "lseek";
    OPEN = "_io", "open";
    FILE_IO = "io", "FileIO";
    BUFFERED_READER = "io", "BufferedReader";
    BUFFERED_WRITER = "io", "BufferedWriter";
    TEXT_IO_WRAPPER = "io", "TextIOWrapper";
    FSPATH = "os", "fspath";
    FSENCODE = "os", "fsencode";
    AUDIT = "sys", "audit";
    GET_PROFILE = "sys", "getprofile";
    /// From 3.12 on.
    MONITORING = "sys", "monitoring";
    /// The Python function that does the loop's wait under a profiler.
    WAIT_IN_PYTHON = "ferrio._standard", "wait";
    /// Hears of each loop that begins to run, if a watchdog is on.
    LOOP_BEGINS = "ferrio.sight.announced", "loop_begins";
    LOOP_CLOSES = "ferrio.sight.ledger", "loop_closes";
    /// Whether `asyncio` has ferrio's names.
    IS_INSTALLED = "ferrio._install", "is_installed";
    /// Hears of a loop that nothing can wake, in debug mode and under a watchdog.
    LOOP_IS_STUCK = "ferrio.sight.stuck", "loop_is_stuck";
    /// Hears of what goes to the exception handler of a loop that is recorded.
    LOOP_FAILED = "ferrio.sight.triggers", "loop_failed";
    MODULES = "sys", "modules";
    SSL_OBJECT = "ssl", "SSLObject";
    /// The C class behind `ssl.SSLObject` and `ssl.SSLSocket`.
    SSL_SOCKET_TYPE = "_ssl", "_SSLSocket";
    MEMORY_BIO = "ssl", "MemoryBIO";
    /// The C class, whose methods nobody can replace.
    C_MEMORY_BIO = "_ssl", "MemoryBIO";
    SSL_WANT_READ = "ssl", "SSLWantReadError";
    SSL_SYSCALL_ERROR = "ssl", "SSLSyscallError";
    SSL_CERTIFICATE_ERROR = "ssl", "CertificateError";
    /// The enumerations of the states of a TLS connection.
    SSL_PROTOCOL_STATE = "asyncio.sslproto", "SSLProtocolState";
    APP_PROTOCOL_STATE = "asyncio.sslproto", "AppProtocolState";
    BYTES = "builtins", "bytes";
    COMPILE = "builtins", "compile";
    EXEC = "builtins", "exec";
    BUFFERED_PROTOCOL = "asyncio.protocols", "BufferedProtocol";
    TCP_NODELAY = "socket", "TCP_NODELAY";
    SET_NODELAY = "asyncio.base_events", "_set_nodelay";
    IP_ADDRESS_INFO = "asyncio.base_events", "_ipaddr_info";
    SENDFILE_MODE = "asyncio.constants", "_SendfileMode";
    /// The standard library's class, even if a test suite has replaced it.
    SOCKET = "ferrio._standard", "SOCKET";
    /// The C class, whose methods nobody can replace.
    C_SOCKET = "_socket", "socket";
    AF_INET = "socket", "AF_INET";
    AF_INET6 = "socket", "AF_INET6";
    AF_UNIX = "socket", "AF_UNIX";
    SOCK_STREAM = "socket", "SOCK_STREAM";
    SOCK_DGRAM = "socket", "SOCK_DGRAM";
    IPPROTO_TCP = "socket", "IPPROTO_TCP";
    IPPROTO_UDP = "socket", "IPPROTO_UDP";
    SHUT_WR = "socket", "SHUT_WR";
    SOL_SOCKET = "socket", "SOL_SOCKET";
    SO_ERROR = "socket", "SO_ERROR";
    NI_NUMERICHOST = "socket", "NI_NUMERICHOST";
    NI_NUMERICSERV = "socket", "NI_NUMERICSERV";
    EAGAIN = "errno", "EAGAIN";
    EIO = "errno", "EIO";
    EINVAL = "errno", "EINVAL";
    SIGTERM = "signal", "SIGTERM";
    SIGKILL = "signal", "SIGKILL";
    SET_WAKEUP_FD = "signal", "set_wakeup_fd";
    MAIN_THREAD = "threading", "main_thread";
    IS_FINALIZING = "sys", "is_finalizing";
    WARN = "warnings", "warn";
    WEAK_SET = "weakref", "WeakSet";
    FORMAT_LIST = "traceback", "format_list";
    /// What the interpreter itself calls for a coroutine that was never awaited.
    WARN_UNAWAITED = "warnings", "_warn_unawaited_coroutine";
    REGISTER_TASK = "asyncio.tasks", "_register_task";
    UNREGISTER_TASK = "asyncio.tasks", "_unregister_task";
    ENTER_TASK = "asyncio.tasks", "_enter_task";
    LEAVE_TASK = "asyncio.tasks", "_leave_task";
    /// The dictionary of the loops' current tasks; only up to 3.13 is it the one that counts.
    CURRENT_TASKS = "asyncio.tasks", "_current_tasks";
    /// From 3.14 on (3.12 and 3.13 have it too, but not for this).
    SWAP_CURRENT_TASK = "asyncio.tasks", "_swap_current_task";
    STANDARD_ALL_TASKS = "asyncio.tasks", "all_tasks";
    STANDARD_CURRENT_TASK = "asyncio.tasks", "current_task";

    PARTIAL = "functools", "partial";
    THREAD = "threading", "Thread";
    CURRENT_THREAD = "threading", "current_thread";
    THREAD_POOL = "ferrio.executor", "ThreadPool";
    /// The `async def` function behind `loop.shutdown_default_executor()`.
    SHUT_DOWN_EXECUTORS = "ferrio.executor", "shut_down";
    THREAD_POOL_EXECUTOR = "concurrent.futures", "ThreadPoolExecutor";
    EXECUTOR = "concurrent.futures", "Executor";
    BROKEN_EXECUTOR = "concurrent.futures", "BrokenExecutor";
    /// Makes the process pool that a loop keeps.
    NEW_PROCESS_POOL = "ferrio.processes", "_new_pool";
    POOL_OF_FOREIGN_LOOP = "ferrio.processes", "_pool_of_foreign_loop";
    /// The error of a call that may not have reached its process.
    EXPLAIN_UNSENT = "ferrio.processes", "_explain_unsent";

    /// Makes the standard library see the tasks of our loops.
    SHARE_TASKS = "ferrio._standard", "share_tasks";

    // Whole modules; programs may replace their functions, so these are looked up at each call.
    SIGNAL_MODULE = "signal", "";
    SOCKET_MODULE = "socket", "";
    SSL_MODULE = "ssl", "";
    COROUTINES_MODULE = "asyncio.coroutines", "";
}

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
        &LOGGER,
        &WARN,
        &WARN_UNAWAITED,
        &COROUTINE_TYPE,
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

/// Fetches the rest from modules that are loaded. When the interpreter ends, our objects may still be at work, but
/// imports no longer succeed.
#[pyfunction]
pub(crate) fn _load_before_the_end(py: Python<'_>) -> PyResult<()> {
    let modules = MODULES.get(py)?.cast::<PyDict>()?;
    for import in EVERY_IMPORT {
        // This Python may not have the name, or the program may have deleted it. Then the code that needs it fails.
        if modules.contains(import.module)? && import.get(py).is_err() {
            continue;
        }
    }
    Ok(())
}
