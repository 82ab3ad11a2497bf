//! A task small enough to reason about, and a setting around it.

use velo_meta_train::Error;
use velo_meta_train::config::{Config, Plan};
use velo_meta_train::unroll::TaskSource;
use velo_optimizer::ParamLayout;
use velo_tasks::rng::Stream;
use velo_tasks::{Batch, Metrics, Split, Task};

/// A bowl `mean (p - target)²` with noisy targets; panics on a chosen batch if asked to.
pub struct Bowl {
    layout: ParamLayout,
    fuse: Option<u64>,
}

impl Bowl {
    fn target(batch: Batch, index: usize) -> f32 {
        let stream = Stream::new(batch.seed, u64::from(batch.split == Split::Validation));
        1.0 + 0.1 * stream.normal(batch.index * 64 + index as u64)
    }
}

impl Task for Bowl {
    fn name(&self) -> &str {
        "bowl"
    }

    fn layout(&self) -> &ParamLayout {
        &self.layout
    }

    fn init(&self, seed: u64, params: &mut [f32]) {
        Stream::new(seed, 7).normals(0, params);
    }

    fn loss_and_grad(&mut self, params: &[f32], batch: Batch, grads: &mut [f32]) -> f32 {
        assert!(self.fuse != Some(batch.index), "the fuse of this task has blown");
        let count = params.len() as f32;
        for (index, (g, p)) in grads.iter_mut().zip(params).enumerate() {
            *g = 2.0 * (p - Self::target(batch, index)) / count;
        }
        self.loss(params, batch)
    }

    fn loss(&mut self, params: &[f32], batch: Batch) -> f32 {
        let squares = params.iter().enumerate().map(|(index, p)| (p - Self::target(batch, index)).powi(2));
        squares.sum::<f32>() / params.len() as f32
    }

    fn evaluate(&mut self, params: &[f32], split: Split) -> Metrics {
        let loss = self.loss(params, Batch { seed: 0, split, index: 0 });
        Metrics { loss, accuracy: None }
    }

    fn reference_loss(&self) -> f32 {
        1.0
    }
}

/// Bowls of two shapes; every `fuse_every`-th draw (by seed) carries a fuse.
pub struct Bowls {
    pub fuse_every: Option<u64>,
}

impl TaskSource for Bowls {
    fn families(&self) -> Vec<String> {
        vec!["flat".into(), "square".into()]
    }

    fn draw(&self, seed: u64) -> Result<(usize, Box<dyn Task>), Error> {
        let family = (seed % 2) as usize;
        let shape = if family == 0 { vec![7] } else { vec![4, 5] };
        let layout = ParamLayout::new([("w", shape), ("b", vec![3])])?;
        let fuse = self.fuse_every.filter(|every| seed.is_multiple_of(*every)).map(|_| 4);
        Ok((family, Box::new(Bowl { layout, fuse })))
    }
}

/// A small plan over bowls.
pub fn bowl_plan(config: Config, fuse_every: Option<u64>) -> Plan {
    let mut plan = config.check().unwrap();
    plan.setting.tasks = Box::new(Bowls { fuse_every });
    plan
}

/// A configuration with short windows.
pub fn small_config() -> Config {
    let mut config = Config::default();
    config.estimator.pairs = 6;
    config.truncation.window = 10;
    config.truncation.shortest = 7;
    config.truncation.longest = 40;
    config.budget.outer_steps = 12;
    config
}
