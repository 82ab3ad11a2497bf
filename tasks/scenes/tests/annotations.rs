//! Annotations against geometry: tests 1 to 9 of the crate's claims.

use velo_scenes::View;
use velo_scenes::annotate::{Annotations, Annotator, Flags, tracks};
use velo_scenes::description::presets;
use velo_scenes::generate::{Drawn, Generator};
use velo_scenes::render::{Renderer, Screen, Stage};
use velo_scenes::vector::Vec3;

fn drawn(preset: &str, seed: u64) -> Drawn {
    Generator::new(presets::named(preset).unwrap()).unwrap().draw(seed).unwrap()
}

fn first_view(drawn: &Drawn, frame: usize) -> View {
    drawn.scene.cameras[0].view(frame as i64, drawn.scene.image.width, drawn.scene.image.height)
}

fn annotated(drawn: &Drawn, frame: usize) -> Annotations {
    Annotator::new(&drawn.scene, &drawn.solids, &drawn.scene.cameras[0]).frame(frame)
}

/// Pixel centres with the index of the pixel.
fn centers(drawn: &Drawn) -> impl Iterator<Item = (usize, f64, f64)> {
    let (width, height) = (drawn.scene.image.width, drawn.scene.image.height);
    (0..width * height).map(move |i| (i, (i % width) as f64 + 0.5, (i / width) as f64 + 0.5))
}

#[test]
fn unprojected_distances_lie_on_the_implicit_surface_and_normals_are_its_gradient() {
    for preset in ["movi_a", "movi_b", "classification"] {
        let drawn = drawn(preset, 5);
        let (view, frame) = (first_view(&drawn, 0), 0);
        let stage = Stage::at(&drawn.scene, &drawn.solids, frame);
        let mut checked = 0;
        for (_, x, y) in centers(&drawn) {
            let ray = view.ray(x, y);
            let Some(hit) = stage.closest(&ray, 0.0).filter(|hit| hit.id > 0) else { continue };
            let index = usize::from(hit.id) - 1;
            let (solid, pose) = (&drawn.solids[index], drawn.scene.states(frame)[index].pose);
            let local = pose.to_local(ray.at(hit.t));
            assert!(solid.distance(local).abs() < 1e-6, "{preset}: {}", solid.distance(local));
            assert!((hit.normal.length() - 1.0).abs() < 1e-9 && hit.normal.dot(ray.direction) < 1e-9);
            checked += 1;
        }
        assert!(checked > 50, "{preset}: {checked}");
    }
}

#[test]
fn depth_is_distance_times_cosine() {
    let drawn = drawn("movi_e", 1);
    let (view, annotations) = (first_view(&drawn, 3), annotated(&drawn, 3));
    for (i, x, y) in centers(&drawn) {
        let (z, d) = (f64::from(annotations.depth[i]), f64::from(annotations.distance[i]));
        if d.is_finite() {
            assert!((z - d * view.cosine(&view.ray(x, y))).abs() < 1e-6 * d, "{z} {d}");
        } else {
            assert!(z.is_infinite());
        }
    }
}

#[test]
fn object_coordinates_lead_back_to_their_own_pixel_centre() {
    for (preset, frame) in [("movi_b", 6), ("movi_c", 11), ("sprites", 2), ("stereo", 0)] {
        let drawn = drawn(preset, 2);
        let (view, annotations) = (first_view(&drawn, frame), annotated(&drawn, frame));
        for (i, x, y) in centers(&drawn).filter(|(i, ..)| annotations.ids[*i] > 0) {
            let index = usize::from(annotations.ids[i]) - 1;
            let [cx, cy, cz] = annotations.coordinates[i].map(f64::from);
            let bounds = drawn.solids[index].bounds();
            let local = bounds.min + (bounds.max - bounds.min).times(Vec3 { x: cx, y: cy, z: cz });
            let seen = view.project(drawn.scene.states(frame as i64)[index].pose.to_world(local)).unwrap();
            assert!((seen.x - x).abs().max((seen.y - y).abs()) < 1e-4, "{preset}: {seen:?} for ({x}, {y})");
        }
    }
}

