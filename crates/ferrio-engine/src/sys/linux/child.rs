//! What a child does before it runs its program: it shares the parent's memory, and the parent goes on meanwhile.
//!
//! So nothing here may write to memory that the parent could read. That means no allocation, no lock, no panic, and
//! no libc, whose `errno` belongs to the thread that made the child. System calls are made directly, with arguments
//! prepared before.

use std::ffi::{c_char, c_int, c_long, c_void};
use std::os::fd::RawFd;

use crate::process::launch::Place;

/// Everything that the child needs. It lives until the child has left this memory. `-1` and null pointers mean "none".
pub(super) struct Plan {
    /// The programs to try, one after the other.
    pub(super) programs: Vec<*const c_char>,
    /// Ends with a null pointer, like the next one.
    pub(super) arguments: Vec<*const c_char>,
    pub(super) environment: Vec<*const c_char>,
    pub(super) directory: *const c_char,
    pub(super) streams: [RawFd; 3],
    /// Where a failure is written. Closed on exec; its number is above the streams'.
    pub(super) report: RawFd,
    pub(super) close_others: bool,
    /// The descriptors that stay open in the program, in ascending order.
    pub(super) keep: Vec<RawFd>,
    pub(super) umask: Option<u32>,
    /// Whether SIGPIPE and SIGXFSZ get their default action back.
    pub(super) restore_signals: bool,
    /// The signal mask of the thread that starts the child.
    pub(super) mask: u64,
    pub(super) new_session: bool,
    pub(super) process_group: Option<i32>,
    pub(super) groups: Option<Vec<u32>>,
    pub(super) group: Option<u32>,
    pub(super) user: Option<u32>,
}

/// The child's main function; `plan` is a [`Plan`]. If it fails, it writes the place and the error number to `report`.
pub(super) extern "C" fn main(plan: *mut c_void) -> c_int {
    // SAFETY: `spawn::start` passes a plan that lives until the report ends, which happens after this function
    // returns.
    let plan = unsafe { &*plan.cast::<Plan>() };
    let (place, number) = match prepare(plan) {
        Ok(()) => (Place::Program, run(plan)),
        Err(failure) => failure,
    };
    let report = [place as i32, number];
    // SAFETY: reads eight bytes from `report`.
    let _ = unsafe { call(libc::SYS_write, [word(plan.report), report.as_ptr() as usize, 8, 0, 0]) };
    let _ = plain(libc::SYS_exit_group, [255, 0, 0]);
    255
}

type Step = Result<(), (Place, i32)>;

fn prepare(plan: &Plan) -> Step {
    for &fd in &plan.keep {
        if fd != plan.report {
            setup(plain(libc::SYS_fcntl, [word(fd), libc::F_SETFD as usize, 0]))?;
        }
    }
    streams(plan.streams)?;
    if !plan.directory.is_null() {
        // SAFETY: a string that ends with a zero and lives as long as the plan.
        let changed = unsafe { call(libc::SYS_chdir, [plan.directory as usize, 0, 0, 0, 0]) };
        failed(changed).map_or(Ok(()), |number| Err((Place::Directory, number)))?;
    }
    if let Some(umask) = plan.umask {
        let _ = plain(libc::SYS_umask, [umask as usize, 0, 0]);
    }
    signals(plan.restore_signals);
    if plan.new_session {
        setup(plain(libc::SYS_setsid, [0; 3]))?;
    }
    if let Some(group) = plan.process_group {
        setup(plain(libc::SYS_setpgid, [0, word(group), 0]))?;
    }
    // Raw calls, because libc's would change every thread of the process, which is the parent's.
    if let Some(groups) = &plan.groups {
        // SAFETY: the kernel reads as many numbers as there are.
        setup(unsafe { call(libc::SYS_setgroups, [groups.len(), groups.as_ptr() as usize, 0, 0, 0]) })?;
    }
    if let Some(group) = plan.group {
        setup(plain(libc::SYS_setregid, [group as usize, group as usize, 0]))?;
    }
    if let Some(user) = plan.user {
        setup(plain(libc::SYS_setreuid, [user as usize, user as usize, 0]))?;
    }
    if plan.close_others {
        let mut from = 3;
        for &fd in &plan.keep {
            if fd > from {
                setup(plain(libc::SYS_close_range, [word(from), word(fd - 1), 0]))?;
            }
            from = from.max(fd + 1);
        }
        setup(plain(libc::SYS_close_range, [word(from), u32::MAX as usize, 0]))?;
    }
    Ok(())
}

