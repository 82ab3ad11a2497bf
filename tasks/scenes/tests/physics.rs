//! Simulated motion against the laws it should follow: tests 12 and 13 of the crate's claims.

use velo_scenes::description::{
    Form, GeneratorConfig, Material, Motion, ObjectGroup, Scene, Shape, Sizes, Turn, presets,
};
use velo_scenes::generate::Generator;
use velo_scenes::geometry::Ray;
use velo_scenes::random::{Stream, range};
use velo_scenes::vector::{Vec3, vec3};

/// One body with a known start, recorded at every step.
fn body(shape: Shape, material: Material, at: Vec3, velocity: Vec3) -> ObjectGroup {
    ObjectGroup {
        count: (1, 1),
        shapes: vec![shape],
        sizes: Sizes::Uniform(range(0.5, 0.5)),
        materials: vec![material],
        spawn: (at, at),
        turn: Turn::Aligned,
        motion: Motion::Tossed,
        velocity: (velocity, velocity),
        toward_center: false,
        ..ObjectGroup::default()
    }
}

fn simulated(objects: Vec<ObjectGroup>, floor: Option<(f64, f64)>, frames: usize, gravity: f64) -> Scene {
    let mut config = GeneratorConfig { objects, ..GeneratorConfig::default() };
    (config.video.frames, config.video.frame_rate) = (frames, 240);
    config.world.gravity = vec3(0.0, 0.0, -gravity);
    config.world.floor = floor.is_some();
    if let Some((friction, restitution)) = floor {
        (config.world.floor_friction, config.world.floor_restitution) = (friction, restitution);
    }
    Generator::new(config).unwrap().draw(0).unwrap().scene
}

#[test]
fn a_falling_body_stays_between_the_exact_parabola_and_semi_implicit_euler() {
    let scene =
        simulated(vec![body(Shape::Sphere, Material::Rubber, vec3(0.0, 0.0, 50.0), Vec3::ZERO)], None, 240, 10.0);
    for (i, states) in scene.trajectory.iter().enumerate() {
        let (t, dt) = (i as f64 / 240.0, 1.0 / 240.0);
        let z = states[0].pose.position.z;
        let (exact, euler) = (50.0 - 5.0 * t * t, 50.0 - 5.0 * t * (t + dt));
        assert!(z <= exact + 1e-3 && z >= euler - 1e-3, "t = {t}: {euler} {z} {exact}");
    }
}

#[test]
fn a_ball_rebounds_to_the_square_of_the_pair_s_restitution() {
    // Rubber has 0.7, metal 0.3.
    for (material, own, floor) in
        [(Material::Rubber, 0.7, 1.0), (Material::Rubber, 0.7, 0.6), (Material::Metal, 0.3, 1.0)]
    {
        let start = vec3(0.0, 0.0, 2.5);
        let scene = simulated(vec![body(Shape::Sphere, material, start, Vec3::ZERO)], Some((0.5, floor)), 400, 10.0);
        let heights: Vec<_> = scene.trajectory.iter().map(|s| s[0].pose.position.z - 0.5).collect();
        let impact = scene.collisions[0].frame as usize + 1;
        let rebound = heights[impact..(impact + 200).min(heights.len())].iter().copied().fold(0.0, f64::max);
        let expected = (own * floor) * (own * floor);
        assert!((rebound / 2.0 / expected - 1.0).abs() < 0.03, "{} instead of {expected}", rebound / 2.0);
    }
}

#[test]
fn a_sliding_cube_stops_after_v_squared_over_two_mu_g() {
    // Rubber has friction 0.8, the floor 0.5.
    let start = body(Shape::Cube, Material::Rubber, vec3(0.0, 0.0, 0.502), vec3(3.0, 0.0, 0.0));
    let scene = simulated(vec![start], Some((0.5, 0.0)), 480, 10.0);
    let x = scene.trajectory.last().unwrap()[0].pose.position.x;
    assert!((x / (9.0 / (2.0 * 0.4 * 10.0)) - 1.0).abs() < 0.01, "{x}");
}

#[test]
fn a_collision_conserves_momentum_and_is_recorded_once() {
    let scene = simulated(
        vec![
            body(Shape::Sphere, Material::Rubber, vec3(-2.0, 0.1, 5.0), vec3(3.0, 0.0, 0.0)),
            body(Shape::Sphere, Material::Rubber, vec3(2.0, 0.0, 5.0), vec3(-1.0, 0.0, 0.0)),
        ],
        None,
        300,
        0.0,
    );
    let momentum = |i: usize| {
        let sum = scene.trajectory[i].iter().zip(&scene.objects).map(|(s, o)| s.velocity * o.mass);
        sum.fold(Vec3::ZERO, |a, b| a + b)
    };
    let (before, after) = (momentum(0), momentum(301));
    assert!((before - after).length() < 1e-3 * before.length(), "{before:?} {after:?}");
    assert!(scene.trajectory[301][0].velocity.x < 1.0, "they met");
    assert_eq!(scene.collisions.iter().map(|c| c.ids).collect::<Vec<_>>(), [[1, 2]]);
    assert!(scene.collisions[0].force > 0.0 && scene.collisions[0].normal.x > 0.9);
}

