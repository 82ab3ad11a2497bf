//! One update for every element: the loop under the rules that treat all parameters alike.
//!
//! A rule says what becomes of one parameter and of its numbers of state, in plain arithmetic; [`for_each_element`]
//! applies that to whole slices. The loop is compiled once per instruction set, like every other
//! [kernel](crate::simd), and over blocks of a fixed length, which the compiler turns into vectors. Nothing is
//! contracted or reordered, so results are the same on every instruction set; long slices are divided among threads
//! with the feature `rayon`.

use crate::parallel::{Shared, for_each_part};
use crate::simd::{Kernel, Processor, Simd};

/// Elements of a block.
const BLOCK: usize = 32;

/// Elements of a part that one thread works on.
const PART: usize = 1 << 15;

/// Calls `(p, s) ← element(p, g, s)` for every parameter `p`, its gradient `g` and its numbers `s` in `N` slices of
/// state.
///
/// # Panics
/// If the slices differ in length.
pub(crate) fn for_each_element<const N: usize>(
    params: &mut [f32],
    grads: &[f32],
    state: [&mut [f32]; N],
    element: impl Fn(f32, f32, [f32; N]) -> (f32, [f32; N]) + Sync,
) {
    let len = params.len();
    assert!(grads.len() == len && state.iter().all(|slice| slice.len() == len), "slices of one length");
    let processor = Processor::widest();
    let (params, state) = (Shared::new(params), state.map(Shared::new));
    for_each_part(len.div_ceil(PART), |part| {
        let range = part * PART..((part + 1) * PART).min(len);
        processor.run(Elements {
            // SAFETY: parts do not overlap, and neither do the slices.
            params: unsafe { params.part(range.clone()) },
            // SAFETY: as above.
            state: state.each_ref().map(|slice| unsafe { slice.part(range.clone()) }),
            grads: &grads[range],
            element: &element,
        });
    });
}

struct Elements<'a, const N: usize, F> {
    params: &'a mut [f32],
    grads: &'a [f32],
    state: [&'a mut [f32]; N],
    element: &'a F,
}

impl<const N: usize, F: Fn(f32, f32, [f32; N]) -> (f32, [f32; N])> Kernel for Elements<'_, N, F> {
    type Output = ();

    #[inline(always)]
    fn run<V: Simd>(self) {
        let Self { params, grads, state, element } = self;
        let len = params.len();
        let full = len / BLOCK * BLOCK;
        for at in (0..full).step_by(BLOCK) {
            // Copies of a fixed length: the compiler need not ask whether the slices overlap.
            let mut p = [0.0; BLOCK];
            let mut g = [0.0; BLOCK];
            let mut s = [[0.0; BLOCK]; N];
            p.copy_from_slice(&params[at..at + BLOCK]);
            g.copy_from_slice(&grads[at..at + BLOCK]);
            for n in 0..N {
                s[n].copy_from_slice(&state[n][at..at + BLOCK]);
            }
            block(&mut p, &g, &mut s, element);
            params[at..at + BLOCK].copy_from_slice(&p);
            for n in 0..N {
                state[n][at..at + BLOCK].copy_from_slice(&s[n]);
            }
        }
        let count = len - full;
        if count == 0 {
            return;
        }
        let mut p = [0.0; BLOCK];
        let mut g = [0.0; BLOCK];
        let mut s = [[0.0; BLOCK]; N];
        p[..count].copy_from_slice(&params[full..]);
        g[..count].copy_from_slice(&grads[full..]);
        for n in 0..N {
            s[n][..count].copy_from_slice(&state[n][full..]);
        }
        block(&mut p, &g, &mut s, element);
        params[full..].copy_from_slice(&p[..count]);
        for n in 0..N {
            state[n][full..].copy_from_slice(&s[n][..count]);
        }
    }
}

#[inline(always)]
fn block<const N: usize, F: Fn(f32, f32, [f32; N]) -> (f32, [f32; N])>(
    params: &mut [f32; BLOCK],
    grads: &[f32; BLOCK],
    state: &mut [[f32; BLOCK]; N],
    element: &F,
) {
    for lane in 0..BLOCK {
        let mut own = [0.0; N];
        for n in 0..N {
            own[n] = state[n][lane];
        }
        let (param, own) = element(params[lane], grads[lane], own);
        params[lane] = param;
        for n in 0..N {
            state[n][lane] = own[n];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_is_updated_once_whatever_the_length() {
        for len in [0, 1, 31, 32, 33, 1000, PART + 5] {
            let grads: Vec<f32> = (0..len).map(|i| (i % 97) as f32).collect();
            let (mut params, mut sums) = (vec![1.0; len], vec![2.0; len]);
            for_each_element(&mut params, &grads, [&mut sums], |p, g, [s]| (p - s * g, [s + g]));
            assert!(params.iter().zip(&grads).all(|(&p, &g)| p == 1.0 - 2.0 * g), "{len}");
            assert!(sums.iter().zip(&grads).all(|(&s, &g)| s == 2.0 + g), "{len}");
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let grads: Vec<f32> = (0..77).map(|i| (i as f32 * 0.7).sin()).collect();
        let update = |p: f32, g: f32, [m, v]: [f32; 2]| {
            let (m, v) = (0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g * g);
            (p - 0.3 * m / (v.sqrt() + 1e-8), [m, v])
        };
        let results = Processor::all().map(|processor| {
            let [mut params, mut mean, mut square] = [0, 1, 2].map(|_| vec![0.25f32; grads.len()]);
            processor.run(Elements {
                params: &mut params,
                grads: &grads,
                state: [&mut mean, &mut square],
                element: &update,
            });
            [params, mean, square].concat().into_iter().map(f32::to_bits).collect::<Vec<_>>()
        });
        let results: Vec<_> = results.collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]));
    }
}