#[test]
fn flow_lands_on_the_same_point_of_the_same_body_unless_the_mask_says_otherwise() {
    let drawn = drawn("movi_e", 4);
    for frame in [0, 9, 23] {
        let annotations = annotated(&drawn, frame);
        let view = first_view(&drawn, frame);
        let next_frame = frame as i64 + 1;
        let next = drawn.scene.cameras[0].view(next_frame, drawn.scene.image.width, drawn.scene.image.height);
        let stage = Stage::at(&drawn.scene, &drawn.solids, next_frame);
        let (mut visible, mut hidden) = (0, 0);
        for (i, x, y) in centers(&drawn).filter(|(i, ..)| annotations.ids[*i] > 0) {
            let index = usize::from(annotations.ids[i]) - 1;
            let [dx, dy] = annotations.forward_flow[i].map(f64::from);
            let local = drawn.scene.states(frame as i64)[index]
                .pose
                .to_local(view.ray(x, y).at(f64::from(annotations.distance[i])));
            let ray = next.ray(x + dx, y + dy);
            let hit = stage.closest(&ray, 0.0);
            let same = hit.is_some_and(|hit| {
                let slide = (hit.local - local).length() * -hit.normal.dot(ray.direction);
                hit.id == annotations.ids[i] && slide < 2e-4
            });
            let says = annotations.flags[i] & Flags::NEXT_VISIBLE != 0;
            if says {
                assert!(same, "frame {frame}, pixel {i}");
                visible += 1;
            } else if annotations.flags[i] & Flags::NEXT_INSIDE != 0 {
                hidden += 1;
                assert!(
                    !same || hit.is_some_and(|hit| hit.normal.dot(ray.direction) > -0.05),
                    "frame {frame}, pixel {i}"
                );
            }
        }
        assert!(visible > 100, "{visible} visible, {hidden} hidden");
    }
}

#[test]
fn the_sky_behind_sprites_stays_and_is_hidden_where_one_comes() {
    let drawn = drawn("sprites", 4);
    let (mut seen, mut covered) = (0, 0);
    for frame in 0..drawn.scene.video.frames - 1 {
        let (now, next) = (annotated(&drawn, frame), annotated(&drawn, frame + 1));
        for (i, ..) in centers(&drawn).filter(|(i, ..)| now.flags[*i] & Flags::SURFACE == 0) {
            assert_eq!(now.forward_flow[i], [0.0; 2]);
            assert!(now.flags[i] & Flags::NEXT_INSIDE != 0, "frame {frame}, pixel {i}");
            let stays = next.flags[i] & Flags::SURFACE == 0;
            assert_eq!(now.flags[i] & Flags::NEXT_VISIBLE != 0, stays, "frame {frame}, pixel {i}");
            if stays { seen += 1 } else { covered += 1 }
        }
    }
    assert!(seen > 100 && covered > 5, "{seen} seen, {covered} covered");
}

#[test]
fn in_a_static_world_flow_is_a_function_of_depth_and_camera_alone() {
    let drawn = drawn("pretraining", 3);
    let (now, next) = (first_view(&drawn, 7), first_view(&drawn, 8));
    let annotations = annotated(&drawn, 7);
    let (k, to_world, extrinsics) = (now.opencv_intrinsics(), now.pose, next.opencv_extrinsics());
    for (i, x, y) in centers(&drawn).filter(|(i, ..)| annotations.ids[*i] > 0) {
        let z = f64::from(annotations.depth[i]);
        let camera = Vec3 { x: (x - k[0][2]) / k[0][0] * z, y: -(y - k[1][2]) / k[1][1] * z, z: -z };
        let p = to_world.to_world(camera);
        let c: [f64; 3] = std::array::from_fn(|r| {
            extrinsics[r][0] * p.x + extrinsics[r][1] * p.y + extrinsics[r][2] * p.z + extrinsics[r][3]
        });
        let expected = [k[0][0] * c[0] / c[2] + k[0][2] - x, k[1][1] * c[1] / c[2] + k[1][2] - y];
        let [dx, dy] = annotations.forward_flow[i].map(f64::from);
        assert!((dx - expected[0]).abs().max((dy - expected[1]).abs()) < 1e-4, "{dx} {dy} {expected:?}");
    }
}

#[test]
fn disparity_is_focal_length_times_baseline_over_depth() {
    let drawn = drawn("stereo", 6);
    let [left, right] = &drawn.scene.cameras[..] else { panic!("two cameras") };
    let (width, height) = (drawn.scene.image.width, drawn.scene.image.height);
    let (l, r) = (left.view(0, width, height), right.view(0, width, height));
    let baseline = (r.pose.position - l.pose.position).length();
    let annotations = annotated(&drawn, 0);
    let stage = Stage::at(&drawn.scene, &drawn.solids, 0);
    let mut matched = 0;
    for (i, x, y) in centers(&drawn).filter(|(i, ..)| annotations.distance[*i].is_finite()) {
        let disparity = l.scale * baseline / f64::from(annotations.depth[i]);
        let point = l.ray(x, y).at(f64::from(annotations.distance[i]));
        let seen = r.project(point).unwrap();
        assert!((x - seen.x - disparity).abs() < 1e-4 && (y - seen.y).abs() < 1e-4, "{seen:?}");
        let hit = stage.closest(&r.ray(x - disparity, y), 0.0).unwrap();
        matched += usize::from(hit.id == annotations.ids[i]);
    }
    assert!(matched > width * height / 2, "{matched}");
}

