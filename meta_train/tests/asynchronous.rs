//! Facts about workers that do not wait for each other.

mod support;

use std::sync::{Arc, Condvar, Mutex};

use support::{bowl_plan, small_config};
use velo_meta_train::Error;
use velo_meta_train::config::{Config, Plan};
use velo_meta_train::curriculum::StageConfig;
use velo_meta_train::estimator::Method;
use velo_meta_train::population::{Mode, Population};
use velo_meta_train::run::new_learner;
use velo_meta_train::unroll::{Particle, Setting, TaskSource};
use velo_optimizer::ParamLayout;
use velo_tasks::{Batch, Metrics, Split, Task};

fn start(plan: Plan, mode: Mode, workers: usize) -> (Box<dyn Population>, Arc<Setting>) {
    let particles = (0..plan.setting.particles).map(Particle::new).collect();
    let setting = Arc::new(plan.setting);
    (mode.start(particles, Vec::new(), workers, &setting).unwrap(), setting)
}

/// Theta after the outer steps of `config`, as bits, and the number of lost windows and of stale reports.
fn train(config: Config, mode: Mode, workers: usize, fuse_every: Option<u64>) -> (Vec<u32>, usize, u32) {
    let outer_steps = config.budget.outer_steps;
    let plan = bowl_plan(config, fuse_every);
    let mut learner = new_learner(&plan).unwrap();
    let (mut population, setting) = start(plan, mode, workers);
    let (mut lost, mut stale) = (0, 0);
    for _ in 0..outer_steps {
        let generation = population.run_generation(learner.generation(), learner.theta()).unwrap();
        lost += generation.lost.len();
        stale += generation.stale;
        learner.step(&generation.reports, &setting).unwrap();
    }
    (learner.theta().iter().map(|value| value.to_bits()).collect(), lost, stale)
}

const WITHOUT_STALENESS: Mode = Mode::Asynchronous { staleness: 0, reports: None };

#[test]
fn without_staleness_and_with_a_report_of_every_pair_it_is_the_synchronous_mode_to_the_bit() {
    for method in [Method::Nres, Method::Pes, Method::FullEs] {
        let mut config = small_config();
        config.estimator.method = method;
        if method != Method::Pes {
            // A particle that idles counts no windows here, after which the numbers of its perturbations are others.
            config.stages = vec![StageConfig { pairs: Some(3), ..StageConfig::default() }, StageConfig::default()];
        }
        let synchronous = train(config.clone(), Mode::Synchronous, 2, None);
        for workers in [1, 2, 5] {
            let asynchronous = train(config.clone(), WITHOUT_STALENESS, workers, None);
            assert_eq!(asynchronous, synchronous, "{method:?} with {workers} workers");
        }
    }
}

#[test]
fn workers_that_panic_are_reported_and_replaced_and_the_run_goes_on() {
    let synchronous = train(small_config(), Mode::Synchronous, 1, Some(3));
    assert!(synchronous.1 > 0, "the test must have blown a fuse");
    assert_eq!(train(small_config(), WITHOUT_STALENESS, 2, Some(3)), synchronous, "what is lost is the same, too");
    let (mut population, _) =
        start(bowl_plan(small_config(), Some(1)), Mode::Asynchronous { staleness: 2, reports: Some(2) }, 2);
    let theta = small_config().check().unwrap().initial_theta;
    let (mut lost, mut replaced) = (0, 0);
    for generation in 0..20 {
        let outcome = population.run_generation(generation, &theta).unwrap();
        for failure in &outcome.lost {
            assert_eq!(failure.reason, "panicked: the fuse of this task has blown");
        }
        lost += outcome.lost.len();
        replaced += outcome.replaced;
    }
    assert!(lost > 2 && replaced > 2, "lost {lost}, replaced {replaced}");
}

#[test]
fn at_rest_every_particle_is_home_and_every_window_is_told_of() {
    let mode = Mode::Asynchronous { staleness: 100, reports: Some(4) };
    let plan = bowl_plan(small_config(), None);
    let theta = plan.initial_theta.clone();
    let (mut population, setting) = start(plan, mode, 3);
    let mut told = 0;
    for generation in 0..10 {
        let outcome = population.run_generation(generation, &theta).unwrap();
        assert_eq!((outcome.reports.len(), outcome.stale), (4, 0));
        told += outcome.reports.len();
        if generation % 3 == 0 {
            let rest = population.at_rest().unwrap();
            let indices: Vec<u64> = rest.particles.iter().map(|particle| particle.index).collect();
            assert_eq!(indices, (0..setting.particles).collect::<Vec<_>>());
            let windows: u64 = rest.particles.iter().map(|particle| particle.window).sum();
            assert_eq!(windows, (told + rest.waiting.len()) as u64);
        }
    }
}

