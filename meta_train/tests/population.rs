//! Facts about whole generations: bits that do not depend on workers, work that survives failures.

mod support;
#[path = "support/window.rs"]
mod window;

use std::sync::Arc;

use support::{bowl_plan, small_config};
use velo_meta_train::config::Config;
use velo_meta_train::estimator::{Method, Position};
use velo_meta_train::guard::{Guard, Heard, MOST_ROLLBACKS};
use velo_meta_train::population::{Population, Synchronous};
use velo_meta_train::run::new_learner;
use velo_meta_train::unroll::{Birth, EpisodeDraw, Particle, SegmentGap, WindowReport};
use velo_optimizer::{
    AdafacMlpConfig, Architecture, Celo2Config, CeloAdamConfig, CeloConfig, OptimizerConfig, PacedConfig, VeloConfig,
};
use window::next_window;

/// A meta-loss of the first generation.
fn heard(meta_loss: f32) -> Heard {
    Heard { generation: 0, oldest: 0, meta_loss: Some(meta_loss), segments: 6, scale: Some(0), worst: 1.0 }
}

/// Theta after `small_config`'s outer steps, as bits, and the number of lost particles.
fn train(config: Config, workers: usize, fuse_every: Option<u64>) -> (Vec<u32>, usize) {
    let outer_steps = config.budget.outer_steps;
    let plan = bowl_plan(config, fuse_every);
    let mut learner = new_learner(&plan).unwrap();
    let particles = (0..plan.setting.particles).map(Particle::new).collect();
    let setting = Arc::new(plan.setting);
    let mut population = Synchronous::new(particles, workers, &setting).unwrap();
    let mut lost = 0;
    for _ in 0..outer_steps {
        let generation = population.run_generation(learner.generation(), learner.theta()).unwrap();
        lost += generation.lost.len();
        learner.step(&generation.reports, &setting).unwrap();
    }
    (learner.theta().iter().map(|value| value.to_bits()).collect(), lost)
}

