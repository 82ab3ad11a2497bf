//! A network together with its first derivatives and its Laplacian with respect to a point of the plane.
//!
//! An example has four rows: `u`, `∂u/∂x`, `∂u/∂y` and `Δu` of every unit (a jet; the Laplacian is carried as one row, as in
//! Li et al., arXiv 2307.08214). Dense layers without bias act on each row alone; a bias only moves `u`. Through `v = φ(u + b)`:
//!
//! ```text
//! v_x = φ' u_x      v_y = φ' u_y      Δv = φ' Δu + φ'' (u_x² + u_y²)
//! ```
//!
//! A function that is zero at the edge of the unit square is `w = B v` with `B = b(x) b(y)`, `b(x) = 4 x (1 - x)`, and
//!
//! ```text
//! Δw = B Δv + 2 (B_x v_x + B_y v_y) + v ΔB      b' = 4 (1 - 2x)      b'' = -8
//! ```

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::real::Real;
use crate::graph::simd::kernel;

/// Rows of an example.
const ROWS_OF_A_JET: usize = 4;

/// A function with derivatives of every order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SmoothActivation {
    /// Hyperbolic tangent.
    Tanh,
    /// Sine.
    Sin,
}

/// The point itself as a jet.
struct PointJet;

/// The activation of a jet.
struct ActivateJet {
    activation: SmoothActivation,
    width: usize,
    bias: Range<usize>,
}

/// `-Δ(B v)` of a jet of one unit.
struct PoissonLeftHandSide;

impl<T: Real> GraphBuilder<T> {
    /// The jet of the input, a point of the unit square, moved to `[-1, 1]²`.
    pub(crate) fn point_jet(&mut self) -> Node {
        let points = self.input();
        assert_eq!(points.width, 2, "a point of the plane has two coordinates");
        self.step(PointJet, &[points], (ROWS_OF_A_JET, 2), false)
    }

    /// `φ(jet + bias)`; the tensor is `name/bias` and starts at zero.
    pub(crate) fn activate_jet(&mut self, name: &str, jet: Node, activation: SmoothActivation) -> Node {
        assert_eq!(jet.rows, ROWS_OF_A_JET);
        let bias = self.parameter(format!("{name}/bias"), vec![jet.width], Initial::Constant(0.0));
        self.step(ActivateJet { activation, width: jet.width, bias }, &[jet], (jet.rows, jet.width), true)
    }

    /// Minus the Laplacian of the jet's function times the bump that is zero at the edge of the unit square.
    pub(crate) fn poisson_left_hand_side(&mut self, jet: Node) -> Node {
        assert_eq!((jet.rows, jet.width), (ROWS_OF_A_JET, 1));
        let points = self.input();
        self.step(PoissonLeftHandSide, &[jet, points], (1, 1), false)
    }
}

impl<T: Real> Operation<T> for PointJet {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        for (jet, point) in output.chunks_exact_mut(2 * ROWS_OF_A_JET).zip(pass.inputs[0].chunks_exact(2)) {
            let (zero, two) = (T::ZERO, T::from_f64(2.0));
            let [x, y] = [0, 1].map(|axis| two * point[axis] - T::ONE);
            jet.copy_from_slice(&[x, y, two, zero, zero, two, zero, zero]);
        }
    }

    fn backward(&mut self, _: Backward<'_, T>) {
        unreachable!("the jet of data is data, which no gradient is asked of")
    }
}

impl<T: Real> Operation<T> for ActivateJet {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        activate(output, pass.inputs[0], &pass.params[self.bias.clone()], self.activation);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [Some(gradient), _] = pass.input_gradients else { unreachable!("a jet comes from a dense layer") };
        let bias = &pass.params[self.bias.clone()];
        activate_back(gradient, pass.output_gradient, pass.inputs[0], bias, self.activation);
        let sums = &mut pass.grads[self.bias.clone()];
        sums.fill(T::ZERO);
        for jet in gradient.chunks_exact(ROWS_OF_A_JET * self.width) {
            for (sum, delta) in sums.iter_mut().zip(jet) {
                *sum += *delta;
            }
        }
    }
}

/// `φ` and its first three derivatives.
#[inline(always)]
fn derivatives<T: Real, I: crate::graph::simd::Instructions>(x: T, activation: SmoothActivation) -> [T; 4] {
    match activation {
        SmoothActivation::Tanh => {
            let (two, value) = (T::from_f64(2.0), x.tanh::<I>());
            let first = T::ONE - value * value;
            let second = -two * value * first;
            [value, first, second, -two * first * (first - two * value * value)]
        }
        SmoothActivation::Sin => {
            let (sine, cosine) = (x.sin::<I>(), x.cos::<I>());
            [sine, cosine, -sine, -cosine]
        }
    }
}

