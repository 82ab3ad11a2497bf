//! Facts about single episodes and particles: final losses, stages, hidden horizons, pools.

mod support;
#[path = "support/window.rs"]
mod window;

use support::{bowl_plan, small_config};
use velo_meta_train::config::{Config, Plan};
use velo_meta_train::curriculum::StageConfig;
use velo_meta_train::estimator::Method;
use velo_meta_train::learner::GapScaling;
use velo_meta_train::resume::{Resume, Snapshot};
use velo_meta_train::run::new_learner;
use velo_meta_train::unroll::{Birth, Episode, EpisodeDraw, Particle, WindowReport};
use velo_optimizer::{Architecture, Optimizer, PacedConfig};
use window::next_window;

fn birth(particle: u64, episode: u64) -> Birth {
    Birth { particle, episode, ..Birth::default() }
}

/// An episode whose sides differ in theta.
fn episode(plan: &Plan) -> Episode {
    let mut episode = Episode::new(&plan.setting, birth(1, 2)).unwrap();
    for (side, sign) in episode.sides.iter_mut().zip([1.0f32, -1.0]) {
        let theta: Vec<f32> =
            plan.initial_theta.iter().enumerate().map(|(i, t)| t + sign * (i % 7) as f32 * 0.02).collect();
        side.optimizer.set_theta(&theta).unwrap();
    }
    episode
}

fn gaps(plan: &Plan, window: u64) -> (f64, u64) {
    let mut episode = episode(plan);
    let (mut sum, mut steps) = (0.0, 0);
    while !episode.is_over() {
        let segment = episode.advance(window, &plan.setting.stages[0].objective, &mut Vec::new()).unwrap();
        sum += segment.steps as f64 * segment.gap;
        steps += segment.steps;
    }
    let whole = episode.whole();
    assert!((whole.gap - sum / steps as f64).abs() < 1e-12);
    (whole.gap, steps)
}

#[test]
fn however_a_run_is_cut_its_windows_add_up_to_the_gap_of_the_final_loss() {
    for final_weight in [0.3, 1.0] {
        let mut config = small_config();
        config.objective.final_weight = final_weight;
        config.objective.held_out_weight = 0.0;
        let plan = bowl_plan(config, None);
        let (in_one_piece, steps) = gaps(&plan, 1000);
        assert!(steps > 6 && in_one_piece.abs() > 1e-3, "the sides must differ: {in_one_piece}");
        for window in [1, 3, 5] {
            let (gap, _) = gaps(&plan, window);
            assert!((gap - in_one_piece).abs() < 1e-6, "{window}: {gap} against {in_one_piece}");
        }
    }
}

#[test]
fn held_out_rows_and_the_end_are_measured_with_averaged_parameters() {
    let meta_loss = |average: Option<f32>, held_out_weight: f32, final_weight: f32| {
        let mut config = small_config();
        config.architecture = Architecture::Paced(PacedConfig { average, ..PacedConfig::default() });
        (config.objective.held_out_weight, config.objective.final_weight) = (held_out_weight, final_weight);
        let plan = bowl_plan(config, None);
        let segment = episode(&plan).advance(1000, &plan.setting.stages[0].objective, &mut Vec::new()).unwrap();
        (segment.meta_loss, segment.gap)
    };
    // Training batches are seen with the parameters that are trained.
    assert_eq!(meta_loss(Some(1.0), 0.0, 0.0), meta_loss(None, 0.0, 0.0));
    // The mean of all parameters so far lags behind on the way down a bowl.
    assert!(meta_loss(Some(1.0), 1.0, 0.0).0 > meta_loss(None, 1.0, 0.0).0 + 1e-3);
    assert_ne!(meta_loss(Some(1.0), 0.0, 1.0).1, meta_loss(None, 0.0, 1.0).1);
}

fn reports(config: Config, windows: usize) -> Vec<WindowReport> {
    let plan = bowl_plan(config, None);
    let mut particle = Particle::new(1);
    (0..windows).map(|_| next_window(&mut particle, &plan.initial_theta, &plan.setting)).collect()
}

