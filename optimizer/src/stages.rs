//! The stages of a learned step against what recorded runs of the published implementations computed inside theirs:
//! a mismatch names the first stage that went wrong.
//!
//! In the order in which data flows: loss features → inputs of the recurrent network → controls and step multipliers
//! → accumulators → channels, raw and normalised → direction (Celo2). Channels never exist as an array of their
//! own; here they are read through the kernel that uses them, by a network whose output is one of its inputs.

use crate::accumulators::{AccumulatorSlots, Decays};
use crate::bfloat16::AccumulatorStorage;
use crate::geometry::Geometry;
use crate::learned::LearnedRule;
use crate::loss_features::LOSS_FEATURES;
use crate::param_network::channels::{BARE, UNFACTORED};
use crate::param_network::mlp::{Activation, Mlp, PublishedWeights};
use crate::param_network::{ApplyNetwork, NetworkInputs, NetworkOutputs, NetworkScratch, NetworkSettings};
use crate::progress::PROGRESS;
use crate::rule::UpdateRule;
use crate::state::StateLayout;
use crate::support::Case;
use crate::support::learned::{
    ADAFAC_MLP, CELO_WITH_A_BANK, CELO2, FULL_SIZE_VELO, PUBLISHED_CELO, PUBLISHED_CELO_ADAM, SMALL_VELO,
    WIDE_ADAFAC_MLP, recorded_state,
};
use crate::tensor_lstm::TensorLstm;
use crate::{LearnedOptimizer, LearnedWeights, Optimizer, ParamLayout, TensorLayout, adafac_mlp as adafac, mlp_bank};

/// Deviation allowed inside a step, relative to the largest magnitude of an array (of a channel, for channels).
const TOLERANCE: f32 = 1e-4;

/// The steps of which the inside was recorded.
const RECORDED_STEPS: [usize; 3] = [1, 2, 20];

/// Fails with the first number that is not the recorded one, unless nothing was recorded under that name.
fn compare(case: &Case, name: &str, got: &[f32]) -> Result<(), String> {
    let Some((_, want)) = case.array(name) else { return Ok(()) };
    compare_with(case, name, got, &want)
}

fn compare_with(case: &Case, name: &str, got: &[f32], want: &[f32]) -> Result<(), String> {
    if got.len() != want.len() {
        return Err(format!("{}: {name} has {} numbers, not {}", case.name, got.len(), want.len()));
    }
    let largest = want.iter().fold(0.0f32, |max, x| max.max(x.abs()));
    for (index, (got, want)) in got.iter().zip(want).enumerate() {
        if got.is_nan() || (got - want).abs() > TOLERANCE * largest {
            return Err(format!("{}: {name}[{index}] is {got}, not {want}", case.name));
        }
    }
    Ok(())
}

/// What goes into the recurrent network and what comes out, one row per tensor or one row for all.
struct Recurrent<'a> {
    inputs: &'a [f32],
    lstm: &'a TensorLstm,
    /// From the output of the step head to a step multiplier.
    multiplier: fn(f32) -> f32,
}

fn recurrent(rule: &LearnedRule) -> Option<Recurrent<'_>> {
    let scheduler = match rule {
        LearnedRule::Velo(rule) => {
            return Some(Recurrent { inputs: &rule.features, lstm: &rule.lstm, multiplier: |head| head });
        }
        LearnedRule::Celo(rule) => &rule.scheduler,
        LearnedRule::CeloAdam(rule) => &rule.scheduler,
        _ => return None,
    };
    Some(Recurrent { inputs: &scheduler.features, lstm: &scheduler.lstm, multiplier: |head| 0.1 * head.exp() })
}

/// Compares the recurrent stages of step `step`, which was just taken.
fn check_recurrent(case: &Case, step: usize, rule: &LearnedRule) -> Result<(), String> {
    let Some(Recurrent { inputs, lstm, multiplier }) = recurrent(rule) else { return Ok(()) };
    let tensors = case.layout.tensors().len();
    // Where one row serves all tensors here, the rows are equal there.
    let of_every_tensor = |rows: &[f32]| rows.repeat(tensors / lstm.steps.len());
    compare(case, &format!("debug/{step}/loss_features"), &inputs[PROGRESS..PROGRESS + LOSS_FEATURES])?;
    compare(case, &format!("debug/{step}/rnn_inputs"), &of_every_tensor(inputs))?;
    compare(case, &format!("debug/{step}/controls"), &of_every_tensor(&lstm.controls))?;
    let multipliers: Vec<f32> = lstm.steps.iter().map(|&head| multiplier(head)).collect();
    compare(case, &format!("debug/{step}/lr_mult"), &of_every_tensor(&multipliers))
}