kernel! {
    fn activate<T, I, ROWS>(output: &'a mut [T], input: &'a [T], bias: &'a [T], activation: SmoothActivation) {
        let width = bias.len();
        let jets = output.chunks_exact_mut(ROWS_OF_A_JET * width).zip(input.chunks_exact(ROWS_OF_A_JET * width));
        for (output, input) in jets {
            for j in 0..width {
                let [x, y, laplacian] = [1, 2, 3].map(#[inline(always)] |row| input[row * width + j]);
                let [value, first, second, _] = derivatives::<T, I>(input[j] + bias[j], activation);
                output[j] = value;
                output[width + j] = first * x;
                output[2 * width + j] = first * y;
                output[3 * width + j] = first * laplacian + second * (x * x + y * y);
            }
        }
    }
}

kernel! {
    fn activate_back<T, I, ROWS>(
        gradient: &'a mut [T],
        delta: &'a [T],
        input: &'a [T],
        bias: &'a [T],
        activation: SmoothActivation,
    ) {
        let width = bias.len();
        let jets = gradient.chunks_exact_mut(ROWS_OF_A_JET * width).zip(delta.chunks_exact(ROWS_OF_A_JET * width));
        for ((gradient, delta), input) in jets.zip(input.chunks_exact(ROWS_OF_A_JET * width)) {
            for j in 0..width {
                let [x, y, laplacian] = [1, 2, 3].map(#[inline(always)] |row| input[row * width + j]);
                let [du, dx, dy, dl] = [0, 1, 2, 3].map(#[inline(always)] |row| delta[row * width + j]);
                let [_, first, second, third] = derivatives::<T, I>(input[j] + bias[j], activation);
                let along = dx * x + dy * y + dl * laplacian;
                gradient[j] = du * first + second * along + dl * third * (x * x + y * y);
                let twice = T::from_f64(2.0) * dl * second;
                gradient[width + j] = dx * first + twice * x;
                gradient[2 * width + j] = dy * first + twice * y;
                gradient[3 * width + j] = dl * first;
            }
        }
    }
}

/// What `v`, `v_x`, `v_y` and `Δv` count in `-Δ(B v)` at a point.
fn coefficients<T: Real>(x: T, y: T) -> [T; ROWS_OF_A_JET] {
    let (two, four) = (T::from_f64(2.0), T::from_f64(4.0));
    let (bump_x, bump_y) = (four * x * (T::ONE - x), four * y * (T::ONE - y));
    let (slope_x, slope_y) = (four * (T::ONE - two * x), four * (T::ONE - two * y));
    [two * four * (bump_x + bump_y), -two * slope_x * bump_y, -two * slope_y * bump_x, -bump_x * bump_y]
}

impl<T: Real> Operation<T> for PoissonLeftHandSide {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let jets = pass.inputs[0].chunks_exact(ROWS_OF_A_JET).zip(pass.inputs[1].chunks_exact(2));
        for (laplacian, (jet, point)) in output.iter_mut().zip(jets) {
            let coefficients = coefficients(point[0], point[1]);
            *laplacian = jet.iter().zip(coefficients).map(|(value, coefficient)| *value * coefficient).sum();
        }
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [Some(gradient), _] = pass.input_gradients else { unreachable!("a jet comes from a dense layer") };
        let jets = gradient.chunks_exact_mut(ROWS_OF_A_JET).zip(pass.inputs[1].chunks_exact(2));
        for ((jet, point), delta) in jets.zip(pass.output_gradient.iter()) {
            for (gradient, coefficient) in jet.iter_mut().zip(coefficients(point[0], point[1])) {
                *gradient = *delta * coefficient;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Dense, Examples, Regression, TargetSource, initialise};

    fn network<T: Real>(g: &mut GraphBuilder<T>, activation: SmoothActivation) -> Node {
        let mut jet = g.point_jet();
        for layer in ["first", "second"] {
            jet = g.dense(layer, jet, Dense::linear(6, 0.8).without_bias());
            jet = g.activate_jet(layer, jet, activation);
        }
        g.dense("out", jet, Dense::linear(1, 1.0).without_bias())
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for activation in [SmoothActivation::Tanh, SmoothActivation::Sin] {
            assert_gradients(3, 2, |g, _| {
                let jet = network(g, activation);
                let laplacian = g.poisson_left_hand_side(jet);
                g.regression(laplacian, Regression::Squared, TargetSource::Values);
            });
        }
    }

    #[test]
    fn the_laplacian_agrees_with_differences_of_the_function() {
        let mut g = GraphBuilder::<f64>::new(5, 2);
        let jet = network(&mut g, SmoothActivation::Tanh);
        let flat = g.reshape(jet, ROWS_OF_A_JET);
        let value = g.columns(flat, 0..1);
        g.regression(value, Regression::Squared, TargetSource::Values);
        let (mut graph, layout, initials) = g.finish().unwrap();
        let mut params = vec![0.0f32; layout.len()];
        initialise(&mut params, &layout, &initials, 2);
        let params: Vec<_> = params.iter().map(|&p| f64::from(p) + 0.1).collect();
        let mut value = |x: f64, y: f64| {
            let examples = |value| (vec![x, y], vec![value]);
            let mut loss = |target: f64| {
                let (inputs, values) = examples(target);
                graph.score(&params, Examples { inputs: &inputs, labels: &[0], values: &values, noise_seed: 0 }).loss
            };
            // (u - 0)² and (u - 1)² give u.
            let u = (loss(0.0) - loss(1.0) + 1.0) / 2.0;
            16.0 * x * (1.0 - x) * y * (1.0 - y) * u
        };
        let (x, y, step) = (0.3, 0.8, 1e-3);
        let neighbours = value(x + step, y) + value(x - step, y) + value(x, y + step) + value(x, y - step);
        let expected = (4.0 * value(x, y) - neighbours) / (step * step);

        let mut g = GraphBuilder::<f64>::new(1, 2);
        let jet = network(&mut g, SmoothActivation::Tanh);
        let laplacian = g.poisson_left_hand_side(jet);
        g.regression(laplacian, Regression::Squared, TargetSource::Values);
        let (mut graph, _, _) = g.finish().unwrap();
        let examples = Examples { inputs: &[x, y], labels: &[0], values: &[expected], noise_seed: 0 };
        assert!(graph.score(&params, examples).loss.sqrt() < 1e-4 * expected.abs().max(1.0));
    }
}
