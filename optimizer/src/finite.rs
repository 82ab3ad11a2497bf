//! Whether all numbers are finite: what is asked about the gradients before every step.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::parallel::for_each_part;
use crate::simd::{Kernel, Processor, Simd};

/// Elements of a part that one thread looks at.
const PART: usize = 1 << 15;

/// The bits of an exponent; all of them are set in NaN and infinity alone.
const EXPONENT: u32 = 0x7f80_0000;

/// True when no element is NaN or infinite.
pub(crate) fn all_finite(values: &[f32]) -> bool {
    let (processor, finite) = (Processor::widest(), AtomicBool::new(true));
    for_each_part(values.len().div_ceil(PART), |part| {
        let part = &values[part * PART..values.len().min((part + 1) * PART)];
        if !processor.run(Finite(part)) {
            finite.store(false, Ordering::Relaxed);
        }
    });
    finite.into_inner()
}

struct Finite<'a>(&'a [f32]);

impl Kernel for Finite<'_> {
    type Output = bool;

    #[inline(always)]
    fn run<V: Simd>(self) -> bool {
        // A maximum and no early exit: the compiler keeps one for every lane.
        let mut largest = 0;
        for value in self.0 {
            largest = largest.max(value.to_bits() & EXPONENT);
        }
        largest < EXPONENT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_element_is_found_wherever_it_is() {
        for len in [1, 17, 1000, PART + 3] {
            let mut values = vec![f32::MAX; len];
            assert!(all_finite(&values), "{len}");
            for at in [0, len / 2, len - 1] {
                for bad in [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                    values[at] = bad;
                    assert!(!all_finite(&values), "{bad} at {at} of {len}");
                }
                values[at] = -1e-40;
            }
        }
        assert!(all_finite(&[]));
    }

    #[test]
    fn every_instruction_set_finds_it() {
        let mut values = [1.0; 50];
        assert!(Processor::all().all(|processor| processor.run(Finite(&values))));
        values[49] = f32::NAN;
        assert!(!Processor::all().any(|processor| processor.run(Finite(&values))));
    }
}
