//! Rigid bodies under gravity, by rapier3d.
//!
//! Input are objects with a first state; output is the state of each at every frame, one before the first and one after
//! the last included, and the moments in which contacts begin. The time step is one over the step rate and is always
//! set; friction and restitution of a pair are products; bodies never sleep, so that velocities stay true; fast ones are
//! swept (CCD). Bodies enter the engine in the order of their ids, which with rapier's `enhanced-determinism` gives the
//! same bits on every platform.

use rapier3d::parry::query::intersection_test;
use rapier3d::prelude::{
    CoefficientCombineRule, Collider, ColliderBuilder, ColliderHandle, PhysicsWorld, Pose as EnginePose,
    RigidBodyBuilder, RigidBodyHandle, Rotation as EngineRotation, SharedShape, Vector,
};

use crate::Error;
use crate::description::{BodyState, Collision, Form, Object, Video, World};
use crate::geometry::{Solid, procedural};
use crate::vector::{Pose, Rotation, Vec3, vec3};

/// How far from the origin a body may get before the simulation counts as failed.
const FAR: f64 = 1e5;

/// Segments that stand for the tubes of rings and knots.
const SEGMENTS: usize = 24;

fn vector(v: Vec3) -> Vector {
    Vector::new(v.x as f32, v.y as f32, v.z as f32)
}

fn from_vector(v: Vector) -> Vec3 {
    vec3(f64::from(v.x), f64::from(v.y), f64::from(v.z))
}

fn engine_pose(pose: &Pose) -> EnginePose {
    let Rotation { w, v } = pose.rotation;
    EnginePose::from_parts(
        vector(pose.position),
        EngineRotation::from_xyzw(v.x as f32, v.y as f32, v.z as f32, w as f32),
    )
}

/// A convex part of an object and where it is in the object's frame.
#[derive(Clone)]
pub(crate) struct Part {
    shape: SharedShape,
    place: EnginePose,
}

/// The convex parts that stand for an object in collisions. Spheres, boxes, cylinders, cones and capsules are
/// themselves; rings and knots are closed chains of capsules; brackets two boxes; gears, rocks and the user's meshes
/// their convex hulls.
pub(crate) fn parts(form: &Form, solid: &Solid) -> Vec<Part> {
    // The engine's axes of symmetry are y, ours z.
    let upright = EnginePose::from_parts(
        Vector::ZERO,
        EngineRotation::from_xyzw(std::f32::consts::FRAC_1_SQRT_2, 0.0, 0.0, std::f32::consts::FRAC_1_SQRT_2),
    );
    let whole = |shape| vec![Part { shape, place: EnginePose::IDENTITY }];
    match *form {
        Form::Sphere { radius } => whole(SharedShape::ball(radius as f32)),
        Form::Box { half } => whole(SharedShape::cuboid(half.x as f32, half.y as f32, half.z as f32)),
        Form::Cylinder { radius, half_height } => {
            vec![Part { shape: SharedShape::cylinder(half_height as f32, radius as f32), place: upright }]
        }
        Form::Cone { radius, half_height } => {
            vec![Part { shape: SharedShape::cone(half_height as f32, radius as f32), place: upright }]
        }
        Form::Capsule { radius, half_height } => {
            let end = vec3(0.0, 0.0, half_height);
            whole(SharedShape::capsule(vector(-end), vector(end), radius as f32))
        }
        Form::Torus { major, minor } => chain(
            |turn| {
                let (sine, cosine) = libm::sincos(turn);
                vec3(major * cosine, major * sine, 0.0)
            },
            minor,
        ),
        Form::Knot { p, q, tube, .. } => {
            // The mesh was moved and scaled to fit; the same map takes the curve along.
            let raw = procedural::knot(p, q, tube).map(|mesh| mesh.bounds());
            let (Ok(raw), fitted) = (raw, solid.bounds()) else { return vec![] };
            let scale = fitted.half().x / raw.half().x;
            chain(|turn| (procedural::knot_point(p, q, turn) - raw.center()) * scale, tube * scale)
        }
        Form::Bracket { arm, thickness, half_extent } => {
            let boxed = |x: f64, y: f64, hx: f64, hy: f64| Part {
                shape: SharedShape::cuboid(hx as f32, hy as f32, (thickness * half_extent) as f32),
                place: EnginePose::from_translation(vector(vec3(x, y, 0.0))),
            };
            let width = arm * half_extent;
            vec![
                boxed(0.0, width - half_extent, half_extent, width),
                boxed(width - half_extent, width, width, half_extent - width),
            ]
        }
        Form::Flat { half: [x, y], .. } => whole(SharedShape::cuboid(x as f32, y as f32, 0.01 * x as f32)),
        Form::Gear { .. } | Form::Rock { .. } | Form::File { .. } => {
            let points: Vec<_> = match solid {
                Solid::Mesh(mesh) => mesh.vertices().iter().map(|&v| vector(v)).collect(),
                _ => vec![],
            };
            let half = solid.bounds().half().max(Vec3::splat(1e-3));
            // A flat mesh has no hull with a volume: its box stands for it.
            let hull = SharedShape::convex_hull(&points);
            whole(hull.unwrap_or_else(|| SharedShape::cuboid(half.x as f32, half.y as f32, half.z as f32)))
        }
    }
}

