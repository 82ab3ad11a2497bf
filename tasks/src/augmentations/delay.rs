//! Gradients that come late, as from a pipeline of machines: call `t` of a run gets the gradient of call `t - n`.
//!
//! Until there have been `n` calls, the first gradient is given again. This is the one disguise that remembers: a run is
//! recognised by its batches, which must follow each other (same seed and split, index plus one); after any jump the
//! memory starts anew. Several runs may take turns on one task if each batch is asked for by all of them in the same order
//! (as the two sides of an antithetic pair do): the second request for a batch belongs to the second run, and so on. A
//! gradient that is not finite ends the memory of its run, so that a run that diverges leaves nothing behind.

use velo_optimizer::ParamLayout;

use super::disguised_gradients::GradientDisguise;
use crate::task::Batch;

/// See the [module](self).
pub(super) struct Delay {
    steps: usize,
    runs: Vec<Run>,
    /// Runs that are over: the next ones take their memory.
    idle: Vec<Run>,
    /// The batch of the last call, and how many runs have asked for it.
    last: Option<(Batch, usize)>,
}

/// The newest gradients of one run, at most `steps + 1`.
#[derive(Default)]
struct Run {
    /// A ring, made longer until it holds `steps + 1` gradients.
    ring: Vec<Vec<f32>>,
    oldest: usize,
    held: usize,
    /// The batch that continues the run.
    next: Option<Batch>,
}

impl Run {
    fn forget(&mut self) {
        (self.oldest, self.held) = (0, 0);
    }

    /// Keeps a copy of `grads`, in place of the oldest gradient if `most` are held.
    fn push(&mut self, grads: &[f32], most: usize) {
        if self.held == most {
            self.oldest = (self.oldest + 1) % most;
            self.held -= 1;
        }
        let place = (self.oldest + self.held) % most;
        match self.ring.get_mut(place) {
            Some(kept) => kept.copy_from_slice(grads),
            // The ring is filled from its start, so this is the place behind its end.
            None => self.ring.push(grads.to_vec()),
        }
        self.held += 1;
    }
}

impl Delay {
    pub(super) fn new(steps: usize) -> Self {
        Self { steps, runs: Vec::new(), idle: Vec::new(), last: None }
    }
}

/// The batch after this one.
fn following(batch: Batch) -> Batch {
    Batch { index: batch.index.wrapping_add(1), ..batch }
}

impl GradientDisguise for Delay {
    fn disguise(&mut self, grads: &mut [f32], batch: Batch, _layout: &ParamLayout) {
        let turn = match self.last {
            Some((last, turn)) if last == batch => turn + 1,
            _ => 0,
        };
        self.last = Some((batch, turn));
        if turn == 0 {
            // Runs that did not ask for the batch before are over.
            self.idle.extend(self.runs.extract_if(.., |run| run.next != Some(batch)));
        }
        if self.runs.len() <= turn {
            let mut run = self.idle.pop().unwrap_or_default();
            run.forget();
            self.runs.push(run);
        }
        let run = &mut self.runs[turn];
        run.next = Some(following(batch));
        if grads.iter().any(|gradient| !gradient.is_finite()) {
            run.forget();
            return;
        }
        run.push(grads, self.steps + 1);
        grads.copy_from_slice(&run.ring[run.oldest]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task::Split;

    /// What becomes of the gradient `value` of batch `index`.
    fn call(delay: &mut Delay, index: u64, value: f32) -> f32 {
        let layout = ParamLayout::new([("w", vec![1])]).unwrap();
        let mut grads = [value];
        delay.disguise(&mut grads, Batch { seed: 1, split: Split::Train, index }, &layout);
        grads[0]
    }

    #[test]
    fn a_gradient_comes_n_calls_late_and_the_first_one_fills_the_start() {
        let mut delay = Delay::new(3);
        let given: Vec<_> = (0..8u8).map(|t| call(&mut delay, t.into(), t.into())).collect();
        assert_eq!(given, [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, 3.0, 4.0]);
    }

    #[test]
    fn a_new_run_starts_without_memory() {
        let mut delay = Delay::new(2);
        (0..5u8).for_each(|t| _ = call(&mut delay, t.into(), 100.0));
        assert_eq!([call(&mut delay, 0, 1.0), call(&mut delay, 1, 2.0)], [1.0, 1.0]);
    }

    #[test]
    fn two_runs_that_take_turns_do_not_mix() {
        let mut delay = Delay::new(2);
        for t in 0..10u8 {
            let oldest = t.saturating_sub(2);
            assert_eq!(call(&mut delay, t.into(), f32::from(t)), f32::from(oldest));
            assert_eq!(call(&mut delay, t.into(), 50.0 + f32::from(t)), 50.0 + f32::from(oldest));
        }
    }

    #[test]
    fn a_run_that_diverges_leaves_no_gradient_to_the_one_that_goes_on() {
        let mut delay = Delay::new(2);
        for t in 0..4u8 {
            call(&mut delay, t.into(), 7.0);
            call(&mut delay, t.into(), 1.0);
        }
        assert!(call(&mut delay, 4, f32::NAN).is_nan());
        assert_eq!(call(&mut delay, 4, 1.0), 1.0);
        assert_eq!([5, 6, 7].map(|t| call(&mut delay, t, 1.0)), [1.0; 3]);
    }
}
