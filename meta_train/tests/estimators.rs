//! Estimators by themselves, against problems solved by hand, and against the published PES arithmetic; `engine.rs` has
//! the whole way from inner runs to the outer step.
//!
//! The problem: a state moves by `u = a·θ` per inner step and costs `L_t = (s_t - 1)²` with `s_t = t u`, over
//! episodes of `T` steps. The mean `1/T Σ L_t` has the gradient `a · 1/T Σ 2 t (t u - 1)`, the final loss `L_T` has
//! `a · 2 T (T u - 1)`. Both are quadratic in theta, so an unbiased antithetic estimator has exactly this mean at
//! any sigma.

use std::collections::HashMap;

use safetensors::SafeTensors;
use velo_meta_train::estimator::{GradientEstimator, Method, Position, add_contribution};
use velo_meta_train::noise::Noise;
use velo_meta_train::objective::Objective;

const SLOPE: [f32; 3] = [0.5, -1.0, 0.25];
const THETA: [f32; 3] = [0.02, -0.01, 0.04];
/// Parts of theta may be perturbed to different degrees.
const SIGMAS: [f32; 3] = [0.03, 0.03, 0.06];
const WINDOW: u64 = 5;
const WINDOWS: u64 = 4;
const HORIZON: u64 = WINDOW * WINDOWS;

fn speed(theta: &[f32]) -> f32 {
    theta.iter().zip(SLOPE).map(|(theta, a)| theta * a).sum()
}

fn objective(final_weight: f32) -> Objective {
    Objective { final_weight, ..Objective::default() }
}

