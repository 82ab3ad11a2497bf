//! Places for objects where nothing else is.

use super::{Generator, appearance};
use crate::Error;
use crate::description::{BodyState, Motion, Object, ObjectGroup, Split, Turn, World};
use crate::geometry::Solid;
use crate::physics::{self, Part};
use crate::random::{Stream, range};
use crate::vector::{Pose, Rotation, Vec3, vec3};

/// Places tried for one object.
const ATTEMPTS: u32 = 100;

/// An object with everything that is known about it before the simulation.
pub(super) struct Placed {
    pub(super) object: Object,
    pub(super) solid: Solid,
    pub(super) parts: Vec<Part>,
    pub(super) motion: Motion,
    pub(super) state: BodyState,
}

/// Draws the objects of a group and finds a place for each.
pub(super) fn place(
    placed: &mut Vec<Placed>,
    group: &ObjectGroup,
    index: usize,
    seed: u64,
    attempt: u32,
    split: Split,
    world: &World,
    generator: &Generator,
) -> Result<(), Error> {
    let stream = |purpose: &str| Stream::new(seed, &format!("{purpose} {index}"), attempt);
    let (mut looks, mut places, mut velocities) = (stream("objects"), stream("places"), stream("velocities"));
    let count = group.count.0 + looks.below(group.count.1 - group.count.0 + 1);
    for _ in 0..count {
        // In the test split the first object shows what is held out, if anything is.
        let wanted = split == Split::Test && placed.is_empty();
        let object = appearance::draw(group, &mut looks, seed, split, wanted, generator)?;
        let solid = generator.meshes.solid(&object.form)?;
        let parts = physics::parts(&object.form, &solid);
        let pose = free_pose(placed, group, &mut places, &parts, &solid, world).ok_or(Error::Placement {
            seed,
            object: placed.len() + 1,
            attempts: ATTEMPTS,
        })?;
        let mut velocity = velocities.in_box(group.velocity.0, group.velocity.1);
        if group.toward_center {
            velocity = velocity - vec3(pose.position.x, pose.position.y, 0.0);
        }
        if matches!(group.motion, Motion::Still | Motion::Settled) {
            velocity = Vec3::ZERO;
        }
        let state = BodyState { pose, velocity, angular_velocity: Vec3::ZERO };
        placed.push(Placed { object, solid, parts, motion: group.motion, state });
    }
    Ok(())
}

fn free_pose(
    placed: &[Placed],
    group: &ObjectGroup,
    stream: &mut Stream,
    parts: &[Part],
    solid: &Solid,
    world: &World,
) -> Option<Pose> {
    let radius = solid.bounding_radius();
    (0..ATTEMPTS).find_map(|_| {
        let rotation = turn(group.turn, stream);
        let mut pose = Pose { position: stream.in_box(group.spawn.0, group.spawn.1), rotation };
        if group.on_floor {
            pose.position.z = 0.0;
            pose.position.z = -physics::clearance(parts, &pose);
        } else if world.floor.is_some() && physics::clearance(parts, &pose) < 1e-3 {
            return None;
        }
        let near = |other: &&Placed| {
            (other.state.pose.position - pose.position).length() < radius + other.solid.bounding_radius()
        };
        let mut others = placed.iter().filter(near);
        let is_free = !others.any(|o| physics::overlap(parts, &pose, &o.parts, &o.state.pose));
        is_free.then_some(pose)
    })
}

fn turn(turn: Turn, stream: &mut Stream) -> Rotation {
    match turn {
        Turn::Any => stream.rotation(),
        Turn::Upright => Rotation::about(Vec3::UP, stream.between(0.0, std::f64::consts::TAU)),
        Turn::Aligned => Rotation::IDENTITY,
        Turn::Standing => {
            let yaw = Rotation::about(Vec3::UP, range(-0.45, 0.45).draw(stream));
            yaw.after(Rotation::about(vec3(1.0, 0.0, 0.0), std::f64::consts::FRAC_PI_2))
        }
    }
}
