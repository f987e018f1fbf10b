//! Starts a child while the caller goes on: `clone` with shared memory, which copies no page tables and waits for no disk.
//!
//! `vfork` and `posix_spawn` share the memory too, but block the caller until the program has begun. Here the child has its own
//! stack and uses no libc (`child.rs`), so both can go on. The starting thread is the child's parent in every respect: signal
//! mask, CPUs, sandbox, parent-death signal.
//!
//! What that gains, by `benches/child_processes.py` (Python 3.13, two busy CPUs, best of 20 starts, in ms): the loop stood still
//! for 0.26 here, 0.32 with `Popen`'s `vfork`, and 0.21 with `posix_spawn`. For a child with `user=` in a program of 2 GiB it
//! was 0.22 here and 249 with `Popen`, which forks then; `posix_spawn` can't do it. A start took 0.5 instead of 0.3, because it
//! is reported by the loop. So the gain is in large programs that change the user, and on disks that are slow to answer.
//! `FERRIO_SPAWN=popen` turns it off.
//!
//! Invariant: what the child reads is freed only after its report has ended, that is, after it has left this memory.

use std::ffi::{CStr, CString, c_char, c_void};
use std::io;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};
use std::sync::{Mutex, OnceLock, PoisonError};

use rustix::io::Errno;

use super::child::{self, Plan};
use super::end_of_child;
use super::other_user::OtherUser;
use crate::process::launch::{Order, Place};
use crate::sys::{check, pipe};

/// What a child has reported.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Report {
    /// Nothing yet.
    Pending,
    /// The program runs, or the child was killed before.
    Gone,
    Failed(Place, i32),
}

/// A child that may not run its program yet.
pub(crate) struct Running {
    pub(crate) pid: i32,
    /// Its process descriptor, until that is taken out.
    pub(crate) descriptor: Option<OwnedFd>,
    /// Becomes readable when the child has left this memory, or is about to.
    report: OwnedFd,
    failure: Option<(Place, i32)>,
    memory: Option<ManuallyDrop<Box<Memory>>>,
    /// If the child changes its user. It has left the memory before this is dropped.
    _other_user: Option<OtherUser>,
}

impl std::fmt::Debug for Running {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Running").field("pid", &self.pid).finish_non_exhaustive()
    }
}

/// The memory that the child's pointers lead to.
struct Memory {
    plan: Plan,
    _order: Order,
    _environment: Vec<CString>,
    stack: Option<Stack>,
}

// SAFETY: the plan's pointers lead to strings of the same `Memory`, which don't change.
unsafe impl Send for Memory {}

/// Whether this kernel and process allow children to be started this way.
pub(crate) fn is_available() -> bool {
    static AVAILABLE: OnceLock<bool> = OnceLock::new();
    *AVAILABLE.get_or_init(|| {
        cfg!(any(target_arch = "x86_64", target_arch = "aarch64"))
            && !is_old_libc()
            && !is_under_valgrind()
            && !is_intercepted()
            // Since Linux 5.9, which also has process descriptors; a sandbox may refuse either.
            // SAFETY: takes numbers only; no descriptor has such a number.
            && unsafe { libc::syscall(libc::SYS_close_range, u32::MAX, u32::MAX, 0) } == 0
            && end_of_child::open(std::process::id().cast_signed()).is_ok()
    })
}

/// Up to glibc 2.24, `clone` with shared memory overwrites the calling thread's cached number.
fn is_old_libc() -> bool {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: returns a static string.
        let version = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
        let mut numbers =
            version.to_str().unwrap_or("0").split('.').map(|part| part.parse::<u32>().unwrap_or(0));
        (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < (2, 25)
    }
    #[cfg(not(target_env = "gnu"))]
    false
}

/// valgrind can't follow such a child and ends the program.
fn is_under_valgrind() -> bool {
    std::env::var_os("LD_PRELOAD").is_some_and(|libraries| libraries.to_string_lossy().contains("vgpreload"))
}

