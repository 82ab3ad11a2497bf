//! The paced architecture: what a silent head leaves, and what a loud one may do at most.

use velo_optimizer::hand_designed::{NormalisedAdam, NormalisedAdamConfig};
use velo_optimizer::{
    AccumulatorStorage, Activation, Architecture, Celo2Config, InputGroup, LearnedOptimizer, LearnedWeights, Optimizer,
    PacedConfig, ParamLayout, Schedule,
};

fn layout() -> ParamLayout {
    ParamLayout::new([("kernel", vec![9, 5]), ("bias", vec![5]), ("stack", vec![2, 3, 4]), ("scalar", vec![])]).unwrap()
}

/// The weights that make the network normalised Adam, with `head` as the tail of the head's weights.
fn theta(config: &PacedConfig, head: &[(&str, f32)]) -> Vec<f32> {
    let architecture = Architecture::Paced(config.clone());
    let mut theta = architecture.imitation().unwrap();
    for &(tensor, value) in head {
        theta[architecture.theta_layout().get(tensor).unwrap().range.clone()].fill(value);
    }
    theta
}

fn paced(config: PacedConfig, head: &[(&str, f32)], horizon: Option<u64>) -> LearnedOptimizer {
    let theta = theta(&config, head);
    let weights = LearnedWeights::new(Architecture::Paced(config), theta).unwrap();
    let mut optimizer = LearnedOptimizer::new(&layout(), weights).unwrap();
    optimizer.set_horizon(horizon);
    optimizer
}

fn without_decay() -> PacedConfig {
    PacedConfig { decay: 0.0, ..PacedConfig::default() }
}

/// A number in [-1, 1) that depends on its arguments alone.
fn hashed(index: usize, step: usize) -> f32 {
    let mut x = (index as u32).wrapping_mul(0x9E37_79B9) ^ (step as u32).wrapping_mul(0x85EB_CA6B);
    for factor in [0x7FEB_352D, 0x846C_A68Bu32] {
        x = (x ^ (x >> 15)).wrapping_mul(factor);
    }
    (x >> 8) as f32 / (1 << 23) as f32 - 1.0
}

fn gradients(step: usize) -> Vec<f32> {
    (0..layout().len()).map(|index| hashed(index, step + 1)).collect()
}

fn start() -> Vec<f32> {
    (0..layout().len()).map(|index| hashed(index, 0)).collect()
}

/// The root mean square of the difference of two tensors.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    (a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>() / a.len() as f32).sqrt()
}

/// The state of the head for `tensor`: logarithms of its factors on step and decay.
fn logs(optimizer: &LearnedOptimizer, tensor: &str) -> [f32; 2] {
    let (layout, state) = optimizer.state();
    let name = format!("log_factors/{tensor}");
    let (.., range) = layout.entries().find(|entry| entry.0 == name).unwrap();
    state[range].try_into().unwrap()
}

#[test]
fn with_a_silent_head_and_a_horizon_it_is_normalised_adam_under_warm_up_and_cosine() {
    let config = NormalisedAdamConfig { learning_rate: 0.01, beta1: 0.9, beta2: 0.95, weight_decay: 0.0 };
    let schedule = Schedule::Cosine { warmup: 0.05, floor: 0.0 };
    let mut adam = NormalisedAdam::new(&layout(), config).unwrap().with_schedule(schedule, 60);
    let mut ours = paced(without_decay(), &[], Some(60));
    let (mut expected, mut params) = (start(), start());
    for step in 0..60 {
        adam.step(&mut expected, &gradients(step), 1.0).unwrap();
        ours.step(&mut params, &gradients(step), hashed(7, step)).unwrap();
        for (index, (got, want)) in params.iter().zip(&expected).enumerate() {
            assert!((got - want).abs() < 2e-6, "step {step}, parameter {index}: {got}, not {want}");
        }
    }
    assert!(distance(&params, &start()) > 0.05);
}

