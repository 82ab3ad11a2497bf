//! The whole way from theta to the meta-gradient ([`Particle::run_window`], then [`Learner::step`]) against a problem
//! solved by hand.
//!
//! The rule is `adafac_mlp` with all weights zero but those of its last layer and the biases before it, so that its
//! step is linear in what is learned, whatever the gradient: `o₀ = h · w + b`, with the constant activations `h`. The
//! task is one parameter, which starts at 0, moves by `u = -o₀` per inner step, and costs `L_t = (t u - 1)²`.
//!
//! Over an episode of `T` steps, with weight `f` of the final loss, the gradient is
//!
//! ```text
//! a · ( (1-f) 1/T Σ 2 t (t u - 1) + f 2 T (T u - 1) )           a = ∂u/∂θ
//! ```
//!
//! On held-out rows the same parameter costs `(t u - 3)²`, and a training loss may cease to be a number where the parameter
//! passes an edge.
//!
//! All losses are quadratic in theta, so an unbiased antithetic estimator has exactly this mean at any sigma. The window
//! does not divide the horizon: every second episode begins inside of one.
//!
//! [`Learner::step`]: velo_meta_train::learner::Learner::step

#[path = "support/window.rs"]
mod window;

use velo_meta_train::Error;
use velo_meta_train::config::{Config, Plan};
use velo_meta_train::curriculum::StageConfig;
use velo_meta_train::estimator::Method;
use velo_meta_train::learner::GapScaling;
use velo_meta_train::objective::Transform;
use velo_meta_train::parts::PartSigma;
use velo_meta_train::resume::Resume;
use velo_meta_train::run::new_learner;
use velo_meta_train::truncation::Truncation;
use velo_meta_train::unroll::{Particle, SegmentGap, TaskSource};
use velo_optimizer::hand_designed::SgdConfig;
use velo_optimizer::{AdafacMlpConfig, Architecture, OptimizerConfig, ParamLayout, Schedule};
use velo_tasks::{Batch, Metrics, Split, Task};
use window::next_window;

const WINDOW: u64 = 4;
const HORIZON: u64 = 10;
/// After so many windows two episodes are over, and a third begins with the next window.
const WINDOWS: u64 = 5;
/// Particles of one outer step, and how many such batches of particles an estimate is a mean over.
const BATCH: u64 = 8;
const BATCHES: u64 = 200;

/// Activations of the last hidden layer, for positive numbers its biases.
const ACTIVATIONS: [f32; 4] = [1.0, 2.0, 0.0, 0.0];
/// The last layer's weights and bias in the direction, at the point where the gradient is wanted.
const WEIGHTS: [f32; 4] = [-0.02, -0.01, 0.3, -0.2];
const BIAS: f32 = 0.01;

/// One parameter that costs `(p - 1)²` on every batch, `(p - 3)²` on held-out rows, and NaN beyond the edge.
struct Line {
    layout: ParamLayout,
    edge: f32,
}

impl Task for Line {
    fn name(&self) -> &str {
        "line"
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, _seed: u64, params: &mut [f32]) {
        params.fill(0.0);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        grads[0] = 2.0 * (params[0] - 1.0);
        self.loss(params, batch)
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        match batch.split {
            _ if params[0] > self.edge => f32::NAN,
            Split::Train => (params[0] - 1.0).powi(2),
            _ => (params[0] - 3.0).powi(2),
        }
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        Metrics { loss: self.loss(params, Batch { seed: 0, split, index: 0 }), accuracy: None }
    }

    fn reference_loss(&self) -> f32 {
        1.0
    }
}

struct Lines {
    edge: f32,
}

impl TaskSource for Lines {
    fn families(&self) -> Vec<String> {
        vec!["line".into()]
    }

    fn draw(&self, _seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        Ok((0, Box::new(Line { layout: ParamLayout::new([("position", vec![1])])?, edge: self.edge })))
    }
}

/// Bare gaps, and plain descent at rate 1 over them: the outer step is the negative meta-gradient.
fn config(method: Method, final_weight: f32) -> Config {
    let mut config = Config {
        architecture: Architecture::AdafacMlp(AdafacMlpConfig {
            exp_mult: 0.0,
            step_mult: 1.0,
            ..AdafacMlpConfig::default()
        }),
        learn: vec!["nn/~/w2".into(), "nn/~/b2".into()],
        truncation: Truncation { window: WINDOW, shortest: HORIZON, longest: HORIZON },
        stages: vec![StageConfig::default()],
        ..Config::default()
    };
    config.estimator.method = method;
    config.estimator.pairs = BATCHES * BATCH;
    config.estimator.sigma = 0.03;
    config.estimator.part_sigmas = vec![PartSigma { part: "nn/~/b2".into(), sigma: 0.06 }];
    config.inner.step_multiplier = (1.0, 1.0);
    config.inner.schedules = vec![Schedule::Constant];
    config.objective.transform = Transform::Ratio;
    config.objective.cap = 900.0;
    config.objective.held_out_weight = 0.0;
    config.objective.final_weight = final_weight;
    config.outer.optimizer = OptimizerConfig::Sgd(SgdConfig::default());
    config.outer.learning_rate = 1.0;
    config.outer.warmup = 0.0;
    config.outer.clip_norm = f32::MAX;
    config.outer.gap_scaling = GapScaling::Raw;
    config
}

