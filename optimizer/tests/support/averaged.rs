//! What the tests of adapters do with an optimizer that averages.

use velo_optimizer::{AverageMemory, AveragedConfig, OptimizerConfig};

/// AdamW, evaluated with the mean of all parameters that it has come to.
pub fn averaged_adamw() -> OptimizerConfig {
    let inner = Box::new(OptimizerConfig::from_name("adamw").unwrap().with_learning_rate(0.05));
    OptimizerConfig::Averaged(AveragedConfig { memory: AverageMemory::Share(1.0), inner })
}

/// Asserts that `evaluated` is the mean of `path`, and not where it ends.
pub fn assert_mean(evaluated: &[f32], path: &[Vec<f32>]) {
    assert_ne!(evaluated, path.last().unwrap());
    for (index, got) in evaluated.iter().enumerate() {
        let mean = path.iter().map(|params| params[index]).sum::<f32>() / path.len() as f32;
        assert!((got - mean).abs() < 1e-6, "{index}: {got}, not {mean}");
    }
}