#[test]
fn the_imitation_of_celo2_is_normalised_adam() {
    let celo2 = Architecture::Celo2(Celo2Config { step_size: 0.01, ..Celo2Config::default() });
    let theta = celo2.imitation().unwrap();
    let mut ours = LearnedOptimizer::new(&layout(), LearnedWeights::new(celo2, theta).unwrap()).unwrap();
    let config = NormalisedAdamConfig { learning_rate: 0.01, beta1: 0.9, beta2: 0.95, weight_decay: 0.0 };
    let mut adam = NormalisedAdam::new(&layout(), config).unwrap();
    let (mut expected, mut params) = (start(), start());
    for step in 0..30 {
        adam.step(&mut expected, &gradients(step), 1.0).unwrap();
        ours.step(&mut params, &gradients(step), 1.0).unwrap();
        for (index, (got, want)) in params.iter().zip(&expected).enumerate() {
            assert!((got - want).abs() < 2e-6, "step {step}, parameter {index}: {got}, not {want}");
        }
    }
    let tanh = Architecture::Celo2(Celo2Config { activation: Activation::Tanh, ..Celo2Config::default() });
    assert_eq!(tanh.imitation(), None);
}

#[test]
fn without_a_horizon_a_step_has_the_size_of_the_pace() {
    let config = PacedConfig { warmup_steps: 3, time_constant: 30.0, ..without_decay() };
    let mut optimizer = paced(config, &[], None);
    let mut params = start();
    for step in 0..90u16 {
        let before = params.clone();
        optimizer.step(&mut params, &gradients(step.into()), 1.0).unwrap();
        let expected = 0.01 * (f32::from(step + 1) / 4.0).min(1.0) / (1.0 + f32::from(step) / 30.0).sqrt();
        for tensor in layout().tensors().iter().filter(|tensor| tensor.shape.len() < 3) {
            let moved = distance(&params[tensor.range.clone()], &before[tensor.range.clone()]);
            assert!((moved / expected - 1.0).abs() < 1e-3, "step {step} {}: {moved}, not {expected}", tensor.name);
        }
    }
}

#[test]
fn multiplier_and_schedule_of_the_user_multiply_the_pace() {
    let mut plain = paced(without_decay(), &[], Some(40));
    let mut scaled = paced(without_decay(), &[], Some(40));
    scaled.set_step_multiplier(0.5);
    scaled.set_schedule(Schedule::Linear { warmup: 0.0, floor: 0.0 });
    for step in 0..40 {
        let (mut a, mut b) = (start(), start());
        plain.step(&mut a, &gradients(step), 1.0).unwrap();
        scaled.step(&mut b, &gradients(step), 1.0).unwrap();
        let ratio = distance(&b, &start()) / distance(&a, &start());
        let expected = 0.5 * (1.0 - step as f32 / 40.0);
        assert!((ratio - expected).abs() < 2e-3 || step > 35, "step {step}: {ratio}, not {expected}");
    }
}

#[test]
fn skipped_calls_count_for_the_pace() {
    let mut optimizer = paced(without_decay(), &[], Some(20));
    let mut params = start();
    for step in 0..18 {
        optimizer.step(&mut params, &gradients(step), f32::NAN).unwrap();
    }
    assert_eq!((optimizer.steps_taken(), optimizer.steps_skipped(), &params), (0, 18, &start()));
    optimizer.step(&mut params, &gradients(18), 1.0).unwrap();
    assert!(distance(&params, &start()) < 0.001, "{}", distance(&params, &start()));
}

