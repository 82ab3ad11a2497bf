//! Flushing denormal numbers to zero for the length of a step.
//!
//! Squared gradients of a converged or dead unit decay into the denormal range, where x86 cores compute some
//! ten times slower. The guard switches the thread's floating-point unit to flush-to-zero and restores the
//! caller's mode when it is dropped. On architectures without such a mode it does nothing.

use std::marker::PhantomData;

/// While alive, denormal results and operands count as zero on this thread.
#[derive(Debug)]
pub struct FlushDenormals {
    previous: u64,
    // The mode belongs to this thread: the guard must be dropped where it was made.
    _not_send: PhantomData<*const ()>,
}

impl FlushDenormals {
    /// Switches the mode on.
    #[inline]
    pub fn new() -> Self {
        let previous = control::read();
        if previous & control::FLUSH != control::FLUSH {
            control::write(previous | control::FLUSH);
        }
        Self { previous, _not_send: PhantomData }
    }
}

impl Default for FlushDenormals {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for FlushDenormals {
    #[inline]
    fn drop(&mut self) {
        if self.previous & control::FLUSH != control::FLUSH {
            control::write(self.previous);
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod control {
    use std::arch::asm;

    /// Flush-to-zero (bit 15) and denormals-are-zero (bit 6) of MXCSR.
    pub const FLUSH: u64 = 0x8040;

    pub fn read() -> u64 {
        let mut value = 0u32;
        // SAFETY: stores the 32-bit MXCSR into a local of that size; every x86-64 processor has SSE.
        unsafe { asm!("stmxcsr [{}]", in(reg) &raw mut value, options(nostack, preserves_flags)) };
        u64::from(value)
    }

    pub fn write(value: u64) {
        let value = value as u32;
        // SAFETY: the value was read from MXCSR with at most the FLUSH bits added, so no reserved bit is set.
        unsafe { asm!("ldmxcsr [{}]", in(reg) &raw const value, options(nostack, preserves_flags)) };
    }
}

#[cfg(target_arch = "aarch64")]
mod control {
    use std::arch::asm;

    /// Flush-to-zero (bit 24) of FPCR.
    pub const FLUSH: u64 = 1 << 24;

    pub fn read() -> u64 {
        let value: u64;
        // SAFETY: reads a register that every aarch64 processor has.
        unsafe { asm!("mrs {}, fpcr", out(reg) value, options(nomem, nostack, preserves_flags)) };
        value
    }

    pub fn write(value: u64) {
        // SAFETY: the value was read from FPCR with at most the FLUSH bit added.
        unsafe { asm!("msr fpcr, {}", in(reg) value, options(nomem, nostack, preserves_flags)) };
    }
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod control {
    pub const FLUSH: u64 = 0;

    pub fn read() -> u64 {
        0
    }

    pub fn write(_value: u64) {}
}

#[cfg(all(test, any(target_arch = "x86_64", target_arch = "aarch64")))]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn denormals_vanish_inside_and_come_back_outside() {
        let tiny = black_box(f32::MIN_POSITIVE);
        {
            let _flush = FlushDenormals::new();
            assert_eq!(tiny * black_box(0.5), 0.0);
            {
                let _nested = FlushDenormals::new();
            }
            assert_eq!(tiny * black_box(0.5), 0.0, "an inner guard must not end an outer one");
        }
        assert!(tiny * black_box(0.5) > 0.0);
    }
}