/// Mean and standard error of the gradient, over many particles.
fn estimate(method: Method, final_weight: f32, particles: u64) -> Vec<(f64, f64)> {
    let estimator = method.estimator();
    let noise = Noise::new(3, vec![true; 3]);
    let mut sums = [(0.0f64, 0.0f64); 3];
    for particle in 0..particles {
        let gradient = one_episode(estimator, &objective(final_weight), &noise, particle);
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

/// One particle's contributions over the windows of its second episode, averaged over steps.
fn one_episode(estimator: &dyn GradientEstimator, objective: &Objective, noise: &Noise, particle: u64) -> [f32; 3] {
    let mut gradient = [0.0; 3];
    let (mut n, mut direction) = ([0.0; 3], [0.0; 3]);
    let mut states = [0.0f32; 2];
    let cost = |state: f32| f64::from((state - 1.0).powi(2));
    let (mut final_gap, mut whole) = (0.0, 0.0);
    for window in WINDOWS..2 * WINDOWS {
        let position = Position { particle, episode: 1, window, episode_start: WINDOWS, stage: 0 };
        estimator.perturbation(&mut n, position, noise);
        estimator.direction(&mut direction, position, noise);
        let mut mean_gap = 0.0;
        for (state, sign) in states.iter_mut().zip([1.0f32, -1.0]) {
            let perturbed = THETA.iter().zip(n).zip(SIGMAS);
            let theta: Vec<f32> = perturbed.map(|((theta, n), sigma)| theta + sign * sigma * n).collect();
            for _ in 0..WINDOW {
                mean_gap += f64::from(sign) * cost(*state) / WINDOW as f64;
                *state += speed(&theta);
            }
        }
        let now = cost(states[0]) - cost(states[1]);
        let gap = objective.segment_gap(mean_gap, now - final_gap, WINDOW, HORIZON);
        final_gap = now;
        whole += gap / WINDOWS as f64;
        if !estimator.waits_for_the_end() {
            add_contribution(&mut gradient, &direction, (gap / WINDOWS as f64) as f32, &SIGMAS);
        }
    }
    if estimator.waits_for_the_end() {
        add_contribution(&mut gradient, &direction, whole as f32, &SIGMAS);
    }
    gradient
}

/// `a · 1/T Σ 2 (t - s) (t u - 1)`: `s` is 0 for the full gradient; truncated estimators see only the steps since
/// the start of the window.
fn exact_mean(start_of_memory: impl Fn(u64) -> u64) -> [f64; 3] {
    let u = f64::from(speed(&THETA));
    let slope: f64 = (0..HORIZON).map(|t| 2.0 * (t - start_of_memory(t)) as f64 * (t as f64 * u - 1.0)).sum();
    SLOPE.map(|a| f64::from(a) * slope / HORIZON as f64)
}

/// `a · 2 T (T u - 1)`.
fn exact_final() -> [f64; 3] {
    let (u, horizon) = (f64::from(speed(&THETA)), HORIZON as f64);
    SLOPE.map(|a| f64::from(a) * 2.0 * horizon * (horizon * u - 1.0))
}

fn exact(final_weight: f32) -> [f64; 3] {
    let (mean, last, weight) = (exact_mean(|_| 0), exact_final(), f64::from(final_weight));
    std::array::from_fn(|i| (1.0 - weight) * mean[i] + weight * last[i])
}

fn assert_mean(estimates: &[(f64, f64)], exact: [f64; 3]) {
    for ((mean, error), exact) in estimates.iter().zip(exact) {
        assert!(*error < 0.06 * exact.abs().max(1.0), "too noisy to say anything: {mean} ± {error}, exact {exact}");
        assert!((mean - exact).abs() < 4.5 * error, "mean {mean} ± {error}, exact {exact}");
    }
}

#[test]
fn nres_is_unbiased_and_has_the_right_scale() {
    assert_mean(&estimate(Method::Nres, 0.0, 40_000), exact(0.0));
}

#[test]
fn pes_is_unbiased_and_has_the_right_scale() {
    assert_mean(&estimate(Method::Pes, 0.0, 40_000), exact(0.0));
}

#[test]
fn full_es_is_unbiased_and_has_the_right_scale() {
    assert_mean(&estimate(Method::FullEs, 0.0, 40_000), exact(0.0));
}

#[test]
fn the_final_loss_and_a_blend_of_both_are_estimated_without_bias_too() {
    for method in [Method::Nres, Method::Pes, Method::FullEs] {
        for final_weight in [0.25, 1.0] {
            assert_mean(&estimate(method, final_weight, 40_000), exact(final_weight));
        }
    }
}

#[test]
fn truncated_es_finds_the_gradient_of_its_own_window_only() {
    let truncated = estimate(Method::TruncatedEs, 0.0, 40_000);
    assert_mean(&truncated, exact_mean(|t| t / WINDOW * WINDOW));
    let full = exact(0.0);
    assert!((truncated[1].0 / full[1]) < 0.5, "truncation must lose most of this gradient: {truncated:?} of {full:?}");
}

#[test]
fn full_es_says_at_the_end_what_nres_says_piece_by_piece() {
    let noise = Noise::new(3, vec![true; 3]);
    for (particle, final_weight) in [(0, 0.0), (1, 0.5), (2, 1.0)] {
        let gradient = |method: Method| one_episode(method.estimator(), &objective(final_weight), &noise, particle);
        for (full, nres) in gradient(Method::FullEs).iter().zip(gradient(Method::Nres)) {
            assert!((full - nres).abs() <= 1e-4 * full.abs().max(1.0), "{full} {nres}");
        }
    }
}

/// Summed variance over the entries of the contribution of the last of `windows` windows, whose gap answers to the
/// perturbation of window `j` with the slope `slopes[j]`.
fn variance(method: Method, slopes: &[Vec<f32>], particles: u64) -> f64 {
    let dimensions = slopes[0].len();
    let noise = Noise::new(11, vec![true; dimensions]);
    let estimator = method.estimator();
    let (mut n, mut direction) = (vec![0.0; dimensions], vec![0.0; dimensions]);
    let (mut sum, mut squares) = (vec![0.0f64; dimensions], 0.0f64);
    for particle in 0..particles {
        let mut gap = 0.0f32;
        let at = |window| Position { particle, episode: 0, window, episode_start: 0, stage: 0 };
        for (window, slope) in slopes.iter().enumerate() {
            estimator.perturbation(&mut n, at(window as u64), &noise);
            gap += slope.iter().zip(&n).map(|(a, n)| 2.0 * a * n).sum::<f32>();
        }
        estimator.direction(&mut direction, at(slopes.len() as u64 - 1), &noise);
        let mut gradient = vec![0.0f32; dimensions];
        add_contribution(&mut gradient, &direction, gap, &vec![1.0; dimensions]);
        for (sum, g) in sum.iter_mut().zip(&gradient) {
            *sum += f64::from(*g);
            squares += f64::from(*g).powi(2);
        }
    }
    let count = particles as f64;
    (squares - sum.iter().map(|sum| sum * sum / count).sum::<f64>()) / count
}

/// With `A = Σ a_j`, `S = Σ ‖a_j‖²` in `d` dimensions over `i` windows: one perturbation for all windows has the summed
/// variance `(d + 1) ‖A‖²`, fresh ones have `i d S + ‖A‖²`. As `‖A‖² ≤ i S`, fresh ones are never better: nearly `i`
/// times as noisy where windows pull in unrelated ways, as good where they agree.
#[test]
fn pes_and_nres_have_the_variances_of_the_linear_model() {
    let (windows, dimensions, particles) = (4usize, 6usize, 60_000);
    let unit = |axis: usize| (0..dimensions).map(|index| f32::from(u8::from(index == axis))).collect::<Vec<f32>>();
    let unrelated: Vec<Vec<f32>> = (0..windows).map(unit).collect();
    let agreeing: Vec<Vec<f32>> = (0..windows).map(|_| unit(0)).collect();
    let mut ratios = Vec::new();
    for slopes in [unrelated, agreeing] {
        let total: Vec<f64> = (0..dimensions).map(|k| slopes.iter().map(|a| f64::from(a[k])).sum()).collect();
        let a = total.iter().map(|value| value * value).sum::<f64>();
        let s = slopes.iter().flatten().map(|value| f64::from(value * value)).sum::<f64>();
        let (d, i) = (dimensions as f64, windows as f64);
        let found = [Method::Nres, Method::Pes].map(|method| variance(method, &slopes, particles));
        let expected = [(d + 1.0) * a, i * d * s + a];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found / expected - 1.0).abs() < 0.04, "variance {found}, expected {expected}");
        }
        ratios.push(found[1] / found[0]);
    }
    // (i d S + A) / ((d + 1) A) = (4·6·4 + 4) / (7·4) and (4·6·4 + 16) / (7·16).
    assert!((ratios[0] - 100.0 / 28.0).abs() < 0.15 && (ratios[1] - 1.0).abs() < 0.05, "{ratios:?}");
}

