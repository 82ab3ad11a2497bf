//! Cameras: from pixels to rays and back.
//!
//! The camera frame is that of OpenGL: x right, y up, looking along -z. Pixel coordinates are (x, y) with the corner of
//! the picture at (0, 0), x to the right and y down, so the centre of column j and row i is (j + ½, i + ½). With the
//! focal length `f` in pixels, `x = W/2 + f·X/Z`, `y = H/2 - f·Y/Z`, where `Z = -z` is the depth along the axis.

use crate::description::{Camera, Lens};
use crate::geometry::Ray;
use crate::vector::{Pose, Vec3, vec3};

/// A camera at one moment, with its picture.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct View {
    /// From the camera to the world.
    pub pose: Pose,
    columns: [Vec3; 3],
    lens: Lens,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Focal length in pixels, or pixels per metre of a parallel projection.
    pub scale: f64,
}

impl View {
    /// The camera of `lens` at `pose`.
    pub fn new(lens: Lens, pose: Pose, width: usize, height: usize) -> Self {
        let scale = match lens {
            Lens::Perspective { focal_mm, sensor_mm } => width as f64 * focal_mm / sensor_mm,
            Lens::Orthographic { width: metres } => width as f64 / metres,
        };
        Self { pose, columns: pose.rotation.columns(), lens, width, height, scale }
    }

    /// The ray through a place of the picture.
    #[inline]
    pub fn ray(&self, x: f64, y: f64) -> Ray {
        let right = (x - 0.5 * self.width as f64) / self.scale;
        let up = (0.5 * self.height as f64 - y) / self.scale;
        let [cx, cy, cz] = self.columns;
        match self.lens {
            Lens::Perspective { .. } => {
                let direction = (cx * right + cy * up - cz).normalized();
                Ray { origin: self.pose.position, direction }
            }
            Lens::Orthographic { .. } => Ray { origin: self.pose.position + cx * right + cy * up, direction: -cz },
        }
    }

    /// Where a world point is seen, and its depth along the axis; nothing for points behind a perspective camera.
    #[inline]
    pub fn project(&self, point: Vec3) -> Option<Projected> {
        let d = point - self.pose.position;
        let depth = -self.columns[2].dot(d);
        let divisor = match self.lens {
            Lens::Perspective { .. } if depth <= 1e-9 => return None,
            Lens::Perspective { .. } => depth,
            Lens::Orthographic { .. } => 1.0,
        };
        Some(Projected {
            x: 0.5 * self.width as f64 + self.scale * self.columns[0].dot(d) / divisor,
            y: 0.5 * self.height as f64 - self.scale * self.columns[1].dot(d) / divisor,
            depth,
        })
    }

    /// Where the sky of a direction is seen that another view of the same lens sees at `(x, y)`. Parallel rays all have
    /// one direction, so the sky is one colour without places: it stays where it is.
    pub fn project_direction(&self, direction: Vec3, (x, y): (f64, f64)) -> Option<Projected> {
        match self.lens {
            Lens::Perspective { .. } => self.project(self.pose.position + direction),
            Lens::Orthographic { .. } => Some(Projected { x, y, depth: f64::INFINITY }),
        }
    }

    /// The share of a ray's length that is depth: `depth = distance · cosine`.
    #[inline]
    pub fn cosine(&self, ray: &Ray) -> f64 {
        -self.columns[2].dot(ray.direction)
    }

    /// A world direction in the camera frame.
    pub fn to_camera(&self, direction: Vec3) -> Vec3 {
        vec3(self.columns[0].dot(direction), self.columns[1].dot(direction), self.columns[2].dot(direction))
    }

    /// True if a place lies inside the picture.
    pub fn contains(&self, x: f64, y: f64) -> bool {
        x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64
    }

    /// The matrix K of OpenCV in pixels: x right, y down, z forward; the corner of the picture at (0, 0). For a
    /// parallel projection the third column belongs to no depth.
    pub fn opencv_intrinsics(&self) -> [[f64; 3]; 3] {
        let (w, h) = (self.width as f64, self.height as f64);
        [[self.scale, 0.0, 0.5 * w], [0.0, self.scale, 0.5 * h], [0.0, 0.0, 1.0]]
    }

    /// From the world to OpenCV's camera frame, 4×4, row-major.
    pub fn opencv_extrinsics(&self) -> [[f64; 4]; 4] {
        let p = self.pose.position;
        let row = |axis: Vec3| [axis.x, axis.y, axis.z, -axis.dot(p)];
        let [x, y, z] = self.columns;
        [row(x), row(-y), row(-z), [0.0, 0.0, 0.0, 1.0]]
    }