#[test]
fn decay_pulls_matrices_and_leaves_vectors_until_the_user_or_the_head_asks() {
    let shrinks = |decay: f32, user: f32, head: &[(&str, f32)], tensor: &str| {
        let mut optimizer = paced(PacedConfig { decay, warmup: 0.0, ..PacedConfig::default() }, head, Some(400));
        optimizer.set_weight_decay(user);
        let mut params = vec![1.0; layout().len()];
        let zero = vec![0.0; layout().len()];
        // Without a gradient there is no direction: what moves is decay.
        for _ in 0..200 {
            optimizer.step(&mut params, &zero, 1.0).unwrap();
        }
        params[layout().get(tensor).unwrap().range.start]
    };
    // Half a cosine over 400 steps has a sum of 163.7 over its first 200.
    let after = |coefficient: f32| (-0.01 * 163.9 * coefficient).exp();
    let close = |got: f32, want: f32| assert!((got - want).abs() < 2e-3, "{got}, not {want}");
    close(shrinks(0.5, 0.0, &[], "kernel"), after(0.5));
    close(shrinks(0.5, 0.3, &[], "stack"), after(0.8));
    close(shrinks(0.5, 0.0, &[], "bias"), 1.0);
    close(shrinks(0.5, 0.3, &[], "scalar"), after(0.3));
    // The head asks for more decay, and with the same output for larger steps.
    let asking = [("head/b1", 1.0)];
    assert!(shrinks(0.5, 0.0, &asking, "bias") < 0.5);
    assert!(shrinks(0.5, 0.0, &asking, "kernel") < shrinks(0.5, 0.0, &asking, "bias"));
    // Asking for less never turns decay around.
    assert_eq!(shrinks(0.5, 0.0, &[("head/b1", -1.0)], "bias"), 1.0);
    // Whatever is asked for, signs stay.
    assert!(shrinks(1e4, 0.0, &asking, "kernel") >= 0.0);
}

#[test]
fn bounds_and_slew_hold_whatever_losses_and_weights_are() {
    let losses = [1.0, f32::MAX, -f32::MAX, 0.0, -1e-30, 1e30, 3.0, f32::MIN_POSITIVE, -5.0, 1e-12];
    for size in [3.0, 1e3, 1e30] {
        let config = PacedConfig { slew: 0.25, ..PacedConfig::default() };
        let mut loud = theta(&config, &[]);
        let range = loud.len() - 138..loud.len();
        for (index, weight) in loud[range].iter_mut().enumerate() {
            *weight = size * hashed(index, 77);
        }
        let weights = LearnedWeights::new(Architecture::Paced(config.clone()), loud).unwrap();
        let mut optimizer = LearnedOptimizer::new(&layout(), weights).unwrap();
        let mut params = start();
        let mut farthest = 0.0f32;
        for step in 0..300 {
            optimizer.set_horizon([None, Some(50), Some(1000)][step / 100]);
            let before = layout().tensors().iter().map(|tensor| logs(&optimizer, &tensor.name)).collect::<Vec<_>>();
            optimizer.step(&mut params, &gradients(step), losses[step % losses.len()]).unwrap();
            for (tensor, before) in layout().tensors().iter().zip(before) {
                for (after, before) in logs(&optimizer, &tensor.name).into_iter().zip(before) {
                    assert!(
                        after.abs() <= config.step_bound && (after - before).abs() <= 0.25 + 1e-6,
                        "{before} {after}"
                    );
                    farthest = farthest.max(after.abs());
                }
            }
            assert!(params.iter().all(|param| param.is_finite()), "size {size} step {step}");
        }
        assert!(farthest > 0.5, "the head moved nothing: {farthest}");
    }
}

#[test]
fn a_head_that_asks_for_more_reaches_its_bound_at_the_rate_of_the_slew() {
    let mut optimizer = paced(PacedConfig { slew: 0.5, ..PacedConfig::default() }, &[("head/b1", 100.0)], None);
    let mut params = start();
    let reached: Vec<f32> = (0..8)
        .map(|step| {
            optimizer.step(&mut params, &gradients(step), 1.0).unwrap();
            logs(&optimizer, "kernel")[0]
        })
        .collect();
    assert_eq!(reached, [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0]);
}

