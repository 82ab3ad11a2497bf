//! Fixed tasks never change: their definitions are pinned, and so is what they compute.

use velo_tasks::registry::{Group, named};
use velo_tasks::{Batch, Split};

/// Name, fingerprint of the definition, parameters, loss of the first held-out batch at the start of seed 1.
///
/// A line that no longer holds means that results under this name cannot be compared with earlier ones: give the new definition a
/// new name. Only where a field was added to a configuration that leaves old files what they were may a fingerprint be
/// replaced; the two other columns stay what they are.
const PINNED: &[(&str, u64, usize, f32)] = &[
    ("digits_logistic", 0x27f86e7805395b8f, 650, 2.595118),
    ("digits_mlp", 0x8556e0b38a48cf0d, 2410, 2.3913753),
    ("digits_tanh_deep", 0xfc338f7f42f94ac7, 42_634, 2.3328936),
    ("digits_layer_norm", 0x8c870c916733e15a, 26_378, 2.5177898),
    ("digits_convolutional", 0x415aa0c2fde44e80, 5130, 2.323195),
    ("digits_mixer", 0xf769bdf069fb0ece, 10_282, 2.3502078),
    ("digits_autoencoder", 0xf9b2ad1f316c0947, 4744, 0.94318396),
    ("digits_variational", 0xa548b48a227ef5ab, 5008, 1.263443),
    ("breast_cancer_mlp", 0x1713690dbf02721a, 1058, 1.6481186),
    ("wine_mlp", 0x658950650561f1cf, 547, 1.2212588),
    ("diabetes_mlp", 0x0be618451c94a4e7, 385, 0.94986856),
    ("digits_noisy_labels", 0x83d8cb990117f917, 1210, 2.414948),
    ("breast_cancer_noisy_labels", 0x00f6457652805f0d, 266, 2.073463),
    ("wine_noisy_labels", 0x5f8b29ab508b1f4e, 71, 2.598764),
    ("text_gru", 0x4b05808a3135c79c, 43_456, 5.583351),
    ("text_lstm", 0x8dc7626f511e3d1a, 49_664, 5.5723424),
    ("text_transformer", 0xbddb2de77cfa847b, 43_136, 6.254434),
    ("text_transformer_small_batch", 0x8cbb4edf9dec0216, 102_144, 6.011714),
    ("modular_addition_transformer", 0xe8cbd9dd02c950a8, 38_113, 4.4156923),
    ("recall_lstm", 0x755cda27c361f66f, 13_585, 2.8767521),
    ("digits_vision_transformer", 0xcbde3eab37d017fb, 18_154, 2.3692129),
    ("digits_vision_transformer_deep", 0x4bf50c6215190d96, 136_010, 2.7788103),
    ("image_sines", 0xe79418df90d3aee7, 5691, 1.6520472),
    ("poisson_plane", 0x78081a553508c86c, 5544, 21.173437),
    ("ratings_factorisation", 0x898258d23b58160d, 51_000, 0.8017952),
    ("digits_evolution", 0xb7331cbbd1f4f673, 2410, 2.3913753),
    ("learned_optimizer_rule", 0xf555d64d1c00874c, 394, 1.2062933),
    ("stress_quadratic", 0x76540296725ef2e9, 1000, 0.07109118),
    ("stress_deep_tanh", 0xd8364b8b3ec7f3b0, 18_250, 2.350338),
    ("stress_wide", 0x2543fa75532b5ee1, 1_126_410, 2.6029665),
    ("digits_mlp_tanh", 0x03d93b4135613d66, 2410, 2.3243833),
    ("digits_mlp_batch_norm", 0xf768537bc1a77eee, 2442, 2.7151983),
    ("digits_mlp_large_start", 0x139d46a353cbf15e, 2410, 7.804757),
    ("digits_mlp_wide", 0x8c3fb76f69e954b9, 19_210, 2.5280232),
    ("digits_mlp_deep", 0x1a556c5e87e0b3fb, 5578, 2.382907),
    ("digits_convolutional_silu", 0x4ac30b97ddcd3b1b, 5130, 2.2883267),
    ("digits_convolutional_batch_norm", 0x25c49f16b04934e3, 5178, 2.3884475),
    ("digits_convolutional_small_start", 0x0d9ca72159a657ee, 5130, 2.3024704),
    ("digits_vision_transformer_silu", 0x1fc33ff84aac8787, 18_154, 2.4116445),
    ("digits_vision_transformer_no_norm", 0xfaccea68ce172e28, 17_834, 2.4501994),
    ("digits_vision_transformer_large_start", 0xe4081bb1627fcd88, 18_154, 2.7395592),
    ("text_transformer_rms_norm", 0xd74e4aed28d04162, 42_976, 6.315752),
    ("text_transformer_large_start", 0x8d283a9fa032db12, 43_136, 10.258937),
    ("text_transformer_deep", 0xd2bbfaca889ca608, 119_360, 5.8955393),
    ("text_gru_vanilla", 0x6ae08a24bf24cf3b, 31_040, 5.6990905),
    ("text_gru_deep", 0x07563c93270c04ff, 117_760, 5.582596),
    ("validation_spirals", 0xe2fc40ab5573c350, 9891, 1.1576829),
    ("validation_rings_few_rows", 0xcf5e6ae8e74efbe5, 9029, 2.0599978),
    ("validation_board", 0x7077f5315cff3326, 13_602, 1.4086902),
    ("validation_friedman", 0x77c3ad6823fab5df, 5953, 0.71664834),
    ("validation_spots_mlp", 0xfe62cf23bb5624c6, 19_246, 1.8446338),
    ("validation_spots_convolutional", 0x997166f68c5ed9db, 9845, 1.6139493),
    ("validation_spots_transformer", 0xcf3439c661788d23, 14_089, 1.6870393),
    ("validation_spots_autoencoder", 0x5d1cb96e03254e6b, 16_384, 0.07380098),
    ("validation_automaton_gru", 0x5b37fcfe60bac92f, 6466, 0.69264394),
    ("validation_automaton_transformer", 0xec8dcabab4535905, 17_474, 1.53631),
    ("validation_poisson", 0x4f726a51b24ae4f9, 8576, 90.057945),
    ("validation_factorisation", 0xf84916a5161a669c, 18_900, 0.9426296),
];