#[test]
fn a_full_length_run_contributes_once_with_the_mean_of_its_windows() {
    let mut config = small_config();
    let pieces = reports(config.clone(), 20);
    config.estimator.method = Method::FullEs;
    let wholes = reports(config, 20);
    let mut sums = vec![(0.0f64, 0u64); 40];
    for segment in pieces.iter().flat_map(|report| &report.segments) {
        let sum = &mut sums[segment.position.episode as usize];
        sum.0 += segment.steps as f64 * f64::from(segment.gap);
        sum.1 += segment.steps;
    }
    let mut episodes = 0;
    for segment in wholes.iter().flat_map(|report| &report.segments) {
        let (sum, steps) = sums[segment.position.episode as usize];
        assert_eq!((segment.position.episode, segment.steps), (episodes, steps));
        assert!((f64::from(segment.gap) - sum / steps as f64).abs() < 1e-5);
        episodes += 1;
    }
    assert!(episodes > 4);
}

#[test]
fn the_horizon_is_hidden_from_the_configured_share_of_runs() {
    let mut config = small_config();
    config.inner.hide_horizon = 0.5;
    let plan = bowl_plan(config, None);
    let hidden = (0..400).filter(|&index| EpisodeDraw::new(&plan.setting, birth(index, 3)).horizon_hidden).count();
    assert!((150..250).contains(&hidden), "{hidden}");
    for index in 0..20 {
        let episode = Episode::new(&plan.setting, birth(index, 3)).unwrap();
        let told = episode.sides[0].optimizer.horizon();
        assert_eq!(told, (!episode.draw.horizon_hidden).then_some(episode.draw.horizon));
    }
}

#[test]
fn a_pool_of_tasks_is_drawn_from_again_and_again() {
    let mut config = small_config();
    config.pool = Some(7);
    let plan = bowl_plan(config, None);
    let mut tasks: Vec<u64> = (0..200).map(|episode| EpisodeDraw::new(&plan.setting, birth(0, episode)).task).collect();
    let starts: std::collections::HashSet<u64> =
        (0..200).map(|episode| EpisodeDraw::new(&plan.setting, birth(0, episode)).initialisation).collect();
    tasks.sort_unstable();
    tasks.dedup();
    assert_eq!((tasks.len(), starts.len()), (7, 200));
}

/// Twelve outer steps: six with two pairs, six with four and longer windows.
fn staged() -> Config {
    let mut config = small_config();
    let mut truncation = config.truncation;
    truncation.window = 16;
    config.stages = vec![
        StageConfig { pairs: Some(2), ..StageConfig::default() },
        StageConfig { pairs: Some(4), truncation: Some(truncation), ..StageConfig::default() },
    ];
    config
}

#[test]
fn particles_that_a_stage_has_no_use_for_idle_until_another_calls_them() {
    let plan = bowl_plan(staged(), None);
    assert_eq!(plan.setting.particles, 4);
    for index in 0..4 {
        let mut particle = Particle::new(index);
        let steps: Vec<u64> =
            (0..12).map(|_| next_window(&mut particle, &plan.initial_theta, &plan.setting).steps).collect();
        let first = if index < 2 { 10 } else { 0 };
        assert_eq!(steps, [[first; 6], [16; 6]].concat(), "particle {index}");
    }
}

#[test]
fn a_stage_that_learns_a_part_leaves_the_rest_alone() {
    let mut config = small_config();
    let layout = config.architecture.theta_layout();
    let tensor = layout.tensors()[0].clone();
    config.stages =
        vec![StageConfig { learn: Some(vec![tensor.name.clone()]), ..StageConfig::default() }, StageConfig::default()];
    let plan = bowl_plan(config, None);
    let mut learner = new_learner(&plan).unwrap();
    let mut particles: Vec<Particle> = (0..plan.setting.particles).map(Particle::new).collect();
    for outer_step in 0..12 {
        let theta = learner.theta().to_vec();
        let report = |particle: &mut Particle| Some(next_window(particle, &theta, &plan.setting));
        let reports: Vec<_> = particles.iter_mut().map(report).collect();
        learner.step(&reports, &plan.setting).unwrap();
        let moved = |range: std::ops::Range<usize>| learner.theta()[range.clone()] != plan.initial_theta[range];
        assert!(moved(tensor.range.clone()));
        assert_eq!(moved(tensor.range.end..layout.len()), outer_step >= 6, "outer step {outer_step}");
    }
}

