//! What an object is: shape, size, colour, material, texture, text, mass.
//!
//! Masses, friction and restitution follow MOVi: metal is heavy, slides and bounces little; rubber is light, sticks and
//! bounces.

use super::Generator;
use crate::Error;
use crate::description::{
    Color, Colors, Form, Material, Motion, Object, ObjectGroup, Shape, Size, Sizes, Split, Surface, Texture,
    TextureKind,
};
use crate::geometry::Outline;
use crate::random::Stream;
use crate::render::font;
use crate::vector::Vec3;

/// Draws until a composition is allowed; a share of one in 200 is found in all but one of 10⁹ scenes.
const ATTEMPTS: u32 = 4000;

/// Draws an object. If `wanted`, one whose composition is held out from training, as far as the group has any.
pub(super) fn draw(
    group: &ObjectGroup,
    stream: &mut Stream,
    seed: u64,
    split: Split,
    wanted: bool,
    generator: &Generator,
) -> Result<Object, Error> {
    let hold_out = &generator.config.hold_out;
    let (mut shape, mut color, mut material) = words(group, stream);
    let held_out = |shape, color, material| hold_out.iter().any(|c| c.matches(shape, color, material));
    if !hold_out.is_empty() && (wanted || split != Split::Test) {
        let mut attempts = 0;
        while held_out(shape, color, material) != wanted {
            attempts += 1;
            if attempts == ATTEMPTS {
                if wanted {
                    break;
                }
                return Err(Error::AllHeldOut { seed });
            }
            (shape, color, material) = words(group, stream);
        }
    }
    let (size, extent) = match group.sizes {
        Sizes::Named { small, large } => {
            if stream.chance(0.5) {
                (Some(Size::Small), small)
            } else {
                (Some(Size::Large), large)
            }
        }
        Sizes::Uniform(range) => (None, range.draw(stream)),
    };
    let text = (shape == Shape::Sign).then(|| sign_text(group, stream));
    let form = form(shape, extent, text.as_deref(), group, stream, generator);
    let rgb = color.map_or_else(|| hue(stream.unit()), Color::rgb);
    let texture = texture(*stream.pick(&group.textures), rgb, extent, stream);
    let roughness = match material {
        Material::Rubber => 0.7,
        Material::Metal => 0.2,
        Material::Paper => 1.0,
    };
    let rgb = if shape == Shape::Sign { pale(rgb) } else { rgb };
    let volume = generator.meshes.solid(&form)?.volume();
    let (density, friction, restitution) = match material {
        Material::Rubber => (1.1, 0.8, 0.7),
        Material::Metal => (2.7, 0.4, 0.3),
        Material::Paper => (0.5, 0.5, 0.3),
    };
    Ok(Object {
        shape,
        form,
        surface: Surface { material, rgb, roughness, texture },
        // The word of a pale sign would no longer be right.
        color: color.filter(|_| shape != Shape::Sign),
        size,
        text,
        is_static: group.motion == Motion::Still,
        mass: volume * density,
        friction,
        restitution,
    })
}

fn words(group: &ObjectGroup, stream: &mut Stream) -> (Shape, Option<Color>, Material) {
    let shape = *stream.pick(&group.shapes);
    let color = match &group.colors {
        Colors::Named => Some(*stream.pick(Color::ALL)),
        Colors::Among(colors) => Some(*stream.pick(colors)),
        Colors::AnyHue => None,
    };
    (shape, color, *stream.pick(&group.materials))
}

fn sign_text(group: &ObjectGroup, stream: &mut Stream) -> String {
    if !group.words.is_empty() {
        return stream.pick(&group.words).clone();
    }
    let letters: Vec<char> = group.letters.chars().collect();
    let count = group.letter_count.0 + stream.below(group.letter_count.1 - group.letter_count.0 + 1);
    (0..count).map(|_| *stream.pick(&letters)).collect()
}

