//! A hierarchy of boxes over triangles, so that a ray looks at a few of thousands.
//!
//! Built once per mesh by splitting at the median of the widest axis; stored in depth-first order, the left child right
//! behind its parent. Traversal keeps its stack in an array: nothing is allocated per ray.

use crate::vector::{Aabb, Vec3};

/// Triangles in a leaf at most.
const LEAF: usize = 4;

/// Depth of a tree over 2³² leaves with median splits, and some.
const STACK: usize = 64;

#[derive(Debug, Clone)]
struct Node {
    bounds: Aabb,
    /// Leaf: the first of its items. Inner: the right child.
    first: u32,
    /// Items of a leaf; zero for inner nodes.
    count: u32,
}

/// The hierarchy; items are numbered as in the order it was built from.
#[derive(Debug, Clone)]
pub(crate) struct Bvh {
    nodes: Vec<Node>,
    items: Vec<u32>,
}

impl Bvh {
    /// Over items with these boxes; at least one.
    pub(crate) fn new(boxes: &[Aabb]) -> Self {
        let mut bvh = Self { nodes: Vec::with_capacity(boxes.len()), items: (0..boxes.len() as u32).collect() };
        bvh.build(boxes, 0, boxes.len());
        bvh
    }

    fn build(&mut self, boxes: &[Aabb], start: usize, end: usize) {
        let items = &mut self.items[start..end];
        let bounds = items.iter().fold(Aabb::EMPTY, |all, &i| all.union(boxes[i as usize]));
        let node = self.nodes.len();
        self.nodes.push(Node { bounds, first: start as u32, count: (end - start) as u32 });
        if end - start <= LEAF {
            return;
        }
        let centers = items.iter().fold(Aabb::EMPTY, |all, &i| all.with(boxes[i as usize].center()));
        let extent = centers.half();
        let along = |v: Vec3| {
            if extent.x >= extent.y && extent.x >= extent.z {
                v.x
            } else if extent.y >= extent.z {
                v.y
            } else {
                v.z
            }
        };
        let half = (end - start) / 2;
        // Ties are broken by number, so that the tree depends on the mesh alone.
        items.select_nth_unstable_by(half, |&a, &b| {
            along(boxes[a as usize].center()).total_cmp(&along(boxes[b as usize].center())).then(a.cmp(&b))
        });
        self.nodes[node].count = 0;
        self.build(boxes, start, start + half);
        self.nodes[node].first = self.nodes.len() as u32;
        self.build(boxes, start + half, end);
    }

    /// The box around everything.
    pub(crate) fn bounds(&self) -> Aabb {
        self.nodes[0].bounds
    }

    /// Calls `visit(item, far)` for items whose boxes the ray meets before `far`; it returns the new `far`.
    #[inline]
    pub(crate) fn cast(&self, origin: Vec3, direction: Vec3, far: f64, mut visit: impl FnMut(u32, f64) -> f64) {
        let inverse = Vec3 { x: 1.0 / direction.x, y: 1.0 / direction.y, z: 1.0 / direction.z };
        let mut far = far;
        let mut stack = [0u32; STACK];
        let mut depth = 1;
        while depth > 0 {
            depth -= 1;
            let index = stack[depth];
            let node = &self.nodes[index as usize];
            if !node.bounds.is_hit(origin, inverse, far) {
                continue;
            }
            if node.count > 0 {
                for &item in &self.items[node.first as usize..(node.first + node.count) as usize] {
                    far = visit(item, far);
                }
            } else {
                stack[depth] = node.first;
                stack[depth + 1] = index + 1;
                depth += 2;
            }
        }
    }

    /// The smallest of `distance(item)` over all items, skipping boxes that are farther than the best so far.
    pub(crate) fn nearest(&self, point: Vec3, mut distance: impl FnMut(u32) -> f64) -> f64 {
        let mut best = f64::INFINITY;
        let mut stack = [0u32; STACK];
        let mut depth = 1;
        while depth > 0 {
            depth -= 1;
            let index = stack[depth];
            let node = &self.nodes[index as usize];
            let outside = (point - node.bounds.center()).abs() - node.bounds.half();
            if outside.max(Vec3::ZERO).length() >= best {
                continue;
            }
            if node.count > 0 {
                for &item in &self.items[node.first as usize..(node.first + node.count) as usize] {
                    best = best.min(distance(item));
                }
            } else {
                stack[depth] = node.first;
                stack[depth + 1] = index + 1;
                depth += 2;
            }
        }
        best
    }
}
