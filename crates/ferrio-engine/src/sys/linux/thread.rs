//! Threads as the kernel knows them: their numbers, their clocks, their files in `/proc`.

use crate::clock::Nanos;

/// The kernel's number of the calling thread.
pub(crate) fn number() -> u32 {
    rustix::thread::gettid().as_raw_nonzero().get() as u32
}

/// The CPU time of a thread of this process; `None` if there is no such thread.
pub(crate) fn cpu_nanos(thread: u32) -> Option<Nanos> {
    // What pthread_getcpuclockid computes (CPUCLOCK_PERTHREAD_MASK | CPUCLOCK_SCHED), for a thread that may be gone.
    let clock = (!(thread as i32) << 3) | 4 | 2;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for the write; the kernel checks the clock's number.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (outcome == 0).then(|| time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// How long a thread of this process has waited for a CPU, in nanoseconds, if the kernel counts that.
pub(crate) fn queued_nanos(thread: u32) -> Option<Nanos> {
    file(thread, "schedstat").and_then(|text| queued_in(&text))
}

/// Whether a thread of this process runs or could run at this moment.
pub(crate) fn is_runnable(thread: u32) -> bool {
    file(thread, "stat").is_some_and(|text| is_running_in(&text))
}

/// The text of a file that the kernel has for a thread of this process.
fn file(thread: u32, name: &str) -> Option<String> {
    std::fs::read_to_string(format!("/proc/self/task/{thread}/{name}")).ok()
}

/// The second number of `/proc/self/task/N/schedstat`: nanoseconds of waiting for a CPU.
fn queued_in(text: &str) -> Option<u64> {
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Whether `/proc/self/task/N/stat` shows the state "R". The name before it may have any characters, even parentheses.
fn is_running_in(text: &str) -> bool {
    text.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('R'))
}

/// The number of the CPU that runs the calling thread.
#[inline]
pub(crate) fn current_cpu() -> u32 {
    rustix::thread::sched_getcpu() as u32
}