/// The problem, and the slope `a` of `u` in every entry of theta.
fn problem(config: Config) -> (Plan, Vec<f64>) {
    let mut plan = config.check().unwrap();
    plan.setting.tasks = Box::new(Lines { edge: f32::INFINITY });
    let layout = plan.setting.architecture.theta_layout();
    let range = |name: &str| {
        let tensor = layout.tensors().iter().find(|tensor| tensor.name == name);
        tensor.expect("the architecture has this weight").range.clone()
    };
    let mut slope = vec![0.0; layout.len()];
    plan.initial_theta.fill(0.0);
    plan.initial_theta[range("nn/~/b1")].copy_from_slice(&ACTIVATIONS);
    // Two outputs, of which the second would be a magnitude if `exp_mult` were not zero.
    for (hidden, entry) in range("nn/~/w2").step_by(2).enumerate() {
        plan.initial_theta[entry] = WEIGHTS[hidden];
        slope[entry] = -f64::from(ACTIVATIONS[hidden]);
    }
    plan.initial_theta[range("nn/~/b2").start] = BIAS;
    slope[range("nn/~/b2").start] = -1.0;
    (plan, slope)
}

/// `u` under `theta`.
fn speed(theta: &[f32], slope: &[f64]) -> f64 {
    theta.iter().zip(slope).map(|(theta, a)| f64::from(*theta) * a).sum()
}

/// Mean meta-gradient and its standard error in every entry of theta, over the windows of all particles.
fn estimate(plan: &Plan) -> Vec<(f64, f64)> {
    let mut sums = vec![(0.0, 0.0); plan.initial_theta.len()];
    for batch in 0..BATCHES {
        // No particle begins with the episode that staggers a population.
        let first = |index| Particle { episode: 1, ..Particle::new(index) };
        let mut particles: Vec<Particle> = (BATCH * batch..BATCH * (batch + 1)).map(first).collect();
        let mut gradient = vec![0.0f64; plan.initial_theta.len()];
        for _ in 0..WINDOWS {
            let report = |particle: &mut Particle| Some(next_window(particle, &plan.initial_theta, &plan.setting));
            let reports: Vec<_> = particles.iter_mut().map(report).collect();
            let mut learner = new_learner(plan).unwrap();
            learner.step(&reports, &plan.setting).unwrap();
            for ((sum, before), after) in gradient.iter_mut().zip(&plan.initial_theta).zip(learner.theta()) {
                *sum += f64::from(before - after) / WINDOWS as f64;
            }
        }
        for (sum, g) in sums.iter_mut().zip(gradient) {
            *sum = (sum.0 + g, sum.1 + g * g);
        }
    }
    let count = BATCHES as f64;
    let mean_and_error = |(sum, squares): (f64, f64)| {
        let mean = sum / count;
        (mean, ((squares / count - mean * mean) / count).sqrt())
    };
    sums.into_iter().map(mean_and_error).collect()
}

/// The factor on `a` in the gradient, where step `t` remembers theta since step `start_of_memory(t)`.
fn factor(u: f64, final_weight: f64, start_of_memory: impl Fn(u64) -> u64) -> f64 {
    let horizon = HORIZON as f64;
    let mean = |t: u64| 2.0 * (t - start_of_memory(t)) as f64 * (t as f64 * u - 1.0) / horizon;
    (1.0 - final_weight) * (0..HORIZON).map(mean).sum::<f64>() + final_weight * 2.0 * horizon * (horizon * u - 1.0)
}

fn assert_mean(estimates: &[(f64, f64)], factor: f64, slope: &[f64], what: &str) {
    for (entry, ((mean, error), a)) in estimates.iter().zip(slope).enumerate() {
        let exact = a * factor;
        assert!(*error < 0.1 * factor.abs(), "{what}, entry {entry}: {mean} ± {error} is too noisy to say anything");
        assert!((mean - exact).abs() <= 4.5 * error, "{what}, entry {entry}: {mean} ± {error}, exact {exact}");
    }
}