#[test]
fn the_head_sees_the_loss_only_up_to_a_factor() {
    let run = |factor: f32| {
        let mut optimizer = paced(PacedConfig::default(), &[("head/w1", 0.3)], Some(100));
        let mut params = start();
        for step in 0..100 {
            optimizer.step(&mut params, &gradients(step), factor * (1.0 - 0.005 * step as f32)).unwrap();
        }
        params
    };
    let (plain, scaled, rising) = (run(1.0), run(1024.0), run(-1.0));
    assert!(distance(&plain, &scaled) < 1e-5, "{}", distance(&plain, &scaled));
    assert!(distance(&plain, &rising) > 1e-4, "a rising loss must look different");
}

#[test]
fn with_an_average_it_is_evaluated_with_the_last_share_of_its_updates() {
    let config = PacedConfig { average: Some(0.25), ..PacedConfig::default() };
    let (mut ours, mut without) = (paced(config, &[], None), paced(PacedConfig::default(), &[], None));
    let (mut params, mut plain, mut average) = (start(), start(), start());
    let (mut evaluated, spoilt) = (vec![0.0; params.len()], vec![f32::NAN; params.len()]);
    ours.evaluation_params(&params, &mut evaluated).unwrap();
    assert_eq!(evaluated, start(), "nothing is averaged yet");
    for step in 0..40 {
        ours.step(&mut params, &gradients(step), 1.0).unwrap();
        without.step(&mut plain, &gradients(step), 1.0).unwrap();
        // A skipped call is no update.
        ours.step(&mut params, &spoilt, 1.0).unwrap();
        without.step(&mut plain, &spoilt, 1.0).unwrap();
        let newest = (4.0 / (step + 1) as f32).min(1.0);
        average.iter_mut().zip(&params).for_each(|(average, param)| *average += newest * (param - *average));
        ours.evaluation_params(&params, &mut evaluated).unwrap();
        assert!(distance(&evaluated, &average) < 1e-6, "step {step}");
    }
    assert_eq!(params, plain, "training goes on as without");
    assert!(distance(&evaluated, &params) > 1e-3);
}

#[test]
fn an_average_and_hidden_inputs_survive_a_file_and_a_share_of_nothing_is_refused() {
    let weights = |average| {
        let hidden_inputs = vec![InputGroup::Horizon];
        let config = PacedConfig { average: Some(average), hidden_inputs, ..PacedConfig::default() };
        LearnedWeights::new(Architecture::Paced(config.clone()), theta(&config, &[]))
    };
    let written = weights(0.1).unwrap();
    assert_eq!(LearnedWeights::from_bytes(&written.to_bytes()).unwrap(), written);
    let error = weights(0.0).unwrap_err().to_string();
    assert!(error.contains("paced.average is 0, expected a share"), "{error}");
}

#[test]
fn a_head_to_which_the_loss_is_hidden_does_the_same_whatever_it_is() {
    let run = |hidden_inputs: Vec<InputGroup>, slope: f32| {
        let config = PacedConfig { hidden_inputs, ..PacedConfig::default() };
        let mut optimizer = paced(config, &[("head/w1", 0.3)], Some(100));
        let mut params = start();
        for step in 0..100 {
            optimizer.step(&mut params, &gradients(step), 1.0 - slope * step as f32).unwrap();
        }
        params
    };
    let hidden = vec![InputGroup::Scale, InputGroup::Loss];
    assert_eq!(run(hidden.clone(), 0.005), run(hidden, -0.005));
    assert_ne!(run(vec![InputGroup::Scale], 0.005), run(vec![InputGroup::Scale], -0.005));
    // Other inputs than the loss are still seen.
    assert_ne!(run(vec![InputGroup::Loss], 0.005), run(vec![InputGroup::Loss, InputGroup::Time], 0.005));
}

