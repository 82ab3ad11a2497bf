//! A step has the same bits on any number of threads: tensors are cut by their shapes, and sums are added in order.

mod configurations;

use configurations::{configurations, mixed_layout};
use velo_optimizer::{OptimizerConfig, ParamLayout};

/// Tensors that are cut into rows, into rows of blocks, into blocks; one of rank one, and one that stays whole.
fn large_layout() -> ParamLayout {
    let tensors = [
        ("matrix", vec![300, 517]),
        ("stack", vec![5, 120, 200]),
        ("conv", vec![96, 64, 3, 3]),
        ("vector", vec![100_003]),
        ("bias", vec![10]),
    ];
    ParamLayout::new(tensors).unwrap()
}

/// Parameters and state after three steps.
fn run(config: &OptimizerConfig, layout: &ParamLayout) -> (Vec<u32>, Vec<u8>) {
    let mut optimizer = config.build(layout).unwrap();
    optimizer.set_horizon(Some(10));
    let mut params: Vec<f32> = (0..layout.len()).map(|i| (i as f32 * 0.37).sin()).collect();
    for step in 0..3 {
        let grads: Vec<f32> = (0..layout.len()).map(|i| ((i + 31 * step) as f32 * 0.61).cos() * 0.01).collect();
        optimizer.step(&mut params, &grads, 1.0 / (step + 1) as f32).unwrap();
    }
    (params.into_iter().map(f32::to_bits).collect(), optimizer.save_state())
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let names =
        ["adamw", "learned celo2", "learned paced", "learned adafac_mlp", "learned velo", "learned paced in bfloat16"];
    let chosen: Vec<_> = configurations().into_iter().filter(|(label, _)| names.contains(&label.as_str())).collect();
    assert_eq!(chosen.len(), names.len());
    for (label, config) in chosen {
        for layout in [mixed_layout(), large_layout()] {
            let in_pool = |threads: usize| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                pool.install(|| run(&config, &layout))
            };
            // One thread works through the parts in order, as a build without the feature does.
            let expected = in_pool(1);
            for threads in [2, 5] {
                assert!(in_pool(threads) == expected, "{label} on {threads} threads");
            }
            assert!(run(&config, &layout) == expected, "{label} outside of a pool");
        }
    }
}

/// A pool with more threads than any before makes room for them in the middle of a run.
#[test]
fn one_optimizer_may_move_between_pools() {
    let layout = ParamLayout::new([("matrix", vec![300, 517])]).unwrap();
    let (_, config) = configurations().into_iter().find(|(label, _)| label == "learned celo2").unwrap();
    let grads: Vec<f32> = (0..layout.len()).map(|i| (i as f32 * 0.61).cos()).collect();
    let after = |pools: [usize; 4]| {
        let mut optimizer = config.build(&layout).unwrap();
        let mut params = vec![0.5; layout.len()];
        for threads in pools {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| optimizer.step(&mut params, &grads, 1.0)).unwrap();
        }
        params
    };
    assert_eq!(after([1, 4, 2, 3]), after([1, 1, 1, 1]));
}