/// Fails if a contribution is not divided by `2 σ`, or by the `σ` of another part, or has the wrong sign; if a gap is
/// multiplied with another direction than the perturbations that made it, as at a reset inside a window; if segments
/// or particles do not weigh as many steps as they have; if the final loss is not telescoped; and if entries that
/// change nothing are moved.
fn assert_finds_the_gradient_of_the_whole_run(method: Method) {
    for final_weight in [0.0, 0.25, 1.0] {
        let (plan, slope) = problem(config(method, final_weight));
        let exact = factor(speed(&plan.initial_theta, &slope), f64::from(final_weight), |_| 0);
        assert_mean(&estimate(&plan), exact, &slope, &format!("{method:?}, final weight {final_weight}"));
    }
}

#[test]
fn nres_finds_the_gradient_of_the_whole_run() {
    assert_finds_the_gradient_of_the_whole_run(Method::Nres);
}

#[test]
fn pes_finds_the_gradient_of_the_whole_run() {
    assert_finds_the_gradient_of_the_whole_run(Method::Pes);
}

#[test]
fn full_es_finds_the_gradient_of_the_whole_run() {
    assert_finds_the_gradient_of_the_whole_run(Method::FullEs);
}

#[test]
fn truncated_es_finds_the_gradient_of_its_own_windows_only() {
    let (plan, slope) = problem(config(Method::TruncatedEs, 0.0));
    let u = speed(&plan.initial_theta, &slope);
    // The first episode is cut at steps 4 and 8, the second, which begins in the middle of a window, at 2 and 6.
    let cut_at_4 = factor(u, 0.0, |t| t / WINDOW * WINDOW);
    let cut_at_2 = factor(u, 0.0, |t| ((t + 2) / WINDOW * WINDOW).saturating_sub(2));
    let exact = 0.5 * (cut_at_4 + cut_at_2);
    assert_mean(&estimate(&plan), exact, &slope, "TruncatedEs");
    assert!(exact / factor(u, 0.0, |_| 0) < 0.5, "truncation must lose most of this gradient");
}

/// One life of a run, from a fresh start or from the state that it was resumed from.
#[derive(Default)]
struct Life {
    segments: Vec<SegmentGap>,
    /// Its first step and its horizon.
    stretch: Option<(u64, u64)>,
}

impl Life {
    fn steps(&self) -> u64 {
        self.segments.iter().map(|segment| segment.steps).sum()
    }

    /// Mean over its steps of the gap of their segments.
    fn gap(&self) -> f64 {
        let sum = self.segments.iter().map(|segment| segment.steps as f64 * f64::from(segment.gap)).sum::<f64>();
        sum / self.steps() as f64
    }
}

/// Finished lives of one particle.
fn lives(plan: &Plan, windows: u64) -> Vec<Life> {
    let mut particle = Particle { episode: 1, ..Particle::new(0) };
    let (mut finished, mut running) = (Vec::new(), Life::default());
    for _ in 0..windows {
        let report = next_window(&mut particle, &plan.initial_theta, &plan.setting);
        let mut ends = report.ended.len();
        for segment in report.segments {
            running.segments.push(segment);
            if running.stretch.is_some_and(|(start, horizon)| start + running.steps() == horizon) {
                finished.push(std::mem::take(&mut running));
                ends -= 1;
            }
        }
        assert_eq!(ends, 0, "no life is shorter than a window");
        if let Some(live) = &particle.live {
            let record = live.record();
            let start = record.inner_step - running.steps();
            running.stretch = Some((start, record.horizon));
        }
    }
    finished
}

/// `u` of both sides of a life.
fn speeds(life: &Life, plan: &Plan, slope: &[f64]) -> [f64; 2] {
    let (stage, position) = (&plan.setting.stages[0], life.segments[0].position);
    let mut n = vec![0.0; plan.initial_theta.len()];
    stage.noise.write(&mut n, position.particle, position.episode);
    [1.0f32, -1.0].map(|sign| {
        let perturbed = plan.initial_theta.iter().zip(&n).zip(&stage.sigmas);
        let theta: Vec<f32> = perturbed.map(|((theta, n), sigma)| theta + sign * sigma * n).collect();
        speed(&theta, slope)
    })
}

