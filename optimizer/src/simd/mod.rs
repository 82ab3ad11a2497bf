//! Vectors of `f32` lanes with run-time dispatch: one generic kernel, compiled once per instruction set.
//!
//! A kernel implements [`Kernel`] with an `#[inline(always)]` body over any [`Simd`] type. [`dispatch`] picks
//! the widest instruction set of the machine and instantiates the body inside a function that has the
//! matching target features, so an ordinary `cargo build --release` runs at full width. Everything that a
//! kernel calls must be `#[inline(always)]` too, or it would be compiled without those features.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod portable;
#[cfg(target_arch = "x86_64")]
mod sse2;

/// A vector of `f32` lanes.
///
/// Values of a type may only be made inside a [`Kernel`] body that [`dispatch`] runs: the processor is known
/// there to have the instructions that the methods use.
pub(crate) trait Simd: Copy {
    /// Number of lanes.
    const LANES: usize;

    /// All lanes equal to `value`.
    fn splat(value: f32) -> Self;

    /// The first `LANES` elements.
    fn load(from: &[f32]) -> Self;

    /// Writes all lanes to the first `LANES` elements.
    fn store(self, to: &mut [f32]);

    /// All of `from`, which has at most `LANES` elements, and zeros.
    fn load_partial(from: &[f32]) -> Self;

    /// Writes the first `to.len()` lanes, at most `LANES`.
    fn store_partial(self, to: &mut [f32]);

    /// `self + other`.
    fn add(self, other: Self) -> Self;

    /// `self - other`.
    fn sub(self, other: Self) -> Self;

    /// `self · other`.
    fn mul(self, other: Self) -> Self;

    /// `self / other`.
    fn div(self, other: Self) -> Self;

    /// The larger of each pair of lanes.
    fn max(self, other: Self) -> Self;

    /// The smaller of each pair of lanes.
    fn min(self, other: Self) -> Self;

    /// `self · factor + addend`, fused where the instruction set can.
    fn mul_add(self, factor: Self, addend: Self) -> Self;

    /// `1/√self` to within 4e-7 relative, for positive normal lanes.
    fn rsqrt(self) -> Self;

    /// `self` rounded to the nearest whole number, for lanes below 2²² in size.
    fn round(self) -> Self;

    /// `self · 2^exponent` for whole `exponent` in `-126..=127`.
    fn scale(self, exponent: Self) -> Self;

    /// The sum of all lanes, in a fixed order.
    fn sum(self) -> f32;

    /// `eˣ` to within 3e-7 relative; saturates at `e^±87`.
    #[inline(always)]
    fn exp(self) -> Self {
        let x = self.max(Self::splat(-87.0)).min(Self::splat(87.0));
        let n = x.mul(Self::splat(std::f32::consts::LOG2_E)).round();
        // ln 2 in two parts, the first exact in few bits, so that x - n·ln 2 keeps all of its digits.
        let r = n.mul_add(Self::splat(-0.693_359_4), x);
        let r = n.mul_add(Self::splat(2.121_944_4e-4), r);
        let mut poly = Self::splat(1.0 / 5040.0);
        for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
            poly = poly.mul_add(r, Self::splat(coefficient));
        }
        poly.scale(n)
    }

    /// `tanh x`, absolute error below 2e-7.
    #[inline(always)]
    fn tanh(self) -> Self {
        // Beyond ±9 the f32 result is ±1; the clamp keeps the exponential finite.
        let x = self.max(Self::splat(-9.0)).min(Self::splat(9.0));
        let e = x.add(x).exp();
        let one = Self::splat(1.0);
        e.sub(one).div(e.add(one))
    }
}

/// A computation that is written once for every instruction set.
pub(crate) trait Kernel {
    /// What it returns.
    type Output;

    /// The body; must be `#[inline(always)]` in every implementation.
    fn run<V: Simd>(self) -> Self::Output;
}

/// An instruction set that kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum InstructionSet {
    /// AVX-512 Foundation: 16 lanes, 32 registers.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// AVX2 with fused multiply-add: 8 lanes.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// NEON: 4 lanes.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// SSE2: 4 lanes.
    #[cfg(target_arch = "x86_64")]
    Sse2,
    /// Whatever the compiler makes of arrays.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    Portable,
}

impl InstructionSet {
    /// What every machine of the target has.
    const BASELINE: Self = {
        #[cfg(target_arch = "x86_64")]
        let baseline = Self::Sse2;
        #[cfg(target_arch = "aarch64")]
        let baseline = Self::Neon;
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        let baseline = Self::Portable;
        baseline
    };

    /// The instruction sets that this machine can run, widest first.
    fn available() -> impl Iterator<Item = Self> {
        let candidates = [
            #[cfg(target_arch = "x86_64")]
            Self::Avx512,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2,
            Self::BASELINE,
        ];
        candidates.into_iter().filter(|set| set.is_available())
    }

    fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Self::Avx512 => is_x86_feature_detected!("avx512f") && Self::Avx2.is_available(),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            baseline => baseline == Self::BASELINE,
        }
    }
}

/// An instruction set that this machine was found to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Processor(InstructionSet);

