//! A counter that the processor keeps: the cheapest way to tell the time, about 8 ns.
//!
//! It serves only where the kernel itself tells the time by it. Then it runs at one rate, also in sleep states, and shows
//! the same on all processors.

use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
const TRUSTED: &str = "tsc";
#[cfg(target_arch = "aarch64")]
const TRUSTED: &str = "arch_sys_counter";
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const TRUSTED: &str = "(none)";

/// Whether the kernel tells the time by the processor's counter.
pub(crate) fn is_trusted() -> bool {
    static TRUSTS: OnceLock<bool> = OnceLock::new();
    *TRUSTS.get_or_init(|| {
        let name =
            std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
        name.is_ok_and(|name| name.trim() == TRUSTED)
    })
}

/// The counter, on a processor whose counter may be trusted; zero elsewhere.
#[inline]
pub(crate) fn read() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: every x86-64 processor has the instruction, and Linux lets programs use it where it tells the time by it.
    let ticks = unsafe { core::arch::x86_64::_rdtsc() };
    #[cfg(target_arch = "aarch64")]
    let ticks = {
        let ticks: u64;
        // SAFETY: reads a register that Linux lets programs read, and changes nothing.
        unsafe {
            core::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags))
        };
        ticks
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let ticks = 0;
    ticks
}