/// Whether a preloaded library (`LD_PRELOAD`) replaces libc's `execve` to change what is run. Direct system calls would bypass
/// it.
fn is_intercepted() -> bool {
    let execve: unsafe extern "C" fn(_, _, _) -> _ = libc::execve;
    let getauxval: unsafe extern "C" fn(_) -> _ = libc::getauxval;
    library_of(execve as *const c_void) != library_of(getauxval as *const c_void)
}

/// The start address of the library that contains this function.
fn library_of(function: *const c_void) -> *const c_void {
    let mut found = MaybeUninit::<libc::Dl_info>::zeroed();
    // SAFETY: `dladdr` fills in `found`, or returns zero and leaves its null pointers.
    unsafe {
        libc::dladdr(function, found.as_mut_ptr());
        found.assume_init().dli_fbase
    }
}

/// Starts a child. It may still fail; see [`Running::report`].
pub(crate) fn start(order: Order) -> io::Result<Running> {
    let (report, theirs) = high_pipe()?;
    if order.streams.iter().flatten().any(|fd| [report.as_raw_fd(), theirs.as_raw_fd()].contains(fd)) {
        // The number wasn't open until the pipe got it.
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    let changes_user = order.user.is_some() || order.group.is_some() || order.groups.is_some();
    let other_user = changes_user.then(OtherUser::new);
    let mut memory = Box::new(Memory::new(order, theirs.as_raw_fd())?);
    let mut descriptor: libc::c_int = -1;
    let top = memory.stack.as_ref().map_or(null_mut(), Stack::top);
    // Block all signals, including those that libc reserves. No handler may run on the child's small stack.
    memory.plan.mask = set_mask(u64::MAX);
    let mask = memory.plan.mask;
    let plan = &raw mut memory.plan;
    // SAFETY: `main` does only what a child in shared memory may do. It has its own stack, which lives until the child has left,
    // like the plan (see `Running`). The kernel writes the descriptor.
    let pid = unsafe {
        let flags = libc::CLONE_VM | libc::CLONE_PIDFD | libc::SIGCHLD;
        libc::clone(child::main, top, flags, plan.cast::<c_void>(), &raw mut descriptor)
    };
    let outcome = check(pid);
    set_mask(mask);
    let pid = outcome?;
    let descriptor = if descriptor >= 0 {
        // SAFETY: a new descriptor without another owner.
        Some(unsafe { OwnedFd::from_raw_fd(descriptor) })
    } else {
        None
    };
    let memory = Some(ManuallyDrop::new(memory));
    Ok(Running { pid, descriptor, report, failure: None, memory, _other_user: other_user })
}

impl Running {
    /// The descriptor that becomes readable when there is a report.
    pub(crate) fn report_descriptor(&self) -> RawFd {
        self.report.as_raw_fd()
    }

    /// The child's report so far; never blocks.
    pub(crate) fn report(&mut self) -> io::Result<Report> {
        if self.memory.is_none() {
            return Ok(self.failure.map_or(Report::Gone, |(place, number)| Report::Failed(place, number)));
        }
        loop {
            let mut words = [[0; 4]; 2];
            match rustix::io::read(&self.report, words.as_flattened_mut()) {
                Ok(0) => {
                    // Every copy of the other end is closed, so the child has left the memory.
                    if let Some(memory) = self.memory.take() {
                        ManuallyDrop::into_inner(memory).end();
                    }
                    return self.report();
                }
                Ok(_) => {
                    let [place, number] = words.map(i32::from_ne_bytes);
                    let place = match place {
                        0 => Place::Setup,
                        1 => Place::Directory,
                        _ => Place::Program,
                    };
                    self.failure = Some((place, number));
                }
                Err(Errno::AGAIN) => return Ok(Report::Pending),
                Err(Errno::INTR) => {}
                Err(failure) => return Err(failure.into()),
            }
        }
    }
}

impl Memory {
    fn new(order: Order, report: RawFd) -> io::Result<Self> {
        let inherited = if order.environment.is_none() { environment() } else { Vec::new() };
        let environment = order.environment.as_ref().unwrap_or(&inherited);
        let mut keep = order.keep.clone();
        keep.push(report);
        keep.sort_unstable();
        keep.dedup();
        let plan = Plan {
            programs: order.programs.iter().map(|program| program.as_ptr()).collect(),
            arguments: pointers(&order.arguments),
            environment: pointers(environment),
            directory: order.directory.as_ref().map_or(null(), |directory| directory.as_ptr()),
            streams: order.streams.map(|fd| fd.unwrap_or(-1)),
            report,
            close_others: order.close_others,
            keep,
            umask: order.umask,
            restore_signals: order.restore_signals,
            mask: 0,
            new_session: order.new_session,
            process_group: order.process_group,
            groups: order.groups.clone(),
            group: order.group,
            user: order.user,
        };
        let stack = Some(Stack::new()?);
        Ok(Self { plan, _order: order, _environment: inherited, stack })
    }

    /// Call this after the child has left the memory.
    fn end(mut self: Box<Self>) {
        if let Some(stack) = self.stack.take() {
            stack.keep();
        }
    }
}

fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([null()]).collect()
}