#[test]
fn counts_boxes_and_masks_are_those_of_the_ids() {
    for (preset, frame) in [("movi_d", 12), ("movi_a", 3)] {
        let drawn = drawn(preset, 8);
        let annotations = annotated(&drawn, frame);
        let width = drawn.scene.image.width;
        for index in 0..drawn.scene.objects.len() {
            let mine: Vec<_> =
                (0..annotations.ids.len()).filter(|&i| usize::from(annotations.ids[i]) == index + 1).collect();
            assert_eq!(mine.len() as u32, annotations.visible[index]);
            let bounds = mine.first().map(|_| {
                let x = mine.iter().map(|i| i % width);
                let y = mine.iter().map(|i| i / width);
                [x.clone().min(), y.clone().min(), x.max().map(|v| v + 1), y.max().map(|v| v + 1)]
                    .map(|v| v.unwrap() as u32)
            });
            assert_eq!(bounds, annotations.boxes[index]);
            assert!((0.0..=1.0).contains(&annotations.visible_fraction(index)));
            // What is visible of an object would be visible if it were alone.
            let (stage, view) = (Stage::at(&drawn.scene, &drawn.solids, frame as i64), first_view(&drawn, frame));
            for i in mine {
                let ray = view.ray((i % width) as f64 + 0.5, (i / width) as f64 + 0.5);
                assert!(stage.only(index, &ray).is_some());
            }
        }
        let surfaces = annotations.flags.iter().filter(|flags| **flags & Flags::SURFACE != 0).count();
        assert_eq!(surfaces, annotations.distance.iter().filter(|d| d.is_finite()).count());
    }
}

#[test]
fn tracks_move_as_flow_says() {
    // Sprites are translated under parallel rays: all points of one have the same flow, so no pixel has to be met exactly.
    let drawn = drawn("sprites", 4);
    let all = tracks(&drawn.scene, &drawn.solids, &drawn.scene.cameras[0], 3);
    assert!(all.len() >= 6, "{}", all.len());
    let annotations = annotated(&drawn, 2);
    let mut compared = 0;
    for track in &all {
        let Some(i) = annotations.ids.iter().position(|id| *id == track.id) else { continue };
        let moved = [0, 1].map(|axis| track.places[3][axis] - track.places[2][axis]);
        let flow = annotations.forward_flow[i].map(f64::from);
        assert!((moved[0] - flow[0]).abs().max((moved[1] - flow[1]).abs()) < 1e-4, "{moved:?} {flow:?}");
        compared += 1;
    }
    assert!(compared > 3, "{compared}");
}

#[test]
fn the_shortcut_over_rectangles_sees_what_all_objects_together_show() {
    for (preset, frame) in [("movi_d", 5), ("movi_b", 13), ("sprites", 1)] {
        let drawn = drawn(preset, 9);
        let stage = Stage::at(&drawn.scene, &drawn.solids, frame);
        let view = first_view(&drawn, frame as usize);
        let screen = Screen::new(&stage, &view, drawn.solids.len());
        for (_, x, y) in centers(&drawn) {
            let ray = view.ray(x, y);
            assert_eq!(screen.closest(&stage, &ray, x, y), stage.closest(&ray, 0.0), "{preset} ({x}, {y})");
        }
    }
}

#[test]
fn the_shadow_pass_is_full_light_where_there_is_nothing_and_never_brighter_with_objects() {
    let drawn = drawn("movi_a", 2);
    let camera = &drawn.scene.cameras[0];
    let shadow = Renderer::new(&drawn.scene, &drawn.solids).shadow(camera, 6);
    let mut empty = drawn.scene.clone();
    empty.objects.clear();
    empty.trajectory.iter_mut().for_each(Vec::clear);
    let lit = Renderer::new(&empty, &[]).shadow(camera, 6);
    let annotations = annotated(&drawn, 6);
    let mut shaded = 0;
    for (pixel, (&share, &alone)) in shadow.iter().zip(&lit).enumerate() {
        let is_surface = annotations.flags[pixel] & Flags::SURFACE != 0;
        assert!(is_surface || share == 0.0, "the sky has no share");
        if is_surface && annotations.ids[pixel] == 0 {
            assert!(alone == 1.0 && share <= 1.0, "{share} {alone}");
            shaded += usize::from(share < 1.0);
        }
    }
    assert!(shaded > 20, "{shaded}");
}