/// Capsules along a closed curve.
fn chain(curve: impl Fn(f64) -> Vec3, radius: f64) -> Vec<Part> {
    let at = |i: usize| vector(curve(std::f64::consts::TAU * i as f64 / SEGMENTS as f64));
    let link = |i| SharedShape::capsule(at(i), at((i + 1) % SEGMENTS), radius as f32);
    (0..SEGMENTS).map(|i| Part { shape: link(i), place: EnginePose::IDENTITY }).collect()
}

/// True if any parts of two objects touch.
pub(crate) fn overlap(a: &[Part], at_a: &Pose, b: &[Part], at_b: &Pose) -> bool {
    let (at_a, at_b) = (engine_pose(at_a), engine_pose(at_b));
    a.iter().any(|a| {
        let place_a = at_a * a.place;
        b.iter().any(|b| {
            // A pair the engine cannot compare counts as touching: better another attempt than an explosion.
            intersection_test(&place_a, &*a.shape, &(at_b * b.place), &*b.shape).map_or(true, |i| i.intersecting)
        })
    })
}

/// The lowest point of an object above z = 0.
pub(crate) fn clearance(parts: &[Part], pose: &Pose) -> f64 {
    let pose = engine_pose(pose);
    let lowest = parts.iter().map(|part| part.shape.compute_aabb(&(pose * part.place)).mins.z);
    f64::from(lowest.fold(f32::INFINITY, f32::min))
}

/// An object that takes part in a simulation.
pub(crate) struct Body<'a> {
    pub(crate) object: &'a Object,
    pub(crate) parts: &'a [Part],
    pub(crate) state: BodyState,
}

/// What a simulation gives.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// States at the beginning and after every frame.
    pub(crate) frames: Vec<Vec<BodyState>>,
    /// Beginnings of contacts; frames count from the beginning of the simulation.
    pub(crate) collisions: Vec<Collision>,
    /// Pairs that touch at the end.
    pub(crate) touching: Vec<[u16; 2]>,
}

