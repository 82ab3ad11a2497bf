//! The pixels of a small square image, painted sixteen at a time with the widest vectors of the machine.
//!
//! A [`Shader`] says what there is at the points `(x, y)`; pixel `i` of row-major order has its centre at
//! `((i mod side + ½) · p - 1, (i div side + ½) · p - 1)` with `p = 2 / side`. Shaders are made of additions, multiplications and
//! divisions that no instruction set fuses or reorders, so the bits of an image are the same on all of them.

/// Points that a shader is asked for at once.
pub(super) const LANES: usize = 16;

/// Sides of an image at most.
pub(super) const MAX_SIDE: usize = 32;

/// One coordinate of neighbouring points.
pub(super) type Lane = [f32; LANES];

/// A picture as a function of place. `shade` has to be `#[inline(always)]`, or it is compiled for narrow vectors.
pub(super) trait Shader {
    /// The values at the points.
    fn shade(&self, x: &Lane, y: &Lane) -> Lane;
}

/// The centres of all pixels.
#[derive(Debug)]
pub(super) struct Canvas {
    /// In groups; the last one is filled up with points that are not painted.
    centres: Vec<(Lane, Lane)>,
    /// Distance of neighbouring centres.
    pub(super) pixel: f32,
}

impl Canvas {
    pub(super) fn new(side: usize) -> Self {
        let pixel = 2.0 / side as f32;
        let groups = (side * side).div_ceil(LANES);
        let at = |index: usize| (index as f32 + 0.5) * pixel - 1.0;
        let group = |first: usize| {
            let x = std::array::from_fn(|lane| at((first + lane) % side));
            (x, std::array::from_fn(|lane| at((first + lane) / side)))
        };
        Self { centres: (0..groups).map(|index| group(index * LANES)).collect(), pixel }
    }

    /// Writes the picture into `pixels`, row-major.
    pub(super) fn paint(&self, shader: &impl Shader, pixels: &mut [f32]) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has the features that the function is compiled for.
                return unsafe { x86::paint_avx512(&self.centres, shader, pixels) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: as above.
                return unsafe { x86::paint_avx2(&self.centres, shader, pixels) };
            }
        }
        paint(&self.centres, shader, pixels);
    }
}

#[inline(always)]
fn paint(centres: &[(Lane, Lane)], shader: &impl Shader, pixels: &mut [f32]) {
    let (groups, rest) = pixels.as_chunks_mut::<LANES>();
    for (group, (x, y)) in groups.iter_mut().zip(centres) {
        *group = shader.shade(x, y);
    }
    if let (Some((x, y)), false) = (centres.get(groups.len()), rest.is_empty()) {
        rest.copy_from_slice(&shader.shade(x, y)[..rest.len()]);
    }
}

/// [`paint`] compiled for wide vectors.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Lane, Shader};

    #[target_feature(enable = "avx512f,avx2")]
    pub(super) fn paint_avx512(centres: &[(Lane, Lane)], shader: &impl Shader, pixels: &mut [f32]) {
        super::paint(centres, shader, pixels);
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn paint_avx2(centres: &[(Lane, Lane)], shader: &impl Shader, pixels: &mut [f32]) {
        super::paint(centres, shader, pixels);
    }
}

/// A wave of period 1 close to `sin 2πt`, within 0.0012 and of the same bits everywhere: parabolas, corrected once.
#[inline(always)]
pub(super) fn wave(turns: f32) -> f32 {
    // Adding 1.5 · 2²³ leaves no room for fractions: the sum is rounded to a whole number.
    const ROUND: f32 = 12_582_912.0;
    let t = turns - ((turns + ROUND) - ROUND);
    let parabola = t * (8.0 - 16.0 * t.abs());
    parabola * (0.775 + 0.225 * parabola.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten times the column plus the row of a pixel, recovered from its centre.
    struct Place {
        side: f32,
    }

    impl Shader for Place {
        #[inline(always)]
        fn shade(&self, x: &Lane, y: &Lane) -> Lane {
            let index = |centre: f32| (centre + 1.0) * self.side / 2.0 - 0.5;
            std::array::from_fn(|lane| 10.0 * index(x[lane]) + index(y[lane]))
        }
    }

    #[test]
    fn every_pixel_is_painted_with_what_there_is_at_its_centre() {
        for side in 2..=9 {
            let mut pixels = vec![f32::NAN; side * side];
            Canvas::new(side).paint(&Place { side: side as f32 }, &mut pixels);
            for (i, pixel) in pixels.iter().enumerate() {
                assert!(
                    (pixel - (10 * (i % side) + i / side) as f32).abs() < 1e-4,
                    "pixel {i} of side {side}: {pixel}"
                );
            }
        }
    }

    #[test]
    fn the_wave_is_a_sine_within_a_thousandth() {
        for i in -3000..3000 {
            let turns = i as f32 / 700.0;
            assert!((wave(turns) - (turns * std::f32::consts::TAU).sin()).abs() < 0.0012, "{turns}");
        }
    }
}