/// Compares everything that is kept after step `step`.
fn check_state(case: &Case, step: usize, optimizer: &LearnedOptimizer) -> Result<(), String> {
    let (layout, state) = optimizer.state();
    for (name, _, range) in layout.entries() {
        let Some(want) = recorded_state(case, step, name) else { continue };
        compare_with(case, &format!("{name} after step {step}"), &state[range], &want)?;
    }
    Ok(())
}

/// How an architecture applies its network.
struct Reading {
    decays: Decays,
    settings: NetworkSettings,
    /// The places of its channels among the thirty.
    channels: Vec<usize>,
    /// Whether vectors go without factored statistics, as in Celo2.
    bare: bool,
}

fn reading(rule: &LearnedRule, step: usize) -> Option<Reading> {
    let all = (0..30).collect();
    match rule {
        LearnedRule::Velo(_) | LearnedRule::Celo(_) => {
            let (decays, settings) = (mlp_bank::DECAYS, mlp_bank::SETTINGS);
            Some(Reading { decays, settings, channels: all, bare: false })
        }
        LearnedRule::AdafacMlp(rule) => {
            let channels = adafac::CHANNELS.to_vec();
            Some(Reading { decays: rule.decays, settings: adafac::SETTINGS, channels, bare: false })
        }
        LearnedRule::Celo2(rule) => {
            let (decays, settings) = (crate::celo2::DECAYS, rule.network_settings(step as u64 - 1));
            Some(Reading { decays, settings, channels: all, bare: true })
        }
        LearnedRule::CeloAdam(_) | LearnedRule::Paced(_) => None,
    }
}

/// A network of hidden width eight whose first output is input channel `channel`: `max(x, 0) - max(-x, 0)`.
fn reader(channel: usize) -> Mlp<8> {
    let mut weights = PublishedWeights::<8>::read(&[0.0; 1000], &[], 2);
    (weights.channels[channel][0], weights.channels[channel][1]) = (1.0, -1.0);
    (weights.w1[0][0], weights.w1[1][1]) = (1.0, 1.0);
    (weights.w2[0][0], weights.w2[0][1]) = (1.0, -1.0);
    Mlp::new(&weights, Activation::Relu)
}

/// One tensor before a step.
struct Moment<'a> {
    tensor: &'a TensorLayout,
    params: &'a [f32],
    grads: &'a [f32],
    /// Names and values of everything that is kept.
    state: (&'a StateLayout, &'a [f32]),
}

impl Moment<'_> {
    /// One channel as the kernel sees it when it takes the gradient in.
    fn channel(&self, channel: usize, reading: &Reading, normalized: bool) -> Vec<f32> {
        let geometry = Geometry::new(&self.tensor.shape);
        let mut own = StateLayout::default();
        let slots = AccumulatorSlots::new(&self.tensor.name, &self.tensor.shape, &geometry, &mut own);
        let mut state = vec![0.0; own.len()];
        let (layout, kept) = self.state;
        for (name, _, range) in own.entries() {
            let (.., from) = layout.entries().find(|entry| entry.0 == name).expect("an accumulator");
            state[range].copy_from_slice(&kept[from]);
        }
        let mut scratch = NetworkScratch::default();
        scratch.grow(&geometry, AccumulatorStorage::F32, 8);
        let normalize = reading.settings.normalize.filter(|_| normalized);
        let settings = NetworkSettings { normalize, exp_mult: 0.0, ..reading.settings };
        let mut direction = vec![0.0; self.tensor.len()];
        let outputs = NetworkOutputs { direction: &mut direction, magnitude: None };
        let (params, grads) = (&self.params[self.tensor.range.clone()], &self.grads[self.tensor.range.clone()]);
        let mut accumulators = slots.resolve(&mut state, 0);
        let inputs = NetworkInputs { params, grads, accumulators: &mut accumulators, geometry: &geometry };
        let (decays, mlp, settings, scratch) = (&reading.decays, &reader(channel), &settings, &mut scratch);
        if reading.bare {
            ApplyNetwork::<8, BARE> { outputs, inputs, decays, mlp, settings, scratch }.run();
        } else {
            ApplyNetwork::<8, UNFACTORED> { outputs, inputs, decays, mlp, settings, scratch }.run();
        }
        direction
    }
}