/// Moves the streams to their numbers. A stream that occupies another's number is moved away first.
fn streams([stdin, mut stdout, mut stderr]: [RawFd; 3]) -> Step {
    for (fd, places) in [(&mut stdout, 1), (&mut stderr, 2)] {
        if (0..places).contains(fd) {
            let moved = plain(libc::SYS_fcntl, [word(*fd), libc::F_DUPFD_CLOEXEC as usize, 3]);
            setup(moved)?;
            *fd = moved as RawFd;
        }
    }
    for (place, fd) in [stdin, stdout, stderr].into_iter().enumerate() {
        if fd == place as RawFd {
            setup(plain(libc::SYS_fcntl, [word(fd), libc::F_SETFD as usize, 0]))?;
        } else if fd >= 0 {
            setup(plain(libc::SYS_dup3, [word(fd), place, 0]))?;
        }
    }
    Ok(())
}

/// Resets every signal handler, because it would run in the parent's memory. Ignored signals stay ignored, as after
/// any exec.
fn signals(restore: bool) {
    const IGNORED: u64 = libc::SIG_IGN as u64;
    let default = [0u64; 4];
    for signal in 1..=64 {
        // The kernel's `struct sigaction`: handler, flags, restorer, mask.
        let mut action = [0u64; 4];
        // SAFETY: the kernel fills in `action`.
        let asked = unsafe {
            call(
                libc::SYS_rt_sigaction,
                [signal as usize, 0, action.as_mut_ptr() as usize, size_of::<u64>(), 0],
            )
        };
        let restored = restore && (signal == libc::SIGPIPE || signal == libc::SIGXFSZ);
        if failed(asked).is_none() && action[0] != 0 && (action[0] != IGNORED || restored) {
            // SAFETY: the kernel reads `default`. No `sigaction` fails for a signal that has a handler.
            let _ = unsafe {
                call(
                    libc::SYS_rt_sigaction,
                    [signal as usize, default.as_ptr() as usize, 0, size_of::<u64>(), 0],
                )
            };
        }
    }
}

/// Becomes the first program that can be run. Otherwise returns an error number: the first that isn't just "no such
/// file".
fn run(plan: &Plan) -> i32 {
    let mask = &raw const plan.mask;
    // SAFETY: the kernel reads eight bytes of the mask.
    let _ = unsafe {
        call(libc::SYS_rt_sigprocmask, [libc::SIG_SETMASK as usize, mask as usize, 0, size_of::<u64>(), 0])
    };
    let (arguments, environment) = (plan.arguments.as_ptr() as usize, plan.environment.as_ptr() as usize);
    let (mut first_other, mut last) = (0, libc::ENOENT);
    for &program in &plan.programs {
        // SAFETY: strings that end with a zero, in lists that end with a null pointer; they live as long as the plan.
        let number = unsafe { call(libc::SYS_execve, [program as usize, arguments, environment, 0, 0]) };
        last = failed(number).unwrap_or(0);
        if first_other == 0 && last != libc::ENOENT && last != libc::ENOTDIR {
            first_other = last;
        }
    }
    if first_other == 0 { last } else { first_other }
}

fn setup(result: isize) -> Step {
    failed(result).map_or(Ok(()), |number| Err((Place::Setup, number)))
}

/// The error number of a failed system call.
fn failed(result: isize) -> Option<i32> {
    (result < 0).then_some(-result as i32)
}

fn word(number: i32) -> usize {
    number as isize as usize
}

/// A system call that takes numbers only.
fn plain(number: c_long, [first, second, third]: [usize; 3]) -> isize {
    // SAFETY: no argument is a pointer.
    unsafe { call(number, [first, second, third, 0, 0]) }
}

/// A system call without libc. A negative result is an error number, negated.
///
/// # Safety
///
/// Those of the system call.
#[cfg(target_arch = "x86_64")]
unsafe fn call(number: c_long, [first, second, third, fourth, fifth]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel's calling convention; it keeps all registers but the named ones. The caller answers for pointers.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") first,
            in("rsi") second,
            in("rdx") third,
            in("r10") fourth,
            in("r8") fifth,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// A system call without libc. A negative result is an error number, negated.
///
/// # Safety
///
/// Those of the system call.
#[cfg(target_arch = "aarch64")]
unsafe fn call(number: c_long, [first, second, third, fourth, fifth]: [usize; 5]) -> isize {
    let result;
    // SAFETY: the kernel's calling convention; it keeps all registers but the result's. The caller answers for pointers.
    unsafe {
        std::arch::asm!(
            "svc 0",
            in("x8") number,
            inlateout("x0") first as isize => result,
            in("x1") second,
            in("x2") third,
            in("x3") fourth,
            in("x4") fifth,
            options(nostack),
        );
    }
    result
}

/// On other architectures no child is made this way; see `spawn::is_available`.
///
/// # Safety
///
/// It does nothing.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn call(_number: c_long, _arguments: [usize; 5]) -> isize {
    -(libc::ENOSYS as isize)
}
