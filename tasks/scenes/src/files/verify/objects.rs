//! What `metadata.json` says of objects, against the scene and against itself: places, 3-D boxes, velocities.
//!
//! Velocities are held against places where these leave no doubt. If the last and the next step between frames differ by
//! what gravity alone does in that time, or by nothing, the body was in flight, or at rest, or moved on steadily; its
//! velocity then has to be the mean of both steps, to within 0.05 m/s and 2 %. In the same way, two equal turns in
//! succession give the angular velocity, to within 0.05 rad/s and 2 %, for turns of less than 2.5 rad from frame to frame.
//! Frames next to a collision of the body are left out.

use super::super::contents::ObjectRecord;
use crate::description::{BodyState, Scene};
use crate::geometry::Solid;
use crate::vector::{Rotation, Vec3};

/// The first problem, if there is one.
pub(super) fn problem(scene: &Scene, solids: &[Solid], records: &[ObjectRecord]) -> Option<String> {
    for (index, (record, solid)) in records.iter().zip(solids).enumerate() {
        let id = index + 1;
        let frames = scene.video.frames;
        let lengths = [
            record.positions.len(),
            record.rotations.len(),
            record.velocities.len(),
            record.angular_velocities.len(),
            record.boxes_3d.len(),
        ];
        if lengths != [frames; 5] {
            return Some(format!("object {id} has lists of {lengths:?} frames, expected {frames}"));
        }
        for frame in 0..frames {
            let state = &scene.states(frame as i64)[index];
            let told = [
                ("position", record.positions[frame], state.pose.position),
                ("rotation", record.rotations[frame].v, state.pose.rotation.v),
                ("velocity", record.velocities[frame], state.velocity),
                ("angular velocity", record.angular_velocities[frame], state.angular_velocity),
            ];
            for (what, found, expected) in told {
                if differ(found, expected, 1e-9) {
                    return Some(format!(
                        "object {id}, frame {frame}: the {what} is {found:?}, the scene's {expected:?}"
                    ));
                }
            }
            let bounds = solid.bounds();
            for (corner, (found, local)) in record.boxes_3d[frame].iter().zip(bounds.corners()).enumerate() {
                // By the matrix, where the writer turns by the quaternion.
                let m = state.pose.matrix();
                let row = |r: usize| m[r][0] * local.x + m[r][1] * local.y + m[r][2] * local.z + m[r][3];
                let expected = Vec3 { x: row(0), y: row(1), z: row(2) };
                if differ(*found, expected, 1e-9) {
                    return Some(format!("object {id}, frame {frame}: corner {corner} is {found:?}, not {expected:?}"));
                }
            }
            if let Some(problem) = velocity_problem(scene, index, frame as i64) {
                return Some(format!("object {id}, frame {frame}: {problem}"));
            }
        }
    }
    None
}

fn differ(a: Vec3, b: Vec3, tolerance: f64) -> bool {
    // Not a number is near to nothing.
    let is_near = (a - b).length() <= tolerance * (1.0 + b.length());
    !is_near
}

fn velocity_problem(scene: &Scene, index: usize, frame: i64) -> Option<String> {
    let near = |at: f64| (at - frame as f64).abs() <= 1.0;
    if scene.collisions.iter().any(|c| c.ids.contains(&(index as u16 + 1)) && near(c.frame)) {
        return None;
    }
    let [before, now, after]: [&BodyState; 3] = [-1, 0, 1].map(|step| &scene.states(frame + step)[index]);
    let seconds = 1.0 / f64::from(scene.video.frame_rate);
    let (last, next) = (now.pose.position - before.pose.position, after.pose.position - now.pose.position);
    let change = next - last;
    let fall = scene.world.gravity * (seconds * seconds);
    // In single precision places far from the origin are coarse.
    let exact = 1e-5 * (1.0 + now.pose.position.length());
    if change.length() < exact || (change - fall).length() < exact + 1e-3 * fall.length() {
        let mean = (next + last) / (2.0 * seconds);
        if differ_by(now.velocity, mean) {
            return Some(format!("the velocity is {:?}, by its places {mean:?}", now.velocity));
        }
    }
    let (last, next) = (turn(before.pose.rotation, now.pose.rotation), turn(now.pose.rotation, after.pose.rotation));
    if (next - last).length() < 1e-4 && last.length() < 2.5 && now.angular_velocity.length() * seconds < 2.5 {
        let mean = (next + last) / (2.0 * seconds);
        if differ_by(now.angular_velocity, mean) {
            return Some(format!("the angular velocity is {:?}, by its rotations {mean:?}", now.angular_velocity));
        }
    }
    None
}

fn differ_by(found: Vec3, expected: Vec3) -> bool {
    (found - expected).length() > 0.05 + 0.02 * expected.length()
}

/// The turn from one rotation to another as an axis times an angle, the shorter way.
fn turn(from: Rotation, to: Rotation) -> Vec3 {
    let between = to.after(from.inverse());
    let (w, v) = if between.w < 0.0 { (-between.w, -between.v) } else { (between.w, between.v) };
    let sine = v.length();
    if sine < 1e-12 { Vec3::ZERO } else { v * (2.0 * libm::atan2(sine, w) / sine) }
}