#[test]
fn gaps_are_scaled_as_configured() {
    let moved = |scaling: GapScaling, gap: f32| {
        let mut config = small_config();
        config.outer.gap_scaling = scaling;
        config.outer.clip_norm = 1e9;
        let plan = bowl_plan(config, None);
        let mut report = next_window(&mut Particle::new(0), &plan.initial_theta, &plan.setting);
        report.segments.truncate(1);
        report.segments[0].gap = gap;
        new_learner(&plan).unwrap().step(&[Some(report)], &plan.setting).unwrap().gradient_norm
    };
    let raw = |gap| moved(GapScaling::Raw, gap);
    assert!((raw(0.5) / raw(0.25) - 2.0).abs() < 1e-4);
    let sign = |gap| moved(GapScaling::Sign, gap);
    assert_eq!((sign(0.5), sign(0.0)), (sign(-0.25), 0.0));
    assert!((sign(0.5) / raw(1.0) - 1.0).abs() < 1e-4);
    let rms = |gap| moved(GapScaling::RunningRms, gap);
    assert!((rms(0.5) / sign(0.5) - 1.0).abs() < 1e-4, "the first gap has its own size as the scale");
}

#[test]
fn an_episode_goes_on_from_its_snapshot_with_the_same_bits() {
    let mut config = small_config();
    config.objective.final_weight = 0.5;
    let plan = bowl_plan(config, None);
    let objective = plan.setting.stages[0].objective;
    let mut original = episode(&plan);
    original.advance(4, &objective, &mut Vec::new()).unwrap();
    let snapshot = Snapshot::of(&original);
    let mut restored = snapshot.clone().restore(&plan.setting).unwrap();
    for (side, sign) in restored.sides.iter_mut().zip([1.0f32, -1.0]) {
        let theta = plan.initial_theta.iter().enumerate().map(|(i, t)| t + sign * (i % 7) as f32 * 0.02);
        side.optimizer.set_theta(&theta.collect::<Vec<f32>>()).unwrap();
    }
    assert_eq!(Snapshot::of(&restored), snapshot);
    for _ in 0..2 {
        let next = original.advance(2, &objective, &mut Vec::new()).unwrap();
        assert_eq!(restored.advance(2, &objective, &mut Vec::new()).unwrap(), next);
    }
    assert_eq!(restored.record(), original.record());
}

#[test]
fn a_particle_returns_to_a_late_state_under_the_perturbation_that_made_it() {
    let mut config = small_config();
    config.resume = Some(Resume { fresh: 0.0, longest: 200 });
    let resuming = reports(config.clone(), 60);
    // Episodes by number: steps trained under its perturbation, over all of its lives.
    let mut trained = std::collections::BTreeMap::<u64, u64>::new();
    for segment in resuming.iter().flat_map(|report| &report.segments) {
        *trained.entry(segment.position.episode).or_default() += segment.steps;
    }
    let ended: u32 = resuming.iter().map(|report| report.ended.len() as u32).sum();
    assert!(trained.len() as u32 <= ended / 2, "{} of {ended} runs were new", trained.len());
    assert!(trained.values().any(|&steps| steps > config.truncation.longest), "{trained:?}");
    config.resume = Some(Resume { fresh: 1.0, longest: 200 });
    let never = reports(config.clone(), 60);
    config.resume = None;
    assert_eq!(never, reports(config, 60), "who never returns is as if there were no slot");
}

#[test]
fn only_an_estimator_with_one_perturbation_per_run_may_return_to_states() {
    let mut config = small_config();
    config.resume = Some(Resume::default());
    config.estimator.method = Method::Pes;
    let error = config.check().map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("estimator.method is Pes, expected Nres where `resume` is set"), "{error}");
}

#[test]
fn every_configuration_that_comes_with_the_crate_can_start() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/configs");
    let mut checked = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let config = Config::read(&path, &[]).unwrap();
        let plan = config.check().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let (_, task) = plan.setting.tasks.draw_in(0, 5).unwrap();
        assert!(!task.layout().is_empty());
        checked += 1;
    }
    assert!(checked >= 3);
}
