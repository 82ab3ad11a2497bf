//! Estimators against problems solved by hand, and against the published PES arithmetic.
//!
//! The problem: a state moves by `u = a·θ` per inner step and costs `L_t = (s_t - 1)²` with `s_t = t u`, over
//! episodes of `T` steps. The objective `1/T Σ L_t` has the gradient `a · 1/T Σ 2 t (t u - 1)`. It is quadratic in
//! theta, so an unbiased antithetic estimator has exactly this mean at any sigma.

use std::collections::HashMap;

use safetensors::SafeTensors;
use velo_meta_train::estimator::{GradientEstimator, Method, Position, add_contribution};
use velo_meta_train::noise::Noise;

const SLOPE: [f32; 3] = [0.5, -1.0, 0.25];
const THETA: [f32; 3] = [0.02, -0.01, 0.04];
const SIGMA: f32 = 0.03;
const WINDOW: u64 = 5;
const WINDOWS: u64 = 4;

fn speed(theta: &[f32]) -> f32 {
    theta.iter().zip(SLOPE).map(|(theta, a)| theta * a).sum()
}

/// Mean and standard error of the contribution per window, over many particles.
fn estimate(method: Method, particles: u64) -> Vec<(f64, f64)> {
    let estimator = method.estimator();
    let noise = Noise::new(3, vec![true; 3]);
    let mut sums = [(0.0f64, 0.0f64); 3];
    for particle in 0..particles {
        let gradient = one_episode(estimator, &noise, particle);
        for (sum, g) in sums.iter_mut().zip(gradient) {
            sum.0 += f64::from(g);
            sum.1 += f64::from(g).powi(2);
        }
    }
    let count = particles as f64;
    sums.iter()
        .map(|(sum, squares)| {
            let mean = sum / count;
            (mean, ((squares / count - mean * mean) / count).sqrt())
        })
        .collect()
}

/// The mean of one particle's contributions over the windows of its second episode.
fn one_episode(estimator: &dyn GradientEstimator, noise: &Noise, particle: u64) -> [f32; 3] {
    let mut gradient = [0.0; 3];
    let (mut n, mut direction) = ([0.0; 3], [0.0; 3]);
    let mut states = [0.0f32; 2];
    for window in WINDOWS..2 * WINDOWS {
        let position = Position { particle, episode: 1, window, episode_start: WINDOWS };
        estimator.perturbation(&mut n, position, noise);
        estimator.direction(&mut direction, position, noise);
        let mut gap = 0.0;
        for (state, sign) in states.iter_mut().zip([1.0, -1.0]) {
            let theta: Vec<f32> = THETA.iter().zip(n).map(|(theta, n)| theta + sign * SIGMA * n).collect();
            for _ in 0..WINDOW {
                gap += sign * (*state - 1.0).powi(2) / WINDOW as f32;
                *state += speed(&theta);
            }
        }
        add_contribution(&mut gradient, &direction, gap / WINDOWS as f32, SIGMA);
    }
    gradient
}

/// `a · 1/T Σ 2 (t - s) (t u - 1)`: `s` is 0 for the full gradient; truncated estimators see only the steps since
/// the start of the window.
fn exact(start_of_memory: impl Fn(u64) -> u64) -> [f64; 3] {
    let (u, total) = (f64::from(speed(&THETA)), WINDOW * WINDOWS);
    let slope: f64 = (0..total).map(|t| 2.0 * (t - start_of_memory(t)) as f64 * (t as f64 * u - 1.0)).sum();
    SLOPE.map(|a| f64::from(a) * slope / total as f64)
}

fn assert_mean(estimates: &[(f64, f64)], exact: [f64; 3]) {
    for ((mean, error), exact) in estimates.iter().zip(exact) {
        assert!(*error < 0.06 * exact.abs().max(1.0), "too noisy to say anything: {mean} ± {error}, exact {exact}");
        assert!((mean - exact).abs() < 4.5 * error, "mean {mean} ± {error}, exact {exact}");
    }
}

#[test]
fn nres_is_unbiased_and_has_the_right_scale() {
    assert_mean(&estimate(Method::Nres, 40_000), exact(|_| 0));
}

#[test]
fn pes_is_unbiased_and_has_the_right_scale() {
    assert_mean(&estimate(Method::Pes, 40_000), exact(|_| 0));
}