#[test]
fn a_transposed_matrix_takes_the_transposed_steps() {
    let run = |shape: [usize; 2]| {
        let layout = ParamLayout::new([("w", shape.to_vec())]).unwrap();
        let config = PacedConfig::default();
        let theta = theta(&config, &[("head/w1", 0.2)]);
        let weights = LearnedWeights::new(Architecture::Paced(config), theta).unwrap();
        let mut optimizer = LearnedOptimizer::new(&layout, weights).unwrap();
        let at = |row: usize, col: usize| if shape[0] > shape[1] { row * 10 + col } else { col * 10 + row };
        let mut params: Vec<f32> = (0..60).map(|i| hashed(at(i / shape[1], i % shape[1]), 0)).collect();
        for step in 0..20 {
            let grads: Vec<f32> = (0..60).map(|i| hashed(at(i / shape[1], i % shape[1]), step + 1)).collect();
            optimizer.step(&mut params, &grads, 1.0).unwrap();
        }
        params
    };
    let (tall, wide) = (run([10, 6]), run([6, 10]));
    for row in 0..10 {
        for col in 0..6 {
            assert!((tall[row * 6 + col] - wide[col * 10 + row]).abs() < 1e-5, "{row} {col}");
        }
    }
}

#[test]
fn weights_that_nothing_reads_are_known() {
    let architecture = Architecture::Paced(PacedConfig::default());
    let influential = architecture.influential();
    assert_eq!(influential.len(), 347 + 138);
    assert_eq!(influential.iter().filter(|&&used| used).count(), 329 + 138);
    let hidden_inputs = vec![InputGroup::Horizon, InputGroup::Previous];
    let hidden = Architecture::Paced(PacedConfig { hidden_inputs, ..PacedConfig::default() });
    let lost: Vec<usize> = hidden
        .influential()
        .iter()
        .zip(&influential)
        .enumerate()
        .filter(|(_, (a, b))| a != b)
        .map(|(at, _)| at)
        .collect();
    // The rows 8, 9 and 13 of the head's first matrix, eight units each.
    assert_eq!(lost, (347 + 64..347 + 80).chain(347 + 104..347 + 112).collect::<Vec<_>>());
}

/// A regression by a network of one hidden layer, written out: loss and gradient.
fn small_network(params: &[f32], grads: &mut [f32]) -> f32 {
    const SAMPLES: usize = 64;
    const HIDDEN: usize = 8;
    let (w, rest) = params.split_at(2 * HIDDEN);
    let (b, v) = rest.split_at(HIDDEN);
    grads.fill(0.0);
    let mut loss = 0.0;
    for sample in 0..SAMPLES {
        let x = [hashed(sample, 100), hashed(sample, 101)];
        let target = (3.0 * x[0]).sin() * x[1];
        let hidden: [f32; HIDDEN] = std::array::from_fn(|h| (w[h] * x[0] + w[HIDDEN + h] * x[1] + b[h]).tanh());
        let output: f32 = hidden.iter().zip(v).map(|(hidden, v)| hidden * v).sum();
        let error = output - target;
        loss += error * error / SAMPLES as f32;
        for h in 0..HIDDEN {
            let slope = 2.0 * error / SAMPLES as f32;
            grads[3 * HIDDEN + h] += slope * hidden[h];
            let back = slope * v[h] * (1.0 - hidden[h] * hidden[h]);
            grads[h] += back * x[0];
            grads[HIDDEN + h] += back * x[1];
            grads[2 * HIDDEN + h] += back;
        }
    }
    loss
}