#[test]
fn energy_never_rises_and_nothing_sinks_into_the_floor() {
    for seed in 0..4 {
        let mut config = presets::named("movi_a").unwrap();
        config.objects[0].shapes = vec![Shape::Sphere];
        config.video.frames = 48;
        let scene = Generator::new(config).unwrap().draw(seed).unwrap().scene;
        let radius = |i: usize| match scene.objects[i].form {
            Form::Sphere { radius } => radius,
            ref form => panic!("{form:?}"),
        };
        let energy = |frame: usize| -> f64 {
            let each = scene.trajectory[frame].iter().enumerate().map(|(i, s)| {
                let inertia = 0.4 * radius(i) * radius(i);
                scene.objects[i].mass
                    * (10.0 * s.pose.position.z
                        + 0.5 * s.velocity.dot(s.velocity)
                        + 0.5 * inertia * s.angular_velocity.dot(s.angular_velocity))
            });
            each.sum()
        };
        for frame in 1..scene.trajectory.len() {
            assert!(energy(frame) <= energy(frame - 1) * 1.01, "seed {seed}, frame {frame}");
            for (i, state) in scene.trajectory[frame].iter().enumerate() {
                assert!(
                    state.pose.position.z > radius(i) - 0.02,
                    "seed {seed}, frame {frame}: {}",
                    state.pose.position.z
                );
            }
        }
    }
}

/// Potential, kinetic and rotational energy of a body of one of the closed forms.
fn energy(scene: &Scene, frame: usize, index: usize) -> f64 {
    let (object, state) = (&scene.objects[index], &scene.trajectory[frame][index]);
    // Moments of inertia per mass about the three axes of the object.
    let inertia = match object.form {
        Form::Sphere { radius } => Vec3::splat(0.4 * radius * radius),
        Form::Box { half } => {
            vec3(
                half.y * half.y + half.z * half.z,
                half.x * half.x + half.z * half.z,
                half.x * half.x + half.y * half.y,
            ) / 3.0
        }
        Form::Cylinder { radius, half_height } => {
            let across = radius * radius / 4.0 + half_height * half_height / 3.0;
            vec3(across, across, radius * radius / 2.0)
        }
        ref form => panic!("{form:?}"),
    };
    let spin = state.pose.rotation.inverse().rotate(state.angular_velocity);
    let (height, speed) = (state.pose.position.z, state.velocity);
    object.mass * (10.0 * height + 0.5 * speed.dot(speed) + 0.5 * inertia.dot(spin.times(spin)))
}

#[test]
fn piles_lose_energy_and_never_sink_into_each_other() {
    let (mut touching, mut deepest) = (0, 0.0f64);
    for seed in 0..4 {
        let mut config = presets::named("movi_a").unwrap();
        (config.objects[0].count, config.video.frames) = ((8, 10), 96);
        // Dropped on each other onto a rough floor, so that some stay where they meet.
        let group = &mut config.objects[0];
        (group.spawn, group.toward_center) = ((vec3(-0.6, -0.6, 1.0), vec3(0.6, 0.6, 14.0)), false);
        (group.velocity, group.shapes) =
            ((Vec3::ZERO, Vec3::ZERO), vec![Shape::Cube, Shape::Cube, Shape::Cylinder, Shape::Sphere]);
        config.world.floor_friction = 1.0;
        let drawn = Generator::new(config).unwrap().draw(seed).unwrap();
        let (scene, count) = (&drawn.scene, drawn.solids.len());
        let all = |frame: usize| (0..count).map(|index| energy(scene, frame, index)).sum::<f64>();
        for frame in 1..scene.trajectory.len() {
            assert!(
                all(frame) <= all(frame - 1) * 1.01,
                "seed {seed}, frame {frame}: {} {}",
                all(frame - 1),
                all(frame)
            );
        }
        // Points of every surface, in every other body and in the floor, while they fall and when they lie.
        let mut stream = Stream::new(seed, "penetration", 0);
        for states in scene.trajectory.iter().skip(12).step_by(6) {
            for (index, solid) in drawn.solids.iter().enumerate() {
                for _ in 0..500 {
                    let out = stream.rotation().rotate(Vec3::UP);
                    let ray = Ray { origin: out * (2.0 * solid.bounding_radius()), direction: -out };
                    let Some(hit) = solid.hit(&ray, 0.0, 100.0) else { continue };
                    let point = states[index].pose.to_world(ray.at(hit.t));
                    deepest = deepest.max(-point.z);
                    for other in (0..count).filter(|other| *other != index) {
                        let distance = drawn.solids[other].distance(states[other].pose.to_local(point));
                        deepest = deepest.max(-distance);
                        touching += usize::from(distance < 0.01);
                    }
                }
            }
        }
    }
    assert!(touching > 0, "no bodies touch each other");
    assert!(deepest < 0.02, "{deepest}");
}

#[test]
fn settled_clutter_rests_at_first() {
    let scene = Generator::new(presets::named("movi_d").unwrap()).unwrap().draw(1).unwrap().scene;
    let thrown = scene.trajectory[0].iter().filter(|s| s.velocity.length() > 0.0).count();
    assert!((1..=3).contains(&thrown), "{thrown} are thrown");
    let moved = |i: usize| (scene.trajectory[1][i].pose.position - scene.trajectory[0][i].pose.position).length();
    let resting = (0..scene.objects.len()).filter(|&i| scene.trajectory[0][i].velocity == Vec3::ZERO);
    let still = resting.clone().filter(|&i| moved(i) < 0.1).count();
    assert!(still * 10 >= resting.count() * 8, "{still}");
}
