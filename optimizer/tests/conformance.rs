//! What every optimizer of the registry must do, whatever its rule.

mod configurations;

use configurations::{configurations, learned, mixed_layout, mixed_tensors};
use safetensors::SafeTensors;
use velo_optimizer::{Error, NonFinitePolicy, Optimizer, OptimizerConfig, ParamLayout, Schedule, StepOutcome};

/// A number in [-1, 1) that depends on its arguments alone.
fn hashed(tensor: &str, index: usize, step: usize) -> f32 {
    let seed = tensor.bytes().fold(step as u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let mut x = (index as u32).wrapping_add(seed.wrapping_mul(0x9E37_79B9));
    for factor in [0x85EB_CA6B, 0xC2B2_AE35u32] {
        x = (x ^ (x >> 15)).wrapping_mul(factor);
    }
    ((x ^ (x >> 16)) >> 8) as f32 / (1 << 23) as f32 - 1.0
}

/// One hashed number per parameter: the same for a tensor wherever it lies in the layout.
fn hashed_slice(layout: &ParamLayout, step: usize) -> Vec<f32> {
    let numbers = |tensor: &velo_optimizer::TensorLayout| {
        (0..tensor.len()).map(|index| hashed(&tensor.name, index, step)).collect::<Vec<_>>()
    };
    layout.tensors().iter().flat_map(numbers).collect()
}

/// Steps with hashed gradients.
fn run(optimizer: &mut dyn Optimizer, params: &mut [f32], steps: std::ops::Range<usize>) {
    let layout = optimizer.layout().clone();
    for step in steps {
        let grads = hashed_slice(&layout, step + 1);
        optimizer.step(params, &grads, 1.0 / (step + 1) as f32).unwrap();
    }
}

/// Every saved array by name, in the order of names.
fn saved_arrays(optimizer: &dyn Optimizer) -> Vec<(String, Vec<u8>)> {
    let bytes = optimizer.save_state();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let mut arrays: Vec<_> = file.iter().map(|(name, view)| (name.to_owned(), view.data().to_vec())).collect();
    arrays.sort();
    arrays
}

fn build(config: &OptimizerConfig, layout: &ParamLayout) -> Box<dyn Optimizer> {
    config.build(layout).unwrap()
}

/// Loss at the evaluation parameters after `steps` updates, relative to the start; infinite if it diverged.
fn relative_loss(config: &OptimizerConfig, steps: usize, problem: impl Fn(&[f32], &mut [f32]) -> f32) -> f32 {
    let layout = ParamLayout::new([("matrix", vec![4, 3]), ("vector", vec![4])]).unwrap();
    let mut optimizer = build(config, &layout);
    let mut params = hashed_slice(&layout, 0);
    let mut grads = vec![0.0; layout.len()];
    let start = problem(&params, &mut grads);
    for _ in 0..steps {
        let loss = problem(&params, &mut grads);
        optimizer.step(&mut params, &grads, loss).unwrap();
    }
    let mut evaluated = vec![0.0; layout.len()];
    optimizer.evaluation_params(&params, &mut evaluated).unwrap();
    let ratio = problem(&evaluated, &mut grads) / start;
    if ratio.is_finite() { ratio } else { f32::INFINITY }
}

/// The best ratio over learning rates three to the decade, and the rate it belongs to.
fn best_ratio(config: &OptimizerConfig, problem: impl Fn(&[f32], &mut [f32]) -> f32) -> (f32, f32) {
    let rates = (-8..=4).map(|exponent| 10f32.powf(exponent as f32 / 2.0));
    let tried = rates.map(|rate| (relative_loss(&config.clone().with_learning_rate(rate), 400, &problem), rate));
    tried.min_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

#[test]
fn every_optimizer_descends_a_bowl() {
    for (label, config) in configurations() {
        let (ratio, rate) = best_ratio(&config, |params, grads| {
            for (grad, param) in grads.iter_mut().zip(params) {
                *grad = param - 0.25;
            }
            grads.iter().map(|difference| 0.5 * difference * difference).sum()
        });
        assert!(ratio < 0.01, "{label} leaves {ratio} of the loss at its best rate {rate}");
    }
}

#[test]
fn every_optimizer_descends_a_curved_valley() {
    // Pairs (x, y) with the loss (1-x)² + 10 (y-x²)²: steep across, flat along the parabola.
    for (label, config) in configurations() {
        let (ratio, rate) = best_ratio(&config, |params, grads| {
            let pairs = params.as_chunks::<2>().0.iter().zip(grads.as_chunks_mut::<2>().0);
            pairs.fold(0.0, |loss, ([x, y], grad)| {
                let (along, across) = (1.0 - x, y - x * x);
                *grad = [-2.0 * along - 40.0 * x * across, 20.0 * across];
                loss + along * along + 10.0 * across * across
            })
        });
        assert!(ratio < 0.1, "{label} leaves {ratio} of the loss at its best rate {rate}");
    }
}

#[test]
fn a_run_resumed_from_its_saved_state_continues_bit_for_bit() {
    let layout = mixed_layout();
    for (label, config) in configurations() {
        let mut optimizer = build(&config, &layout);
        optimizer.set_schedule(Schedule::Cosine { warmup: 0.1, floor: 0.05 });
        optimizer.set_horizon(Some(20));
        optimizer.set_step_multiplier(0.75);
        optimizer.set_weight_decay(0.125);
        let mut params = hashed_slice(&layout, 0);
        run(optimizer.as_mut(), &mut params, 0..7);

        let mut resumed = build(&config, &layout);
        resumed.load_state(&optimizer.save_state()).unwrap();
        let mut resumed_params = params.clone();
        run(optimizer.as_mut(), &mut params, 7..20);
        run(resumed.as_mut(), &mut resumed_params, 7..20);
        assert_eq!(params, resumed_params, "{label}");
        assert_eq!(saved_arrays(optimizer.as_ref()), saved_arrays(resumed.as_ref()), "{label}");
        assert_eq!(resumed.steps_taken(), 20, "{label}");
        assert_eq!((resumed.step_multiplier(), resumed.weight_decay()), (0.75, 0.125), "{label}");
    }
}

#[test]
fn the_order_of_tensors_does_not_matter() {
    let layout = mixed_layout();
    let mut tensors = mixed_tensors();
    tensors.reverse();
    tensors.swap(1, 3);
    let permuted = ParamLayout::new(tensors).unwrap();
    let by_name = |layout: &ParamLayout, params: &[f32]| {
        let named = layout.tensors().iter().map(|tensor| (tensor.name.clone(), params[tensor.range.clone()].to_vec()));
        let mut named: Vec<_> = named.collect();
        named.sort_by(|a, b| a.0.cmp(&b.0));
        named
    };
    for (label, config) in configurations() {
        let (mut here, mut there) = (build(&config, &layout), build(&config, &permuted));
        let (mut params, mut permuted_params) = (hashed_slice(&layout, 0), hashed_slice(&permuted, 0));
        run(here.as_mut(), &mut params, 0..10);
        run(there.as_mut(), &mut permuted_params, 0..10);
        assert_eq!(by_name(&layout, &params), by_name(&permuted, &permuted_params), "{label}");

        let mut moved = build(&config, &permuted);
        moved.load_state(&here.save_state()).unwrap();
        run(here.as_mut(), &mut params, 10..15);
        run(moved.as_mut(), &mut permuted_params, 10..15);
        assert_eq!(by_name(&layout, &params), by_name(&permuted, &permuted_params), "{label}, state moved");
    }
}

#[test]
fn a_step_on_non_finite_gradients_is_skipped_and_counted() {
    let layout = mixed_layout();
    for (label, config) in configurations() {
        let mut optimizer = build(&config, &layout);
        let mut params = hashed_slice(&layout, 0);
        run(optimizer.as_mut(), &mut params, 0..3);
        let (params_before, state_before) = (params.clone(), saved_arrays(optimizer.as_ref()));
        for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut grads = hashed_slice(&layout, 9);
            grads[3] = poison;
            assert_eq!(optimizer.step(&mut params, &grads, 1.0).unwrap(), StepOutcome::Skipped, "{label}");
        }
        assert_eq!(params, params_before, "{label}");
        assert_eq!(saved_arrays(optimizer.as_ref()), state_before, "{label}");
        assert_eq!((optimizer.steps_taken(), optimizer.steps_skipped()), (3, 3), "{label}");
    }
}

#[test]
fn under_the_error_policy_a_non_finite_gradient_names_its_tensor() {
    let layout = mixed_layout();
    for (label, config) in configurations() {
        let mut optimizer = build(&config, &layout);
        optimizer.set_non_finite_policy(NonFinitePolicy::Error);
        let mut params = hashed_slice(&layout, 0);
        let before = params.clone();
        let mut grads = hashed_slice(&layout, 1);
        grads[layout.get("dense/kernel").unwrap().range.start + 2] = f32::NAN;
        let error = optimizer.step(&mut params, &grads, 1.0).unwrap_err();
        assert_eq!(error.to_string(), "gradient of tensor \"dense/kernel\" is not finite at step 0", "{label}");
        assert_eq!((params, optimizer.steps_taken()), (before, 0), "{label}");
    }
}

#[test]
fn slices_of_the_wrong_length_are_refused_without_change() {
    let layout = mixed_layout();
    let len = layout.len();
    for (label, config) in configurations() {
        let mut optimizer = build(&config, &layout);
        let mut params = hashed_slice(&layout, 0);
        let error = optimizer.step(&mut params, &vec![0.0; len + 1], 1.0).unwrap_err();
        assert!(
            matches!(error, Error::LengthMismatch { what: "grads", found, expected } if (found, expected) == (len + 1, len))
        );
        let error = optimizer.step(&mut params[1..], &vec![0.0; len], 1.0).unwrap_err();
        assert!(matches!(error, Error::LengthMismatch { what: "params", found, .. } if found == len - 1), "{label}");
        assert!(optimizer.evaluation_params(&params, &mut [0.0]).is_err(), "{label}");
        assert_eq!((params, optimizer.steps_taken()), (hashed_slice(&layout, 0), 0), "{label}");
    }
}

#[test]
fn a_loss_that_is_not_finite_matters_only_to_those_who_read_it() {
    let layout = mixed_layout();
    for (label, config) in configurations() {
        let mut optimizer = build(&config, &layout);
        let mut params = hashed_slice(&layout, 0);
        run(optimizer.as_mut(), &mut params, 0..2);
        let (params_before, state_before) = (params.clone(), saved_arrays(optimizer.as_ref()));
        let outcome = optimizer.step(&mut params, &hashed_slice(&layout, 3), f32::NAN).unwrap();
        if optimizer.reads_loss() {
            assert_eq!(outcome, StepOutcome::Skipped, "{label}");
            assert_eq!((params, saved_arrays(optimizer.as_ref())), (params_before, state_before), "{label}");
        } else {
            assert_ne!(outcome, StepOutcome::Skipped, "{label}");
            assert!(params.iter().all(|param| param.is_finite()), "{label}");
        }
    }
}

#[test]
fn empty_layouts_and_large_tensors_work() {
    let empty = ParamLayout::new([("nothing", vec![0]), ("no_rows", vec![0, 8])]).unwrap();
    let large = ParamLayout::new([("embedding", vec![3000, 33]), ("vector", vec![1_000_003])]).unwrap();
    for (label, config) in configurations() {
        run(build(&config, &empty).as_mut(), &mut [], 0..2);
        reaches_the_last_element(&label, &config, &large);
    }
}

/// Beyond what fits a cache, and with rows that no vector divides.
#[test]
fn learned_rules_take_matrices_of_three_million_elements() {
    let huge = ParamLayout::new([("matrix", vec![1733, 1777]), ("bias", vec![5])]).unwrap();
    for (label, config) in learned() {
        // Orthogonalising such a matrix takes half a minute and is no other code than for a small one.
        if !label.contains("adam for vectors") {
            reaches_the_last_element(&label, &config, &huge);
        }
    }
}

fn reaches_the_last_element(label: &str, config: &OptimizerConfig, layout: &ParamLayout) {
    let mut optimizer = build(config, layout);
    let mut params = hashed_slice(layout, 0);
    let before = params.clone();
    // Three steps: steps of one size, as Lion takes them, cannot cancel.
    run(optimizer.as_mut(), &mut params, 0..3);
    assert!(params.iter().all(|param| param.is_finite()), "{label}");
    for tensor in layout.tensors() {
        let last = tensor.range.end - 1;
        assert_ne!(params[last], before[last], "{label} must reach the last element of {}", tensor.name);
    }
}

#[test]
fn foreign_or_broken_state_is_refused_without_change() {
    let layout = mixed_layout();
    let mut renamed = mixed_tensors();
    renamed[2].0 = "dense/weights";
    let mut reshaped = mixed_tensors();
    reshaped[2].1 = vec![4, 7];
    let others = [renamed, reshaped].map(|tensors| ParamLayout::new(tensors).unwrap());
    for (label, config) in configurations() {
        let mut optimizer = build(&config, &layout);
        let mut params = hashed_slice(&layout, 0);
        run(optimizer.as_mut(), &mut params, 0..3);
        let good = optimizer.save_state();
        let state_before = saved_arrays(optimizer.as_ref());

        let mut broken: Vec<Vec<u8>> =
            (0..good.len()).step_by(good.len() / 9 + 1).map(|len| good[..len].to_vec()).collect();
        broken.push(b"not a safetensors file at all".to_vec());
        broken.push(vec![0xff; 64]);
        let stranger = if optimizer.name() == "lion" { "adam" } else { "lion" };
        let stranger = OptimizerConfig::NAMES.iter().find(|name| **name == stranger).unwrap_or(&"adam");
        if *stranger != optimizer.name() {
            broken.push(build(&OptimizerConfig::from_name(stranger).unwrap(), &layout).save_state());
        }
        if optimizer.state_bytes() > 0 {
            // A rule without memory has nothing that could fail to fit another layout.
            broken.extend(others.iter().map(|other| build(&config, other).save_state()));
        }
        for bytes in broken {
            assert!(matches!(optimizer.load_state(&bytes), Err(Error::Malformed { .. })), "{label}");
        }
        assert_eq!(saved_arrays(optimizer.as_ref()), state_before, "{label}");
        assert_eq!(optimizer.steps_taken(), 3, "{label}");
    }
}