#[test]
fn it_trains_a_small_network_without_being_told_anything() {
    let layout = ParamLayout::new([("w", vec![2, 8]), ("b", vec![8]), ("v", vec![8, 1])]).unwrap();
    let untuned = || {
        let architecture = Architecture::Paced(PacedConfig::default());
        let theta = architecture.imitation().unwrap();
        LearnedOptimizer::new(&layout, LearnedWeights::new(architecture, theta).unwrap()).unwrap()
    };
    let pretrained = || LearnedOptimizer::pretrained(&layout, None).unwrap();
    for (label, mut optimizer) in [("imitation", untuned()), ("pretrained", pretrained())] {
        for horizon in [Some(500), None] {
            optimizer.set_horizon(horizon);
            let mut optimizer = optimizer.clone();
            let mut params: Vec<f32> = (0..32).map(|index| 0.7 * hashed(index, 5)).collect();
            let mut grads = vec![0.0; 32];
            let first = small_network(&params, &mut grads);
            for _ in 0..500 {
                let loss = small_network(&params, &mut grads);
                optimizer.step(&mut params, &grads, loss).unwrap();
            }
            let last = small_network(&params, &mut grads);
            assert!(last < 0.1 * first, "{label} {horizon:?}: from {first} to {last}");
        }
    }
}

#[test]
fn averages_in_bfloat16_take_half_the_room_and_lead_to_the_same_place() {
    let layout = ParamLayout::new([("w", vec![40, 60])]).unwrap();
    let build = |storage| LearnedOptimizer::with_accumulators(&layout, LearnedWeights::pretrained(), storage).unwrap();
    let [mut full, mut half] = [AccumulatorStorage::F32, AccumulatorStorage::Bf16].map(build);
    assert_eq!(full.state_bytes() - half.state_bytes(), 4 * 2 * layout.len());
    let distance = |optimizer: &mut LearnedOptimizer| {
        optimizer.set_horizon(Some(1000));
        let mut params: Vec<f32> = (0..layout.len()).map(|i| (i as f32 * 0.7).sin()).collect();
        for _ in 0..1000 {
            let grads: Vec<f32> = params.iter().map(|param| param - 0.25).collect();
            optimizer.step(&mut params, &grads, 1.0).unwrap();
        }
        params.iter().map(|param| (param - 0.25).powi(2)).sum::<f32>()
    };
    // The sum starts at some 1350.
    let (full, half) = (distance(&mut full), distance(&mut half));
    assert!(full < 10.0 && half < 10.0, "{full} and {half}");
    assert_ne!(full, half);
}

/// The larger over the smaller singular value of the change that a step makes to a matrix of two columns whose gradient is
/// nearly of rank one.
fn spread(orthogonalize: bool) -> f32 {
    let layout = ParamLayout::new([("w", vec![5, 2])]).unwrap();
    let config = PacedConfig { orthogonalize, ..without_decay() };
    let weights = LearnedWeights::new(Architecture::Paced(config.clone()), theta(&config, &[])).unwrap();
    let mut optimizer = LearnedOptimizer::new(&layout, weights).unwrap();
    let mut params = vec![0.0; 10];
    let mut before = params.clone();
    // Both columns have nearly the same gradient.
    for step in 0..20 {
        let row = |index: usize| 1.0 + hashed(index / 2, 7);
        let grads: Vec<f32> = (0..10).map(|index| row(index) + 0.3 * hashed(index, step)).collect();
        before.copy_from_slice(&params);
        optimizer.step(&mut params, &grads, 1.0).unwrap();
    }
    let change: Vec<f32> = params.iter().zip(&before).map(|(new, old)| new - old).collect();
    let product = |a: usize, b: usize| (0..5).map(|row| change[2 * row + a] * change[2 * row + b]).sum::<f32>();
    let (half_trace, determinant) =
        ((product(0, 0) + product(1, 1)) / 2.0, product(0, 0) * product(1, 1) - product(0, 1).powi(2));
    let root = (half_trace * half_trace - determinant).max(0.0).sqrt();
    ((half_trace + root) / (half_trace - root)).sqrt()
}

#[test]
fn an_orthogonalised_step_moves_a_matrix_alike_in_all_directions() {
    // Newton–Schulz leaves singular values between about 0.7 and 1.2.
    let (plain, orthogonal) = (spread(false), spread(true));
    assert!(orthogonal < 1.8, "{orthogonal}");
    assert!(plain > 3.0, "{plain}");
}