/// `extent` is half of the longest edge.
fn form(
    shape: Shape,
    extent: f64,
    text: Option<&str>,
    group: &ObjectGroup,
    stream: &mut Stream,
    generator: &Generator,
) -> Form {
    let flat = |outline| Form::Flat { outline, half: [extent, extent] };
    match shape {
        Shape::Cube => Form::Box { half: Vec3::splat(extent) },
        Shape::Sphere => Form::Sphere { radius: extent },
        Shape::Cylinder => Form::Cylinder { radius: extent, half_height: extent },
        Shape::Cone => Form::Cone { radius: extent, half_height: extent },
        Shape::Capsule => {
            let radius = extent * stream.between(0.4, 0.6);
            Form::Capsule { radius, half_height: extent - radius }
        }
        Shape::Torus => {
            let minor = extent * stream.between(0.22, 0.34);
            Form::Torus { major: extent - minor, minor }
        }
        Shape::Gear => Form::Gear {
            teeth: 7 + stream.below(8) as u32,
            depth: stream.between(0.18, 0.32),
            thickness: stream.between(0.2, 0.4),
            half_extent: extent,
        },
        Shape::Bracket => {
            let (arm, thickness) = (stream.between(0.25, 0.45), stream.between(0.25, 0.5));
            Form::Bracket { arm, thickness, half_extent: extent }
        }
        Shape::Knot => {
            let (p, q) = *stream.pick(&[(2, 3), (3, 2), (2, 5), (3, 4)]);
            Form::Knot { p, q, tube: stream.between(0.16, 0.24), half_extent: extent }
        }
        Shape::Rock => {
            let seed = stream.bits();
            Form::Rock { seed, roughness: stream.between(0.2, 0.55), half_extent: extent }
        }
        Shape::Square => flat(Outline::Square),
        Shape::Disc => flat(Outline::Disc),
        Shape::Triangle => flat(Outline::Triangle),
        Shape::Star => flat(Outline::Star),
        Shape::Cross => flat(Outline::Cross),
        Shape::Sign => {
            let (width, height) = font::plate(text.map_or(1, |text| text.chars().count()));
            let scale = extent / width.max(height);
            Form::Flat { outline: Outline::Square, half: [width * scale, height * scale] }
        }
        Shape::Custom => {
            let path = stream.pick(&group.meshes).clone();
            let sha256 = generator.meshes.sha256(&path).to_owned();
            Form::File { path, sha256, half_extent: extent }
        }
    }
}

/// A saturated colour of this hue, 0 to 1 around the circle.
pub(super) fn hue(hue: f64) -> [f64; 3] {
    let channel = |shift: f64| {
        let h = (hue * 6.0 + shift) % 6.0;
        // The HSV cone at saturation 0.85 and value 0.85.
        0.85 * (1.0 - 0.85 * (1.0 - ((h - 3.0).abs() - 1.0).clamp(0.0, 1.0)))
    };
    [channel(0.0), channel(4.0), channel(2.0)]
}

fn pale(rgb: [f64; 3]) -> [f64; 3] {
    rgb.map(|c| 0.8 + 0.2 * c)
}

/// The second colour is the first one darkened, or lightened if it is dark, so that the word for it stays right.
pub(super) fn texture(kind: TextureKind, rgb: [f64; 3], extent: f64, stream: &mut Stream) -> Texture {
    let brightness = 0.3 * rgb[0] + 0.6 * rgb[1] + 0.1 * rgb[2];
    let second = if brightness > 0.35 { rgb.map(|c| c * 0.45) } else { rgb.map(|c| c + (1.0 - c) * 0.5) };
    let cell = extent * stream.between(0.25, 0.6);
    Texture { kind, second, cell, seed: stream.bits() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_go_from_red_over_green_to_blue() {
        let largest = |rgb: [f64; 3]| (0..3).max_by(|&a, &b| rgb[a].total_cmp(&rgb[b])).unwrap();
        assert_eq!([0.01, 0.34, 0.67].map(|h| largest(hue(h))), [0, 1, 2]);
    }
}