/// A copy of this process's environment, which may change while the child still needs it.
fn environment() -> Vec<CString> {
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    let mut copies = Vec::new();
    // SAFETY: libc's own list. No other thread may change it meanwhile, as with `execv`: that is `Order::environment`'s condition.
    let mut entry = unsafe { environ };
    while !entry.is_null() {
        // SAFETY: the list ends with a null pointer, which ends the loop.
        let string = unsafe { *entry };
        if string.is_null() {
            break;
        }
        // SAFETY: an entry is a string that ends with a zero.
        copies.push(unsafe { CStr::from_ptr(string) }.to_owned());
        // SAFETY: this was not the last one.
        entry = unsafe { entry.add(1) };
    }
    copies
}

/// A pipe that is closed on exec and never blocks. Its writing end has a number above the standard streams.
fn high_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (ours, theirs) = pipe::create()?;
    if theirs.as_raw_fd() > 2 {
        return Ok((ours, theirs));
    }
    Ok((ours, rustix::io::fcntl_dupfd_cloexec(&theirs, 3)?))
}

/// Sets the calling thread's signal mask; returns the previous one.
fn set_mask(mask: u64) -> u64 {
    let mut before = 0u64;
    // SAFETY: the kernel reads and writes eight bytes, its own size of a signal set. It can't fail.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const mask,
            &raw mut before,
            size_of::<u64>(),
        )
    };
    before
}

/// A child's stack. The memory below it is inaccessible.
struct Stack(*mut c_void);

// SAFETY: plain memory that belongs to the `Stack`'s owner.
unsafe impl Send for Stack {}

/// Stacks for later children.
static SPARE: Mutex<Vec<Stack>> = Mutex::new(Vec::new());

impl Stack {
    const SIZE: usize = 64 * 1024;
    /// At least a page on every architecture.
    const GUARD: usize = 64 * 1024;
    const SPARE_LIMIT: usize = 16;

    fn new() -> io::Result<Self> {
        if let Some(spare) = SPARE.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(spare);
        }
        let size = Self::SIZE + Self::GUARD;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_STACK | libc::MAP_NORESERVE;
        // SAFETY: asks for new memory, wherever there is room.
        let start = unsafe { libc::mmap(null_mut(), size, libc::PROT_NONE, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let stack = Self(start);
        // SAFETY: the upper part of the new memory.
        check(unsafe {
            libc::mprotect(start.byte_add(Self::GUARD), Self::SIZE, libc::PROT_READ | libc::PROT_WRITE)
        })?;
        Ok(stack)
    }

    /// Its upper end, where it begins: it grows downwards.
    fn top(&self) -> *mut c_void {
        // SAFETY: one past the end of the memory.
        unsafe { self.0.byte_add(Self::SIZE + Self::GUARD) }
    }

    /// Keeps it for a later child.
    fn keep(self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < Self::SPARE_LIMIT {
            spare.push(self);
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        // SAFETY: memory of our own that is no longer used.
        unsafe { libc::munmap(self.0, Self::SIZE + Self::GUARD) };
    }
}
