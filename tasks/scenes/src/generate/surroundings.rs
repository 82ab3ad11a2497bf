//! The ground, the sky and the lights of a scene.

use super::appearance::{hue, texture};
use crate::description::{Floor, GeneratorConfig, Light, Lights, Material, Sky, Surface, World};
use crate::random::{Stream, range};
use crate::vector::{Vec3, vec3};

/// The surroundings of a seed.
pub(super) fn draw(config: &GeneratorConfig, seed: u64) -> World {
    let world = &config.world;
    let mut stream = Stream::new(seed, "surroundings", 0);
    let floor = world.floor.then(|| {
        let rgb = world.floor_rgb.unwrap_or_else(|| {
            // Half-way to grey: a floor should not outshine what lies on it.
            hue(stream.unit()).map(|c| 0.25 + 0.45 * c)
        });
        let texture = texture(*stream.pick(&world.floor_textures), rgb, 1.6, &mut stream);
        Floor {
            surface: Surface { material: Material::Rubber, rgb, roughness: 0.9, texture },
            friction: world.floor_friction,
            restitution: world.floor_restitution,
        }
    });
    let sky = world.sky.clone().unwrap_or_else(|| {
        let warm = stream.unit();
        Sky::Clouds {
            horizon: [0.78 + 0.12 * warm, 0.8, 0.88 - 0.12 * warm],
            zenith: [0.25 + 0.2 * warm, 0.42, 0.78 - 0.2 * warm],
            seed: stream.bits(),
        }
    });
    let lights = lights(world.lights, &mut Stream::new(seed, "lights", 0));
    World { gravity: world.gravity, floor, sky, lights, ambient: world.ambient }
}

/// A panel at `center` that faces `target`, with half edges of this length.
fn panel(center: Vec3, target: Vec3, half: f64, intensity: [f64; 3]) -> Light {
    let (right, up) = (target - center).normalized().tangents();
    Light::Panel { center, right: right * half, up: up * half, intensity }
}

fn lights(lights: Lights, stream: &mut Stream) -> Vec<Light> {
    match lights {
        Lights::Dark => vec![],
        Lights::Clevr { jitter } => {
            let mut near = |x: f64, y: f64, z: f64| vec3(x, y, z) + stream.in_box(Vec3::ZERO, Vec3::splat(jitter));
            // Positions, tints and relative strengths are CLEVR's; units are ours.
            vec![
                Light::Sun { toward: near(11.66, -6.63, 25.82).normalized(), irradiance: [1.8; 3], softness: 0.1 },
                panel(near(-1.17, 2.65, 5.82), Vec3::ZERO, 0.5, [14.0; 3]),
                panel(near(6.45, -2.91, 4.26), Vec3::ZERO, 0.5, [38.0, 35.0, 31.0]),
                panel(near(-4.67, -4.01, 3.01), Vec3::ZERO, 0.5, [9.0, 9.6, 12.0]),
            ]
        }
        Lights::Outdoor => {
            let (sine, cosine) = libm::sincos(stream.between(0.0, std::f64::consts::TAU));
            let height = range(0.55, 0.95).draw(stream);
            let around = (1.0 - height * height).sqrt();
            let toward = vec3(around * cosine, around * sine, height);
            vec![Light::Sun { toward, irradiance: [2.6, 2.45, 2.2], softness: 0.03 }]
        }
        Lights::Studio => vec![
            panel(vec3(3.0, -4.0, 6.0) + stream.in_box(Vec3::ZERO, Vec3::splat(1.0)), Vec3::ZERO, 1.0, [60.0; 3]),
            panel(vec3(-5.0, 2.0, 4.0) + stream.in_box(Vec3::ZERO, Vec3::splat(1.0)), Vec3::ZERO, 1.0, [30.0; 3]),
        ],
    }
}
