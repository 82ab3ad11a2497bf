//! Whatever is configured, a scene is drawn whose data pass verification, or one clear error is given.

use proptest::prelude::*;
use velo_scenes::Error;
use velo_scenes::description::{
    CameraPath, Colors, GeneratorConfig, Lens, Material, Motion, ObjectGroup, Shape, Sizes, Split, TextureKind, Turn,
};
use velo_scenes::files::job::{self, Job};
use velo_scenes::files::manifest::Format;
use velo_scenes::files::{DataSet, verify};
use velo_scenes::generate::Generator;
use velo_scenes::random::range;
use velo_scenes::vector::vec3;

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    // All but those that need letters or files.
    proptest::collection::vec((0usize..15).prop_map(|i| Shape::ALL[i]), 1..4)
}

prop_compose! {
    fn group()(
        shapes in shapes(),
        count in 0usize..5,
        small in 0.1..0.6f64,
        more in 0.0..0.6f64,
        motion in prop_oneof![Just(Motion::Tossed), Just(Motion::Settled), Just(Motion::Still), Just(Motion::Drifting)],
        turn in prop_oneof![Just(Turn::Any), Just(Turn::Upright), Just(Turn::Aligned), Just(Turn::Standing)],
        on_floor in any::<bool>(),
        named in any::<bool>(),
        texture in 0usize..6,
    ) -> ObjectGroup {
        ObjectGroup {
            count: (count, count + 1),
            shapes,
            sizes: if named { Sizes::Named { small, large: small + more } } else { Sizes::Uniform(range(small, small + more)) },
            colors: if named { Colors::Named } else { Colors::AnyHue },
            materials: Material::ALL.to_vec(),
            textures: vec![TextureKind::ALL[texture]],
            motion,
            turn,
            on_floor,
            ..ObjectGroup::default()
        }
    }
}

prop_compose! {
    fn config()(
        groups in proptest::collection::vec(group(), 0..3),
        frames in 1usize..3,
        width in 1usize..24,
        height in 1usize..24,
        floor in any::<bool>(),
        orthographic in any::<bool>(),
        height_of_camera in 1.0..6.0f64,
        shutter in 0.0..1.0f64,
        settle_frames in 0usize..4,
    ) -> GeneratorConfig {
        let mut config = GeneratorConfig { objects: groups, ..GeneratorConfig::default() };
        (config.video.frames, config.video.settle_frames) = (frames, settle_frames);
        (config.image.width, config.image.height, config.image.shutter) = (width, height, shutter);
        (config.image.samples_per_side, config.world.floor) = (1, floor);
        config.cameras[0].path = CameraPath::Orbit {
            radius: range(3.0, 8.0), height: range(height_of_camera, height_of_camera), turns: range(-0.3, 0.3),
            look_at: vec3(0.0, 0.0, 0.5),
        };
        if orthographic {
            config.cameras[0].lens = Lens::Orthographic { width: 8.0 };
        }
        config
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn data_of_any_configuration_pass_verification(config in config(), first in 0u64..1000) {
        let text = config.to_ron();
        prop_assert_eq!(&GeneratorConfig::from_text("c.ron", &text).unwrap(), &config);
        let folder = tempfile::tempdir().unwrap();
        let job = Job {
            folder: folder.path().to_path_buf(), split: Split::Train, scenes: first..first + 1, shard: (0, 1),
            workers: 1, format: Format::Folders,
        };
        match job::run(&Generator::new(config).unwrap(), &job, &|_| true) {
            Ok(_) => {
                let report = verify::verify(&DataSet::open(folder.path()).unwrap(), &|| ()).unwrap();
                prop_assert_eq!(report.problems, Vec::<String>::new());
            }
            Err(error) => prop_assert!(matches!(error, Error::Placement { .. } | Error::Diverged { .. }), "{}", error),
        }
    }
}