#[test]
fn truncated_es_finds_the_gradient_of_its_own_window_only() {
    let truncated = estimate(Method::TruncatedEs, 40_000);
    assert_mean(&truncated, exact(|t| t / WINDOW * WINDOW));
    let full = exact(|_| 0);
    assert!((truncated[1].0 / full[1]) < 0.5, "truncation must lose most of this gradient: {truncated:?} of {full:?}");
}

#[test]
fn pes_directions_add_up_since_the_reset_and_start_again_inside_a_window() {
    let noise = Noise::new(9, vec![true; 5]);
    let estimator = Method::Pes.estimator();
    let write = |position, direction: bool| {
        let mut out = [0.0; 5];
        match direction {
            true => estimator.direction(&mut out, position, &noise),
            false => estimator.perturbation(&mut out, position, &noise),
        }
        out
    };
    let at = |window, episode, episode_start| Position { particle: 2, episode, window, episode_start };
    let steps: Vec<[f32; 5]> = (3..=5).map(|window| write(at(window, 0, 3), false)).collect();
    let sum: Vec<f32> = (0..5).map(|i| steps[0][i] + steps[1][i] + steps[2][i]).collect();
    assert_eq!(write(at(5, 0, 3), true).to_vec(), sum);
    assert_eq!(write(at(5, 1, 5), true), steps[2], "after a reset in window 5 only its own perturbation counts");
}

#[test]
fn nres_keeps_its_perturbation_for_an_episode_and_changes_it_at_the_reset() {
    let noise = Noise::new(9, vec![true; 5]);
    let write = |episode, window| {
        let mut out = [0.0; 5];
        let position = Position { particle: 0, episode, window, episode_start: 0 };
        Method::Nres.estimator().perturbation(&mut out, position, &noise);
        out
    };
    assert_eq!(write(4, 7), write(4, 8));
    assert_ne!(write(4, 8), write(5, 8));
}

struct Reference {
    arrays: HashMap<String, (Vec<usize>, Vec<f32>)>,
}

impl Reference {
    fn load() -> Self {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/reference/pes_grad.safetensors");
        let bytes = std::fs::read(path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let arrays = file.iter().map(|(name, view)| {
            let words = view.data().as_chunks::<4>().0;
            let values = match view.dtype() {
                safetensors::Dtype::I32 => words.iter().map(|word| i32::from_le_bytes(*word) as f32).collect(),
                _ => words.iter().map(|word| f32::from_le_bytes(*word)).collect(),
            };
            (name.to_owned(), (view.shape().to_vec(), values))
        });
        Self { arrays: arrays.collect() }
    }

    fn get(&self, name: &str) -> &[f32] {
        &self.arrays[name].1
    }

    /// Row `task` of an array with one row per task.
    fn row(&self, name: &str, task: usize) -> &[f32] {
        let (shape, values) = &self.arrays[name];
        let len = values.len() / shape[0];
        &values[task * len..(task + 1) * len]
    }
}

#[test]
fn the_published_pes_arithmetic_is_reproduced_with_resets_inside_the_window() {
    let reference = Reference::load();
    let (steps, tasks, sigma) = (8, 5, 0.01);
    for tensor in ["a", "b"] {
        let expected = reference.get(&format!("out/grad/{tensor}"));
        let mut gradient = vec![0.0; expected.len()];
        for task in 0..tasks {
            let at = |name: &str, step: usize| reference.get(name)[step * tasks + task];
            // Gap before the reset, gap after it, steps that count.
            let (mut old, mut new, mut valid, mut over) = (0.0, 0.0, 0.0, false);
            for step in 0..steps {
                over |= at("in/is_done", step) > 0.0;
                let delta = (at("in/loss_pos", step) - at("in/loss_neg", step)) * at("in/mask", step);
                *(if over { &mut new } else { &mut old }) += delta;
                valid += at("in/mask", step);
            }
            let fresh: Vec<f32> = reference.row(&format!("in/eps/{tensor}"), task).iter().map(|e| e / sigma).collect();
            let earlier = reference.row(&format!("in/acc/{tensor}"), task).iter().map(|acc| acc / sigma);
            let sum: Vec<f32> = earlier.zip(&fresh).map(|(earlier, fresh)| earlier + fresh).collect();
            add_contribution(&mut gradient, &sum, old / valid / tasks as f32, sigma);
            add_contribution(&mut gradient, &fresh, new / valid / tasks as f32, sigma);
        }
        let scale = expected.iter().fold(0.0f32, |worst, value| worst.max(value.abs()));
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5 * scale, "tensor {tensor}: {found}, expected {expected}");
        }
    }
}