#[test]
fn held_out_rows_and_divergence_count_as_configured() {
    for (held_out_weight, final_weight) in [(0.5, 0.0), (1.0, 0.0), (0.25, 0.5), (1.0, 1.0)] {
        for (edge, every) in [(f32::INFINITY, 1), (f32::INFINITY, 2), (0.5, 1), (0.5, 2)] {
            let mut config = config(Method::Nres, final_weight);
            config.objective.held_out_weight = held_out_weight;
            config.objective.held_out_every = every;
            let worst = f64::from(config.objective.cap);
            let (mut plan, slope) = problem(config);
            plan.setting.tasks = Box::new(Lines { edge });
            let what =
                format!("held-out weight {held_out_weight}, every {every}, final weight {final_weight}, edge {edge}");
            let (mut lost, mut kept) = (0, 0);
            for life in lives(&plan, 60) {
                let speeds = speeds(&life, &plan, &slope);
                let score = |t: u64, target: f64, u: f64| match t as f64 * u {
                    position if position > f64::from(edge) => worst,
                    position => (position - target).powi(2),
                };
                let gap = |t: u64, target: f64| score(t, target, speeds[0]) - score(t, target, speeds[1]);
                let mean =
                    |over: &[u64], target: f64| over.iter().map(|&t| gap(t, target)).sum::<f64>() / over.len() as f64;
                let (held_out, end) = (f64::from(held_out_weight), f64::from(final_weight));
                let mut first = 0;
                let mut exact = end * ((1.0 - held_out) * gap(HORIZON, 1.0) + held_out * gap(HORIZON, 3.0));
                for segment in &life.segments {
                    let steps: Vec<u64> = (first..first + segment.steps).collect();
                    let taken: Vec<u64> = steps.iter().copied().filter(|t| t % every == every - 1).collect();
                    assert!(!taken.is_empty(), "no segment is shorter than two steps");
                    let mixed = (1.0 - held_out) * mean(&steps, 1.0) + held_out * mean(&taken, 3.0);
                    exact += (1.0 - end) * segment.steps as f64 / HORIZON as f64 * mixed;
                    first += segment.steps;
                }
                let found = life.gap();
                assert!((found - exact).abs() < 1e-3 * exact.abs().max(1.0), "{what}: {found}, exact {exact}");
                let ends = speeds.map(|u| HORIZON as f64 * u > f64::from(edge));
                lost += u32::from(ends[0] != ends[1]);
                kept += u32::from(ends == [false, false]);
            }
            assert!(
                edge.is_infinite() || (lost > 3 && kept > 0),
                "{what}: {lost} and {kept} lives say nothing of the edge"
            );
        }
    }
}

#[test]
fn the_average_of_theta_forgets_as_configured() {
    let mut config = config(Method::Nres, 0.0);
    config.outer.learning_rate = 1e-4;
    config.outer.average_decay = 0.25;
    let (plan, _) = problem(config);
    let mut particles: Vec<Particle> = (0..BATCH).map(Particle::new).collect();
    let mut learner = new_learner(&plan).unwrap();
    let mut expected = plan.initial_theta.clone();
    // The memory is shorter in the first outer steps: (1 + g) / (10 + g), 2/11 after the first.
    for decay in [2.0 / 11.0, 0.25, 0.25, 0.25] {
        let theta = learner.theta().to_vec();
        let reports: Vec<_> =
            particles.iter_mut().map(|particle| Some(next_window(particle, &theta, &plan.setting))).collect();
        learner.step(&reports, &plan.setting).unwrap();
        assert_ne!(learner.theta(), theta, "theta does not move");
        for (expected, theta) in expected.iter_mut().zip(learner.theta()) {
            *expected = decay * *expected + (1.0 - decay) * theta;
        }
        for (average, expected) in learner.average().iter().zip(&expected) {
            assert!((average - expected).abs() <= 1e-6 * expected.abs().max(1.0), "{average}, expected {expected}");
        }
    }
}

#[test]
fn a_resumed_run_is_scored_as_an_episode_of_its_own() {
    for final_weight in [0.0, 0.25, 1.0] {
        let mut config = config(Method::Nres, final_weight);
        config.resume = Some(Resume { fresh: 0.2, longest: 40 });
        let (plan, slope) = problem(config);
        let lives = lives(&plan, 200);
        for life in &lives {
            let (start, horizon) = life.stretch.expect("a finished life has an end");
            let [plus, minus] = speeds(life, &plan, &slope);
            let gap = |t: u64| (t as f64 * plus - 1.0).powi(2) - (t as f64 * minus - 1.0).powi(2);
            let mean = (start..horizon).map(gap).sum::<f64>() / (horizon - start) as f64;
            let weight = f64::from(final_weight);
            let exact = (1.0 - weight) * mean + weight * gap(horizon);
            let found = life.gap();
            assert!(
                (found - exact).abs() < 1e-4 * exact.abs().max(1.0),
                "final weight {final_weight}, steps {start} to {horizon}: {found}, exact {exact}"
            );
        }
        let starts = |wanted: fn(u64) -> bool| {
            lives.iter().filter(|life| life.stretch.is_some_and(|(start, _)| wanted(start))).count()
        };
        assert!(starts(|start| start == 0) > 5 && starts(|start| start > 0) > 20 && starts(|start| start > 10) > 5);
    }
}