#[test]
fn theta_has_the_same_bits_with_one_two_and_eight_workers() {
    for method in [Method::Nres, Method::Pes] {
        let mut config = small_config();
        config.estimator.method = method;
        let (one, _) = train(config.clone(), 1, None);
        assert_ne!(one, config.clone().check().unwrap().initial_theta.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
        assert_eq!(one, train(config.clone(), 2, None).0, "{method:?}, two workers");
        assert_eq!(one, train(config, 8, None).0, "{method:?}, eight workers");
    }
}

#[test]
fn every_architecture_learns_under_any_outer_optimizer_with_the_same_bits() {
    let architectures = [
        Architecture::Velo(VeloConfig::default()),
        Architecture::Celo(CeloConfig::default()),
        Architecture::CeloAdam(CeloAdamConfig::default()),
        Architecture::AdafacMlp(AdafacMlpConfig::default()),
        Architecture::Celo2(Celo2Config::default()),
        Architecture::Paced(PacedConfig::default()),
    ];
    for (architecture, outer) in architectures.into_iter().zip(["lion", "adafactor", "sgd", "soap", "muon", "adamw"]) {
        let mut config = small_config();
        config.architecture = architecture;
        config.outer.optimizer = OptimizerConfig::from_name(outer).unwrap();
        config.budget.outer_steps = 2;
        let what = format!("{} under {outer}", config.architecture.name());
        let start: Vec<u32> = config.clone().check().unwrap().initial_theta.iter().map(|v| v.to_bits()).collect();
        let (one, lost) = train(config.clone(), 1, None);
        assert_eq!((&one, lost), (&train(config, 2, None).0, 0), "{what}");
        assert_ne!(one, start, "{what}");
        assert!(one.iter().all(|bits| f32::from_bits(*bits).is_finite()), "{what}");
    }
}

/// Theta after each of 40 outer steps under that outer optimizer, every report of outer step `g` saying `meta_loss(g)`.
fn under(outer: OptimizerConfig, learning_rate: f32, meta_loss: fn(f32) -> f32) -> Vec<Vec<f32>> {
    let mut config = small_config();
    config.architecture = Architecture::Paced(PacedConfig::default());
    (config.outer.optimizer, config.outer.learning_rate, config.outer.warmup) = (outer, learning_rate, 0.0);
    (config.outer.floor, config.budget.outer_steps) = (0.99, 40);
    let plan = bowl_plan(config, None);
    let mut learner = new_learner(&plan).unwrap();
    let mut path = vec![learner.theta().to_vec()];
    for step in 0..40u8 {
        // Gaps that contradict each other: where all gradients agree, the loss has nothing to add.
        let gap = if step % 2 == 0 { 0.3 } else { -0.3 };
        let mut reports = [report(0, gap), report(1, 0.1), report(2, -0.1)];
        let segments = reports.iter_mut().flatten().flat_map(|report| &mut report.segments);
        segments.for_each(|segment| segment.meta_loss = meta_loss(step.into()));
        learner.step(&reports, &plan.setting).unwrap();
        path.push(learner.theta().to_vec());
    }
    path
}

#[test]
fn a_learned_outer_optimizer_is_shown_the_meta_loss_the_rate_and_the_end() {
    let pretrained = || OptimizerConfig::from_name("pretrained").unwrap();
    let adamw = || OptimizerConfig::from_name("adamw").unwrap();
    let falling = |step| 4.0 - 0.09 * step;
    let rising = |step| 4.0 + 0.09 * step;
    assert!(under(pretrained(), 1.0, falling) != under(pretrained(), 1.0, rising), "the loss is not seen");
    assert!(under(adamw(), 1e-3, falling) == under(adamw(), 1e-3, rising));

    let moved = |path: &[Vec<f32>], step: usize| -> f32 {
        path[step].iter().zip(&path[step - 1]).map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
    };
    let (full, half) = (under(pretrained(), 1.0, falling), under(pretrained(), 0.5, falling));
    assert!((moved(&half, 1) / moved(&full, 1) - 0.5).abs() < 0.01, "{} {}", moved(&half, 1), moved(&full, 1));
    // Its own pace ends with the run.
    assert!(moved(&full, 40) < 0.1 * moved(&full, 3), "{} {}", moved(&full, 40), moved(&full, 3));
}

#[test]
fn where_no_run_said_anything_theta_rests() {
    let plan = bowl_plan(small_config(), None);
    let mut learner = new_learner(&plan).unwrap();
    learner.step(&[report(0, 0.3), report(1, -0.1)], &plan.setting).unwrap();
    let before = learner.theta().to_vec();
    let silent = Some(WindowReport { steps: 10, segments: Vec::new(), ended: Vec::new() });
    assert_eq!(learner.step(&[silent.clone(), silent], &plan.setting).unwrap().meta_loss, None);
    assert_eq!((learner.theta(), learner.generation()), (&before[..], 2));
}

#[test]
fn a_panicking_task_loses_its_own_particle_only_and_the_run_goes_on() {
    let (one, lost) = train(small_config(), 1, Some(3));
    assert!(lost > 0, "the test must have blown a fuse");
    assert_eq!((one, lost), train(small_config(), 2, Some(3)), "failures do not depend on workers either");
}

#[test]
fn a_lost_particle_is_reported_with_its_reason_and_restarted_in_its_next_episode() {
    let plan = bowl_plan(small_config(), Some(1));
    let theta = plan.initial_theta.clone();
    let particles = (0..plan.setting.particles).map(Particle::new).collect();
    let mut population = Synchronous::new(particles, 2, &Arc::new(plan.setting)).unwrap();
    let generation = population.run_generation(0, &theta).unwrap();
    assert!(!generation.lost.is_empty());
    for lost in &generation.lost {
        assert_eq!(lost.reason, "panicked: the fuse of this task has blown");
        let particle = &population.at_rest().unwrap().particles[lost.particle as usize];
        assert_eq!((particle.episode, particle.window), (lost.episode + 1, lost.window + 1));
    }
}

#[test]
fn an_episode_that_began_inside_the_window_and_failed_there_is_the_one_that_is_given_up() {
    let mut config = small_config();
    // A window sees the end of an episode without a fuse before the fuse of the next one blows.
    (config.truncation.shortest, config.truncation.longest) = (7, 7);
    let plan = bowl_plan(config, Some(3));
    let theta = plan.initial_theta.clone();
    let particles = (0..plan.setting.particles).map(Particle::new).collect();
    let setting = Arc::new(plan.setting);
    let mut population = Synchronous::new(particles, 2, &setting).unwrap();
    let mut begun_inside = 0;
    for generation in 0..12 {
        let before: Vec<u64> =
            population.at_rest().unwrap().particles.iter().map(|particle| particle.episode).collect();
        for lost in population.run_generation(generation, &theta).unwrap().lost {
            let birth = Birth { particle: lost.particle, episode: lost.episode, ..Birth::default() };
            assert_eq!(EpisodeDraw::new(&setting, birth).task % 3, 0, "episode {} has no fuse", lost.episode);
            let particle = &population.at_rest().unwrap().particles[lost.particle as usize];
            assert_eq!(particle.episode, lost.episode + 1, "what failed is not begun again");
            begun_inside += u32::from(lost.episode > before[lost.particle as usize]);
        }
    }
    assert!(begun_inside > 3, "{begun_inside}");
}

#[test]
fn a_blow_up_is_rolled_back_to_the_last_good_generation_and_training_goes_on_from_there() {
    let plan = bowl_plan(small_config(), None);
    let mut learner = new_learner(&plan).unwrap();
    let mut guard = Guard::default();
    let start = learner.state();
    learner.step(&[report(0, 0.3)], &plan.setting).unwrap();
    guard.judge_meta_loss(start, heard(-2.0)).unwrap();
    let good = learner.state();
    guard.judge_meta_loss(good.clone(), heard(-2.0)).unwrap();
    for _ in 0..3 {
        let before = learner.state();
        learner.step(&[report(0, 0.3)], &plan.setting).unwrap();
        assert!(guard.judge_meta_loss(before, heard(0.9)).is_err());
        assert!(guard.roll_back(&mut learner).unwrap());
        assert_eq!(learner.state(), good);
        guard.judge_meta_loss(learner.state(), heard(-2.0)).unwrap();
    }
    assert_eq!(learner.generation(), 4, "the clock of perturbations goes on");
}

#[test]
fn a_run_that_blows_up_again_and_again_gives_up() {
    let plan = bowl_plan(small_config(), None);
    let mut learner = new_learner(&plan).unwrap();
    let mut guard = Guard::default();
    guard.judge_meta_loss(learner.state(), heard(-2.0)).unwrap();
    let rolled_back = (0..20).take_while(|_| guard.roll_back(&mut learner).unwrap()).count();
    assert_eq!(rolled_back, MOST_ROLLBACKS as usize);
}

#[test]
fn restarted_episodes_are_ones_that_no_particle_has_had() {
    let plan = bowl_plan(small_config(), None);
    let theta = plan.initial_theta.clone();
    let particles = (0..plan.setting.particles).map(Particle::new).collect();
    let mut population = Synchronous::new(particles, 2, &Arc::new(plan.setting)).unwrap();
    population.run_generation(0, &theta).unwrap();
    let live: Vec<(u64, bool)> = population
        .at_rest()
        .unwrap()
        .particles
        .iter()
        .map(|particle| (particle.episode, particle.live.is_some()))
        .collect();
    population.restart_episodes(1).unwrap();
    for (particle, (episode, was_live)) in population.at_rest().unwrap().particles.iter().zip(live) {
        assert!(particle.live.is_none());
        assert_eq!((particle.episode, particle.episode_start), (episode + u64::from(was_live), particle.window));
    }
}

#[test]
fn a_window_has_the_same_number_of_inner_steps_whether_or_not_an_episode_ends_in_it() {
    let plan = bowl_plan(small_config(), None);
    let mut particle = Particle::new(3);
    let mut ended = 0;
    for window in 0..20 {
        let report = next_window(&mut particle, &plan.initial_theta, &plan.setting);
        assert_eq!(
            report.segments.iter().map(|segment| segment.steps).sum::<u64>(),
            plan.setting.stages[0].truncation.window
        );
        for segment in &report.segments[1..] {
            assert_eq!(
                segment.position.episode_start, window,
                "an episode that begins here remembers only this window"
            );
        }
        ended += report.ended.len() as u32;
    }
    assert!(ended > 3 && particle.episode == u64::from(ended));
}

#[test]
fn both_sides_of_a_pair_see_the_same_task_batches_and_start() {
    let mut config = small_config();
    // Perturbations too small to change a bit: common random numbers must make the sides equal.
    config.estimator.sigma = 1e-30;
    let plan = bowl_plan(config, None);
    let mut particle = Particle::new(0);
    for _ in 0..5 {
        let report = next_window(&mut particle, &plan.initial_theta, &plan.setting);
        assert!(report.segments.iter().all(|segment| segment.gap == 0.0));
    }
}

/// A report of one segment with this gap, as particle `particle` would send it.
fn report(particle: u64, gap: f32) -> Option<WindowReport> {
    let position = Position { particle, episode: 0, window: 0, episode_start: 0, stage: 0 };
    let segment = SegmentGap { position, family: 0, steps: 10, gap, meta_loss: 0.0 };
    Some(WindowReport { steps: 10, segments: vec![segment], ended: Vec::new() })
}

#[test]
fn a_contribution_that_is_not_finite_is_dropped_and_counted() {
    let plan = bowl_plan(small_config(), None);
    let step = |reports: &[Option<WindowReport>]| {
        let mut learner = new_learner(&plan).unwrap();
        let outcome = learner.step(reports, &plan.setting).unwrap();
        (learner.theta().to_vec(), outcome.dropped)
    };
    let (with, dropped) = step(&[report(0, 0.3), report(1, f32::NAN), report(2, -0.1), None]);
    let (without, none_dropped) = step(&[report(0, 0.3), report(2, -0.1)]);
    assert_eq!((dropped, none_dropped), (1, 0));
    assert_eq!(with, without);
    assert_ne!(with, plan.initial_theta);
}

#[test]
fn a_generation_without_any_contribution_leaves_theta_alone() {
    let plan = bowl_plan(small_config(), None);
    let mut learner = new_learner(&plan).unwrap();
    learner.step(&[None, report(1, f32::INFINITY)], &plan.setting).unwrap();
    assert_eq!(learner.theta(), plan.initial_theta);
    assert_eq!(learner.generation(), 1);
}

#[test]
fn a_generation_in_which_no_run_said_anything_has_no_meta_loss() {
    let mut config = small_config();
    config.estimator.method = Method::FullEs;
    (config.truncation.shortest, config.truncation.longest) = (30, 30);
    let plan = bowl_plan(config, None);
    // The last particle of a population is the one whose first run is hardly cut: it is over in the third window.
    let mut particle = Particle::new(plan.setting.particles - 1);
    let mut told = Vec::new();
    for _ in 0..3 {
        let report = next_window(&mut particle, &plan.initial_theta, &plan.setting);
        let outcome = new_learner(&plan).unwrap().step(&[Some(report)], &plan.setting).unwrap();
        told.push(outcome.meta_loss.is_some());
    }
    assert_eq!(told, [false, false, true]);
}

#[test]
fn theta_moves_against_the_direction_that_raised_the_meta_loss() {
    let plan = bowl_plan(small_config(), None);
    let mut learner = new_learner(&plan).unwrap();
    learner.step(&[report(0, 0.5)], &plan.setting).unwrap();
    let mut n = vec![0.0; plan.initial_theta.len()];
    plan.setting.stages[0].noise.write(&mut n, 0, 0);
    let moved = learner.theta().iter().zip(&plan.initial_theta).map(|(after, before)| after - before);
    let along: f32 = moved.zip(&n).map(|(moved, n)| moved * n).sum();
    assert!(along < 0.0, "{along}");
}

#[test]
fn entries_of_theta_that_cannot_change_an_update_are_never_moved() {
    let (theta, _) = train(small_config(), 2, None);
    let plan = bowl_plan(small_config(), None);
    let learned = plan.setting.stages[0].noise.learned();
    assert!(learned.iter().any(|learned| !learned), "this architecture has idle outputs");
    for ((theta, initial), learned) in theta.iter().zip(&plan.initial_theta).zip(learned) {
        assert!(*learned || *theta == initial.to_bits());
    }
}