    /// OpenGL's projection matrix, row-major, for clip planes at `near` and `far`.
    pub fn opengl_projection(&self, near: f64, far: f64) -> [[f64; 4]; 4] {
        let (x, y) = (2.0 * self.scale / self.width as f64, 2.0 * self.scale / self.height as f64);
        match self.lens {
            Lens::Perspective { .. } => {
                let (a, b) = ((far + near) / (near - far), 2.0 * far * near / (near - far));
                [[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, a, b], [0.0, 0.0, -1.0, 0.0]]
            }
            Lens::Orthographic { .. } => {
                let (a, b) = (-2.0 / (far - near), (far + near) / (near - far));
                [[x, 0.0, 0.0, 0.0], [0.0, y, 0.0, 0.0], [0.0, 0.0, a, b], [0.0, 0.0, 0.0, 1.0]]
            }
        }
    }
}

/// Where a point is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Projected {
    /// To the right, in pixels from the left edge.
    pub x: f64,
    /// Down, in pixels from the upper edge.
    pub y: f64,
    /// Along the axis, in metres.
    pub depth: f64,
}

impl Camera {
    /// The camera at a frame, -1 to `frames`.
    pub fn view(&self, frame: i64, width: usize, height: usize) -> View {
        View::new(self.lens, self.poses[(frame + 1) as usize], width, height)
    }

    /// The camera between frames.
    pub fn view_at(&self, frame: f64, width: usize, height: usize) -> View {
        let at = (frame + 1.0).clamp(0.0, (self.poses.len() - 1) as f64);
        let before = (at as usize).min(self.poses.len() - 2);
        let pose = self.poses[before].mixed(&self.poses[before + 1], at - before as f64);
        View::new(self.lens, pose, width, height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lens() -> impl Strategy<Value = Lens> {
        prop_oneof![
            (10.0..100.0f64, 10.0..50.0f64).prop_map(|(focal_mm, sensor_mm)| Lens::Perspective { focal_mm, sensor_mm }),
            (0.5..20.0f64).prop_map(|width| Lens::Orthographic { width }),
        ]
    }

    proptest! {
        #[test]
        fn project_is_the_inverse_of_ray(
            lens in lens(), x in 0.0..64.0f64, y in 0.0..48.0f64, distance in 0.5..50.0f64,
            px in -5.0..5.0f64, py in -5.0..5.0f64, pz in 0.5..5.0f64,
        ) {
            let view = View::new(lens, Pose::looking_at(vec3(px, py, pz), vec3(0.3, 0.2, 0.1)), 64, 48);
            let ray = view.ray(x, y);
            let seen = view.project(ray.at(distance)).unwrap();
            prop_assert!((seen.x - x).abs() < 1e-9 && (seen.y - y).abs() < 1e-9, "{seen:?}");
            prop_assert!((seen.depth - distance * view.cosine(&ray)).abs() < 1e-9 * distance);
        }

        #[test]
        fn the_matrices_of_opencv_and_opengl_agree_with_project(
            px in -5.0..5.0f64, py in -5.0..5.0f64, pz in 0.5..5.0f64,
            qx in -1.0..1.0f64, qy in -1.0..1.0f64, qz in -1.0..1.0f64,
        ) {
            let lens = Lens::Perspective { focal_mm: 35.0, sensor_mm: 32.0 };
            let view = View::new(lens, Pose::looking_at(vec3(px, py, pz), vec3(0.3, 0.2, 0.1)), 64, 48);
            let point = vec3(qx, qy, qz);
            let Some(seen) = view.project(point) else { return Ok(()) };
            let (k, e) = (view.opencv_intrinsics(), view.opencv_extrinsics());
            let camera: [f64; 3] = std::array::from_fn(|r| e[r][0] * qx + e[r][1] * qy + e[r][2] * qz + e[r][3]);
            let pixel: [f64; 3] = std::array::from_fn(|r| (0..3).map(|c| k[r][c] * camera[c]).sum());
            prop_assert!((pixel[0] / pixel[2] - seen.x).abs() < 1e-9 * (1.0 + seen.x.abs()));
            prop_assert!((pixel[1] / pixel[2] - seen.y).abs() < 1e-9 * (1.0 + seen.y.abs()));
            let g = view.opengl_projection(0.1, 100.0);
            let local = view.pose.to_local(point);
            let clip: [f64; 4] = std::array::from_fn(|r| g[r][0] * local.x + g[r][1] * local.y + g[r][2] * local.z + g[r][3]);
            let (x, y) = ((clip[0] / clip[3] + 1.0) * 32.0, (1.0 - clip[1] / clip[3]) * 24.0);
            prop_assert!((x - seen.x).abs() < 1e-9 * (1.0 + seen.x.abs()));
            prop_assert!((y - seen.y).abs() < 1e-9 * (1.0 + seen.y.abs()));
        }
    }
}