/// Compares the channels of every tensor at step `step`.
fn check_channels(case: &Case, step: usize, rule: &LearnedRule, moment: &Moment<'_>) -> Result<(), String> {
    let Some(reading) = reading(rule, step) else { return Ok(()) };
    for (kind, normalized) in [("features_raw", false), ("features_norm", true)] {
        let name = format!("debug/{step}/{kind}/{}", moment.tensor.name);
        let Some((shape, recorded)) = case.array(&name) else { continue };
        let count = *shape.last().expect("channels come last");
        for (index, &channel) in reading.channels[..count].iter().enumerate() {
            let want: Vec<f32> = recorded.iter().skip(index).step_by(count).copied().collect();
            let got = moment.channel(channel, &reading, normalized);
            compare_with(case, &format!("channel {index} of {name}"), &got, &want)?;
        }
    }
    Ok(())
}

/// Runs a case and compares stage by stage.
fn stages(case: &Case, weights: &LearnedWeights) -> Result<(), String> {
    let mut optimizer = LearnedOptimizer::new(&case.layout, weights.clone()).unwrap();
    optimizer.set_horizon(case.horizon);
    let mut compared = 0;
    for (index, (grads, &loss)) in case.grads.iter().zip(&case.losses).enumerate() {
        let (step, before) = (index + 1, optimizer.clone());
        optimizer.step(&mut case.params[index].clone(), grads, loss).unwrap();
        if !RECORDED_STEPS.contains(&step) {
            continue;
        }
        check_recurrent(case, step, optimizer.rule())?;
        check_state(case, step, &optimizer)?;
        for tensor in case.layout.tensors() {
            let moment = Moment { tensor, params: &case.params[index], grads, state: before.state() };
            check_channels(case, step, optimizer.rule(), &moment)?;
        }
        compared += 1;
    }
    assert_eq!(compared, RECORDED_STEPS.len());
    Ok(())
}

/// Celo2's direction before and after it is normalised. Its tensors do not know of one another, so every one gets an
/// optimizer of its own, whose buffers then hold its direction.
fn check_directions(case: &Case, weights: &LearnedWeights) -> Result<(), String> {
    let by_network =
        |tensor: &&TensorLayout| case.array(&format!("debug/1/step_before_norm/{}", tensor.name)).is_some();
    for tensor in case.layout.tensors().iter().filter(by_network) {
        let layout = ParamLayout::new([(tensor.name.as_str(), tensor.shape.clone())]).unwrap();
        let mut optimizer = LearnedOptimizer::new(&layout, weights.clone()).unwrap();
        for (index, grads) in case.grads.iter().enumerate() {
            let before = &case.params[index][tensor.range.clone()];
            let mut params = before.to_vec();
            optimizer.step(&mut params, &grads[tensor.range.clone()], 0.0).unwrap();
            let LearnedRule::Celo2(rule) = optimizer.rule() else { panic!("{} is not of Celo2", case.name) };
            let name = |kind| format!("debug/{}/{kind}/{}", index + 1, tensor.name);
            compare(case, &name("step_before_norm"), rule.direction(tensor.len()))?;
            let (size, decay) = (weights.architecture().step_size(), rule.configured_weight_decay());
            let moved = before.iter().zip(&params).map(|(old, new)| (old - new) / size - decay * old);
            compare(case, &name("step_after_norm"), &moved.collect::<Vec<f32>>())?;
        }
    }
    Ok(())
}

#[test]
fn stages_of_celo2() {
    CELO2.for_each(stages);
    CELO2.for_each(check_directions);
}

#[test]
fn stages_of_small_velo() {
    SMALL_VELO.for_each(stages);
}

#[test]
fn stages_of_full_size_velo() {
    FULL_SIZE_VELO.for_each(stages);
}

#[test]
fn stages_of_celo() {
    CELO_WITH_A_BANK.for_each(stages);
    PUBLISHED_CELO.for_each(stages);
}

#[test]
fn stages_of_published_celo_adam() {
    PUBLISHED_CELO_ADAM.for_each(stages);
}

#[test]
fn stages_of_adafac_mlp() {
    ADAFAC_MLP.for_each(stages);
    WIDE_ADAFAC_MLP.for_each(stages);
}

/// The comparison must be able to fail, and to say where.
#[test]
fn a_wrong_number_inside_a_step_is_named_by_its_stage() {
    let case = Case::load("velo_small_n20");
    let right = (SMALL_VELO.weights)(&case).unwrap();
    let bias = right.architecture().theta_layout().get("rnn_params/step_size/b").unwrap().range.start;
    let mut theta = right.theta().to_vec();
    theta[bias] += 0.01;
    let wrong = LearnedWeights::new(right.architecture().clone(), theta).unwrap();
    let error = stages(&case, &wrong).unwrap_err();
    assert!(error.contains("debug/1/lr_mult[0]"), "{error}");
}