/// Simulates `frames` frames; pairs of `touching` have been in contact before. With `soft`, nothing bounces and
/// everything sticks, so that clutter comes to rest.
pub(crate) fn simulate(
    bodies: &[Body<'_>],
    world: &World,
    video: &Video,
    frames: usize,
    touching: &[[u16; 2]],
    soft: bool,
) -> Result<Outcome, (usize, i64)> {
    let mut engine = PhysicsWorld { gravity: vector(world.gravity), ..PhysicsWorld::new() };
    engine.integration_parameters.dt = (1.0 / f64::from(video.step_rate)) as f32;
    let mut owners: Vec<(ColliderHandle, u16)> = Vec::new();
    if let Some(floor) = &world.floor {
        let (friction, restitution) = if soft { (1.0, 0.0) } else { (floor.friction, floor.restitution) };
        let ground = surface(ColliderBuilder::new(SharedShape::halfspace(Vector::Z)), friction, restitution);
        let (_, handle) = engine.insert(RigidBodyBuilder::fixed(), ground);
        owners.push((handle, 0));
    }
    let mut handles = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.iter().enumerate() {
        handles.push(insert(&mut engine, &mut owners, index as u16 + 1, body, soft));
    }
    let owner = |handle: ColliderHandle| owners.iter().find(|(known, _)| *known == handle).map_or(0, |(_, id)| *id);

    let steps_per_frame = video.step_rate / video.frame_rate;
    let mut outcome = Outcome { touching: touching.to_vec(), ..Outcome::default() };
    outcome.frames.push(bodies.iter().map(|body| body.state).collect());
    for frame in 0..frames {
        for step in 0..steps_per_frame {
            engine.step();
            let at = frame as f64 + f64::from(step + 1) / f64::from(steps_per_frame);
            record_contacts(&engine, &owner, at, &mut outcome);
        }
        let states: Vec<_> = handles.iter().map(|&handle| state(&engine, handle)).collect();
        let lost = |s: &BodyState| !(s.pose.position.length() < FAR && s.velocity.is_finite());
        if let Some(index) = states.iter().position(lost) {
            return Err((index, frame as i64 + 1));
        }
        outcome.frames.push(states);
    }
    Ok(outcome)
}

fn surface(builder: ColliderBuilder, friction: f64, restitution: f64) -> Collider {
    builder
        .friction(friction as f32)
        .restitution(restitution as f32)
        .friction_combine_rule(CoefficientCombineRule::Multiply)
        .restitution_combine_rule(CoefficientCombineRule::Multiply)
        .build()
}

fn insert(
    engine: &mut PhysicsWorld,
    owners: &mut Vec<(ColliderHandle, u16)>,
    id: u16,
    body: &Body<'_>,
    soft: bool,
) -> RigidBodyHandle {
    let Body { object, parts, state } = body;
    let builder = if object.is_static { RigidBodyBuilder::fixed() } else { RigidBodyBuilder::dynamic() };
    let handle = engine.insert_body(
        builder
            .pose(engine_pose(&state.pose))
            .linvel(vector(state.velocity))
            .angvel(vector(state.angular_velocity))
            .can_sleep(false)
            .ccd_enabled(true),
    );
    let (friction, restitution) = if soft { (1.0, 0.0) } else { (object.friction, object.restitution) };
    // Parts share the mass by their volumes, so that overlaps count once.
    let volumes: Vec<_> = parts.iter().map(|part| part.shape.mass_properties(1.0).mass()).collect();
    let total: f32 = volumes.iter().sum();
    for (part, volume) in parts.iter().zip(volumes) {
        let builder =
            ColliderBuilder::new(part.shape.clone()).position(part.place).mass(object.mass as f32 * volume / total);
        let collider = engine.insert_collider(surface(builder, friction, restitution), Some(handle));
        owners.push((collider, id));
    }
    handle
}

fn state(engine: &PhysicsWorld, handle: RigidBodyHandle) -> BodyState {
    let body = &engine.bodies[handle];
    let rotation = body.rotation();
    let rotation = Rotation {
        w: f64::from(rotation.w),
        v: vec3(f64::from(rotation.x), f64::from(rotation.y), f64::from(rotation.z)),
    };
    BodyState {
        pose: Pose { position: from_vector(body.translation()), rotation: rotation.normalized() },
        velocity: from_vector(body.linvel()),
        angular_velocity: from_vector(body.angvel()),
    }
}

/// Adds a collision for every pair that begins to press on each other in this step.
fn record_contacts(engine: &PhysicsWorld, owner: &impl Fn(ColliderHandle) -> u16, frame: f64, outcome: &mut Outcome) {
    let mut now: Vec<Collision> = Vec::new();
    for pair in engine.narrow_phase.contact_pairs() {
        let impulse = f64::from(pair.total_impulse_magnitude());
        if impulse <= 0.0 {
            continue;
        }
        let Some((manifold, contact)) = pair.find_deepest_contact() else { continue };
        let (first, second) = (owner(pair.collider1), owner(pair.collider2));
        let normal = from_vector(manifold.data.normal).normalized();
        let force = impulse / f64::from(engine.integration_parameters.dt);
        let position = from_vector(*engine.colliders[pair.collider1].position() * contact.local_p1);
        let (ids, normal) = if first <= second { ([first, second], normal) } else { ([second, first], -normal) };
        match now.iter_mut().find(|known| known.ids == ids) {
            Some(known) => known.force += force,
            None => now.push(Collision { frame, ids, position, normal, force }),
        }
    }
    now.sort_by_key(|collision| collision.ids);
    let touching = now.iter().map(|collision| collision.ids).collect();
    now.retain(|collision| !outcome.touching.contains(&collision.ids));
    outcome.collisions.append(&mut now);
    outcome.touching = touching;
}

/// The error for a body that was lost.
pub(crate) fn diverged(seed: u64, (index, frame): (usize, i64)) -> Error {
    Error::Diverged { seed, object: index + 1, frame: frame - 1 }
}