impl Processor {
    /// The widest instruction set of this machine.
    #[inline]
    pub fn widest() -> Self {
        Self(InstructionSet::available().next().unwrap_or(InstructionSet::BASELINE))
    }

    /// All instruction sets of this machine, for tests that compare them.
    #[cfg(test)]
    pub fn all() -> impl Iterator<Item = Self> {
        InstructionSet::available().map(Self)
    }

    /// Runs `kernel` on it.
    #[inline]
    pub fn run<K: Kernel>(self, kernel: K) -> K::Output {
        // SAFETY: a value is only made of a set that was found to be available.
        unsafe { run_on(self.0, kernel) }
    }
}

/// Runs `kernel` on the widest instruction set of this machine.
#[inline]
pub(crate) fn dispatch<K: Kernel>(kernel: K) -> K::Output {
    Processor::widest().run(kernel)
}

/// Runs `kernel` on the given instruction set.
///
/// # Safety
/// The machine must have it.
unsafe fn run_on<K: Kernel>(set: InstructionSet, kernel: K) -> K::Output {
    match set {
        // SAFETY: the caller promises that the features exist.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512 => unsafe { avx512::run(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 => unsafe { avx2::run(kernel) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon => unsafe { neon::run(kernel) },
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Sse2 => kernel.run::<sse2::Sse2>(),
        #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
        InstructionSet::Portable => kernel.run::<portable::Portable>(),
    }
}

/// Runs `kernel` once on every instruction set of this machine, for tests that compare them.
#[cfg(test)]
pub(crate) fn on_every_set<K: Kernel>(mut make: impl FnMut() -> K) -> Vec<(InstructionSet, K::Output)> {
    Processor::all().map(|processor| (processor.0, processor.run(make()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Map<'a, F>(&'a [f32], F);

    trait Function {
        fn apply<V: Simd>(&self, x: V) -> V;
    }

    impl<F: Function> Kernel for Map<'_, F> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn run<V: Simd>(self) -> Vec<f32> {
            let mut out = vec![0.0; self.0.len()];
            for (from, to) in self.0.chunks(V::LANES).zip(out.chunks_mut(V::LANES)) {
                if from.len() == V::LANES {
                    self.1.apply(V::load(from)).store(to);
                } else {
                    self.1.apply(V::load_partial(from)).store_partial(to);
                }
            }
            out
        }
    }

    fn check(function: impl Function + Copy, exact: impl Fn(f64) -> f64, inputs: &[f32], tolerance: f64) {
        for (set, outputs) in on_every_set(|| Map(inputs, function)) {
            for (&x, y) in inputs.iter().zip(outputs) {
                let expected = exact(f64::from(x));
                let error = (f64::from(y) - expected).abs() / expected.abs().max(1e-30);
                assert!(error <= tolerance, "{set:?}: f({x}) = {y}, expected {expected}");
            }
        }
    }

    #[derive(Clone, Copy)]
    struct Rsqrt;
    impl Function for Rsqrt {
        #[inline(always)]
        fn apply<V: Simd>(&self, x: V) -> V {
            x.rsqrt()
        }
    }

    #[derive(Clone, Copy)]
    struct Exp;
    impl Function for Exp {
        #[inline(always)]
        fn apply<V: Simd>(&self, x: V) -> V {
            x.exp()
        }
    }

    #[derive(Clone, Copy)]
    struct Tanh;
    impl Function for Tanh {
        #[inline(always)]
        fn apply<V: Simd>(&self, x: V) -> V {
            x.tanh()
        }
    }

    #[test]
    fn reciprocal_roots_are_accurate_over_the_whole_range() {
        let inputs: Vec<f32> = (-330..380).map(|i| 10f32.powf(i as f32 / 10.0)).collect();
        check(Rsqrt, |x| 1.0 / x.sqrt(), &inputs, 4e-7);
    }

    #[test]
    fn exponentials_are_accurate() {
        let inputs: Vec<f32> = (-860..=860).map(|i| i as f32 / 10.0).collect();
        check(Exp, f64::exp, &inputs, 3e-7);
    }

    #[test]
    fn hyperbolic_tangents_are_accurate() {
        let inputs: Vec<f32> = (1..200).flat_map(|i| [i as f32 / 16.0, i as f32 / -16.0]).collect();
        check(Tanh, f64::tanh, &inputs, 2e-6);
    }

    struct Sum<'a>(&'a [f32]);

    impl Kernel for Sum<'_> {
        type Output = f32;

        #[inline(always)]
        fn run<V: Simd>(self) -> f32 {
            let (full, rest) = self.0.split_at(self.0.len() / V::LANES * V::LANES);
            let total = full.chunks(V::LANES).fold(V::splat(0.0), |total, chunk| total.add(V::load(chunk)));
            total.add(V::load_partial(rest)).sum()
        }
    }

    #[test]
    fn partial_loads_fill_with_zeros_and_sums_see_every_lane() {
        let values: Vec<f32> = (1..=61).map(|i| i as f32).collect();
        for (set, total) in on_every_set(|| Sum(&values)) {
            assert_eq!(total, 61.0 * 31.0, "{set:?}");
        }
    }
}
