//! Single windows.

use velo_meta_train::unroll::{Particle, Scratch, Setting, WindowReport};

/// The next window of a particle that has had one per outer step so far.
pub fn next_window(particle: &mut Particle, theta: &[f32], setting: &Setting) -> WindowReport {
    particle.run_window(theta, particle.window, setting, &mut Scratch::default()).unwrap()
}