#[test]
fn after_a_restart_of_episodes_what_was_learned_from_the_old_ones_is_not_used() {
    let plan = bowl_plan(small_config(), None);
    let theta = plan.initial_theta.clone();
    let (mut population, _) = start(plan, Mode::Asynchronous { staleness: 5, reports: Some(2) }, 2);
    population.run_generation(0, &theta).unwrap();
    let out = population.at_rest().unwrap().waiting.len() as u32;
    assert!(out > 0, "more windows are trained than an outer step needs");
    population.restart_episodes(1).unwrap();
    let rest = population.at_rest().unwrap();
    assert!(rest.waiting.is_empty(), "a checkpoint would keep what a bad theta made");
    assert!(rest.particles.iter().all(|particle| particle.live.is_none()));
    assert!(rest.particles.iter().all(|particle| particle.first_episode == particle.episode));
    let outcome = population.run_generation(1, &theta).unwrap();
    assert_eq!((outcome.stale, outcome.mean_staleness), (out, 0.0));
}

/// A door that a task waits behind.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    opened: Condvar,
}

/// One parameter and a constant slope; the gradient of the heavy one comes when the door is open.
struct Weight {
    layout: ParamLayout,
    heavy: Option<Arc<Door>>,
}

impl Task for Weight {
    fn name(&self) -> &str {
        "weight"
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, _seed: u64, params: &mut [f32]) {
        params.fill(1.0);
    }

    fn loss_and_grad(&mut self, params: &[f32], _batch: Batch, grads: &mut [f32]) -> f32 {
        if let Some(door) = &self.heavy {
            let mut open = door.open.lock().unwrap();
            while !*open {
                open = door.opened.wait(open).unwrap();
            }
        }
        grads.fill(1.0);
        params[0].abs()
    }

    fn loss(&mut self, params: &[f32], _batch: Batch) -> f32 {
        params[0].abs()
    }

    fn evaluate(&mut self, params: &[f32], _split: Split) -> Metrics {
        Metrics { loss: params[0].abs(), accuracy: None }
    }

    fn reference_loss(&self) -> f32 {
        1.0
    }
}

/// Weights of which the first that is drawn is heavy.
struct Weights {
    heavy: Mutex<Option<Arc<Door>>>,
}

impl TaskSource for Weights {
    fn families(&self) -> Vec<String> {
        vec!["weight".into()]
    }

    fn draw(&self, _seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        let layout = ParamLayout::new([("w", vec![2, 2])])?;
        Ok((0, Box::new(Weight { layout, heavy: self.heavy.lock().unwrap().take() })))
    }
}

#[test]
fn a_window_that_takes_for_ever_blocks_nobody_and_is_discarded_when_it_comes_at_last() {
    let door = Arc::new(Door::default());
    let mut plan = small_config().check().unwrap();
    plan.setting.tasks = Box::new(Weights { heavy: Mutex::new(Some(Arc::clone(&door))) });
    let theta = plan.initial_theta.clone();
    let (mut population, _) = start(plan, Mode::Asynchronous { staleness: 2, reports: Some(3) }, 2);
    let mut generation = 0;
    for _ in 0..20 {
        let outcome = population.run_generation(generation, &theta).unwrap();
        assert_eq!((outcome.reports.len(), outcome.stale), (3, 0));
        assert!(outcome.mean_staleness <= 2.0);
        generation += 1;
    }
    *door.open.lock().unwrap() = true;
    door.opened.notify_all();
    let mut stale = 0;
    while stale == 0 && generation < 10_000 {
        stale += population.run_generation(generation, &theta).unwrap().stale;
        generation += 1;
    }
    assert_eq!(stale, 1, "the window from generation 0");
}

#[test]
fn the_mode_is_spelled_in_configuration_files_and_checked() {
    let read = |value: &str| {
        let set = format!("population={value}");
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/smoke.ron");
        velo_comparison::ron_file::read::<Config>(path, &[set])
    };
    assert_eq!(Config::default().population, Mode::Synchronous);
    let population = |value| read(value).unwrap().population;
    assert_eq!(population("Synchronous"), Mode::Synchronous);
    assert_eq!(population("Asynchronous()"), Mode::Asynchronous { staleness: 4, reports: None });
    let spelled = population("Asynchronous(staleness: 1, reports: 24)");
    assert_eq!(spelled, Mode::Asynchronous { staleness: 1, reports: Some(24) });
    assert!(read("Asynchronous(stalenes: 1)").unwrap_err().to_string().contains("stalenes"));
    let error = read("Asynchronous(reports: 0)").unwrap().check().map(|_| ()).unwrap_err();
    assert!(error.to_string().starts_with("population.reports is 0, expected at least 1"), "{error}");
}
