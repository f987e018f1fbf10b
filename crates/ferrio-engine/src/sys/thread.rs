//! Threads as the kernel knows them: their numbers, their clocks, their files in `/proc`.

use crate::clock::Nanos;

/// The kernel's number of the calling thread.
pub(crate) fn thread_number() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// The CPU time of a thread of this process; `None` if there is no such thread.
pub(crate) fn thread_cpu_nanos(thread: u32) -> Option<Nanos> {
    // What pthread_getcpuclockid computes (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED), for a thread that may be gone.
    let clock = (!(thread as i32) << 3) | 4 | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write; the kernel checks the clock's number.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (outcome == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// The text of a file that the kernel has for a thread of this process.
pub(crate) fn task_file(thread: u32, name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}")).ok()
}