#[test]
fn definitions_and_what_they_compute_are_those_that_results_were_published_under() {
    let mut found = String::new();
    for task in Group::ALL.into_iter().flat_map(Group::tasks) {
        let config = &task.config;
        let mut built = config.build().unwrap();
        let mut params = vec![0.0; built.layout().len()];
        built.init(1, &mut params);
        let loss = built.loss(&params, Batch { seed: 1, split: Split::Validation, index: 0 });
        let line = (config.name.as_str(), config.fingerprint(), params.len(), loss);
        let pinned = PINNED.iter().find(|(name, ..)| *name == config.name);
        // Instruction sets differ in the last digits of a loss.
        let same = |pinned: &(&str, u64, usize, f32)| {
            pinned.1 == line.1 && pinned.2 == line.2 && (pinned.3 - loss).abs() <= 1e-4 * loss.abs()
        };
        if !pinned.is_some_and(same) {
            found += &format!("    ({:?}, {:#018x}, {}, {:?}),\n", line.0, line.1, line.2, line.3);
        }
    }
    assert!(found.is_empty(), "these lines differ from the pinned ones:\n{found}");
    let count = Group::ALL.into_iter().flat_map(Group::tasks).count();
    assert_eq!(PINNED.len(), count, "a task that was published has gone");
}

#[test]
fn validation_tasks_are_twelve_of_up_to_twenty_thousand_parameters_that_no_family_draws() {
    let families: Vec<_> = velo_tasks::family::families().iter().map(|family| family.name()).collect();
    let mut count = 0;
    for task in Group::Validation.tasks() {
        let built = task.config.build().unwrap();
        assert!((1000..=21_000).contains(&built.layout().len()), "{}: {}", task.config.name, built.layout().len());
        assert!(!families.contains(&task.config.name.as_str()));
        count += 1;
    }
    assert_eq!(count, 12);
}

#[test]
fn every_row_of_the_benchmark_has_its_task() {
    let parameters = |name: &str| named(name).unwrap().build().unwrap().layout().len();
    assert_eq!(parameters("digits_logistic"), 650);
    assert_eq!(parameters("digits_mlp"), 2410);
    assert_eq!(parameters("digits_evolution"), 2410);
    assert_eq!(parameters("digits_tanh_deep"), 42_634);
    assert_eq!(parameters("digits_autoencoder"), 4744);
    assert_eq!(parameters("breast_cancer_mlp"), 1058);
    assert_eq!(parameters("wine_mlp"), 547);
    assert_eq!(parameters("diabetes_mlp"), 385);
    assert_eq!(parameters("learned_optimizer_rule"), 394);
    assert_eq!(parameters("stress_quadratic"), 1000);
    assert_eq!(parameters("stress_wide"), 64 * 1024 + 1024 + 1024 * 1024 + 1024 + 10 * 1024 + 10);
    assert_eq!(parameters("digits_noisy_labels"), 1210);
    assert_eq!(parameters("breast_cancer_noisy_labels"), 266);
    assert_eq!(parameters("wine_noisy_labels"), 71);
    assert_eq!(Group::Benchmark.tasks().count(), 30);
    assert_eq!(Group::Variant.tasks().count(), 16);
}