#[test]
fn orthogonal_perturbations_are_unbiased_and_quieter_together() {
    let (dimensions, block, repeats) = (6usize, 6u64, 4_000u64);
    let slope: Vec<f32> = (0..dimensions).map(|index| 1.0 - 0.3 * index as f32).collect();
    let measure = |noise: &Noise| {
        let (mut mean, mut error) = (vec![0.0f64; dimensions], 0.0f64);
        for episode in 0..repeats {
            let mut gradient = vec![0.0f32; dimensions];
            for particle in 0..block {
                let position = Position { particle, episode, window: 0, episode_start: 0, stage: 0 };
                let mut n = vec![0.0; dimensions];
                Method::Nres.estimator().perturbation(&mut n, position, noise);
                let gap = slope.iter().zip(&n).map(|(a, n)| 2.0 * a * n).sum::<f32>();
                add_contribution(&mut gradient, &n, gap / block as f32, &vec![1.0; dimensions]);
            }
            for ((mean, g), a) in mean.iter_mut().zip(&gradient).zip(&slope) {
                *mean += f64::from(*g) / repeats as f64;
                error += f64::from(g - a).powi(2) / repeats as f64;
            }
        }
        (mean, error)
    };
    let independent = Noise::new(2, vec![true; dimensions]);
    let (_, free) = measure(&independent);
    let (mean, orthogonal) = measure(&independent.orthogonal(Some(block as usize)));
    let standard_error = (orthogonal / repeats as f64).sqrt();
    for (mean, a) in mean.iter().zip(&slope) {
        assert!((mean - f64::from(*a)).abs() < 4.5 * standard_error, "{mean} ± {standard_error}, exact {a}");
    }
    assert!(orthogonal < 0.5 * free, "summed variance {orthogonal} against {free} of independent draws");
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
    let at = |window, episode, episode_start| Position { particle: 2, episode, window, episode_start, stage: 0 };
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
        let position = Position { particle: 0, episode, window, episode_start: 0, stage: 0 };
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
            let sigmas = vec![sigma; fresh.len()];
            add_contribution(&mut gradient, &sum, old / valid / tasks as f32, &sigmas);
            add_contribution(&mut gradient, &fresh, new / valid / tasks as f32, &sigmas);
        }
        let scale = expected.iter().fold(0.0f32, |worst, value| worst.max(value.abs()));
        for (found, expected) in gradient.iter().zip(expected) {
            assert!((found - expected).abs() <= 1e-5 * scale, "tensor {tensor}: {found}, expected {expected}");
        }
    }
}
