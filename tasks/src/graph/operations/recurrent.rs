//! Recurrent cells, unrolled over the rows of an example.
//!
//! A dense layer `name/input` turns each `x_t` into gate inputs `a_t`; the matrix `U` (tensor `name/recurrent/kernel`) adds what
//! the state before has to say. With `h_0 = c_0 = 0`:
//!
//! ```text
//! vanilla   h_t = tanh(a_t + h_{t-1} U)
//! GRU       (r, u) = σ((a + h_{t-1} U)_{r,u})      n = tanh(a_n + r ⊙ (h_{t-1} U)_n)      h_t = (1 - u) ⊙ n + u ⊙ h_{t-1}
//! LSTM      (i, f, g, o) = (σ, σ, tanh, σ)(a + h_{t-1} U + (0, 1, 0, 0))      c_t = f ⊙ c_{t-1} + i ⊙ g      h_t = o ⊙ tanh c_t
//! ```
//!
//! (Cho et al., arXiv 1406.1078; Hochreiter and Schmidhuber 1997, with the forget gate starting open.) Backward, the
//! gradient of `h_t` is that of the output plus what comes from `t + 1`; the gradient of `U` is one product over all times.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::graph::Initial;
use crate::graph::builder::{GraphBuilder, Node};
use crate::graph::matrix_product::{Matrix, Start, arrange, multiply, packed_len, product, room};
use crate::graph::operation::{Backward, Forward, Operation};
use crate::graph::operations::{Dense, copy};
use crate::graph::real::Real;
use crate::graph::simd::kernel;

/// Which cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum CellKind {
    /// `tanh` of a sum.
    Vanilla,
    /// Gated recurrent unit.
    Gru,
    /// Long short-term memory.
    Lstm,
}

impl CellKind {
    /// Numbers in `a_t` for each number in `h_t`.
    fn gates(self) -> usize {
        match self {
            Self::Vanilla => 1,
            Self::Gru => 3,
            Self::Lstm => 4,
        }
    }
}

/// The shape of a cell over a sequence.
#[derive(Clone, Copy)]
struct Shape {
    kind: CellKind,
    times: usize,
    hidden: usize,
}

/// See the [module](self).
struct Recurrent<T> {
    shape: Shape,
    kernel: Range<usize>,
    /// Gates after their functions, `examples × times × gates · hidden`.
    gates: Vec<T>,
    /// `h_{t-1}`.
    before: Vec<T>,
    /// GRU: `(h_{t-1} U)_n`. LSTM: `c_t`.
    memory: Vec<T>,
    /// GRU: gradient with respect to `h_{t-1} U`, where it differs from that of `a_t`.
    delta: Vec<T>,
    /// Gradients with respect to `h_t` and `c_t` from the time after, `examples × hidden` each.
    carried: [Vec<T>; 2],
}

impl<T: Real> GraphBuilder<T> {
    /// The states of a cell at every row of `x`; kernels are normal with variance `gain² / inputs`.
    pub(crate) fn recurrent(&mut self, name: &str, x: Node, kind: CellKind, hidden: usize, gain: f32) -> Node {
        let width = kind.gates() * hidden;
        let deviation = |inputs: usize| gain / (inputs as f32).sqrt();
        let inputs = self.dense(&format!("{name}/input"), x, Dense::linear(width, deviation(x.width)));
        let initial = Initial::Normal(deviation(hidden));
        let kernel = self.parameter(format!("{name}/recurrent/kernel"), vec![hidden, width], initial);
        let room = |width: usize| vec![T::ZERO; self.most_examples() * x.rows * width];
        let step = Recurrent {
            shape: Shape { kind, times: x.rows, hidden },
            kernel,
            gates: room(width),
            before: room(hidden),
            memory: room(if kind == CellKind::Vanilla { 0 } else { hidden }),
            delta: room(if kind == CellKind::Gru { width } else { 0 }),
            carried: [0, 1].map(|_| vec![T::ZERO; self.most_examples() * hidden]),
        };
        self.step(step, &[inputs], (x.rows, hidden), true)
    }
}

impl<T: Real> Operation<T> for Recurrent<T> {
    fn forward(&mut self, pass: Forward<'_, T>, output: &mut [T]) {
        let gates = &mut self.gates[..pass.inputs[0].len()];
        copy(gates, pass.inputs[0]);
        let kernel = &pass.params[self.kernel.clone()];
        unroll(output, gates, &mut self.before, &mut self.memory, kernel, self.shape, pass.panels);
    }

    fn backward(&mut self, pass: Backward<'_, T>) {
        let [Some(gradient), _] = pass.input_gradients else { unreachable!("gate inputs come from a dense layer") };
        let Shape { kind, hidden, .. } = self.shape;
        let width = kind.gates() * hidden;
        let kernel = &pass.params[self.kernel.clone()];
        let [carried, carried_memory] = &mut self.carried;
        unroll_back(
            gradient,
            &mut self.delta,
            carried,
            carried_memory,
            pass.output_gradient,
            &self.gates,
            &self.before,
            &self.memory,
            kernel,
            self.shape,
            pass.panels,
        );
        let rows = gradient.len() / width;
        let delta = if kind == CellKind::Gru { &self.delta[..gradient.len()] } else { &*gradient };
        let before = Matrix::rows(&self.before[..rows * hidden], hidden).transposed();
        let kernel = &mut pass.grads[self.kernel.clone()];
        product(kernel, width, before, Matrix::rows(delta, width), Start::Zero, pass.panels);
    }

    fn flops(&self) -> u64 {
        let Shape { kind, times, hidden } = self.shape;
        2 * (times * hidden * kind.gates() * hidden) as u64
    }
}

kernel! {
    /// All times forward: `gates` hold `a` and become the gates.
    fn unroll<T, I, ROWS>(
        output: &'a mut [T],
        gates: &'a mut [T],
        before: &'a mut [T],
        memory: &'a mut [T],
        kernel: &'a [T],
        shape: Shape,
        panels: &'a mut Vec<T>,
    ) {
        let Shape { kind, times, hidden } = shape;
        let (width, examples) = (kind.gates() * hidden, output.len() / (times * hidden));
        // The candidate of a GRU needs its part of the product apart from its input.
        let joint = if kind == CellKind::Gru { 2 * hidden } else { width };
        let panels = room(panels, packed_len(hidden, joint) + packed_len(hidden, width - joint));
        let (joint_panels, candidate_panels) = panels.split_at_mut(packed_len(hidden, joint));
        let joint_panels = arrange::<T, I>(joint_panels, Matrix::strided(kernel, hidden, joint, width));
        let candidate = Matrix::strided(&kernel[joint..], hidden, width - joint, width);
        let candidate_panels = arrange::<T, I>(candidate_panels, candidate);
        for time in 0..times {
            if time > 0 {
                let states = Matrix::strided(&output[(time - 1) * hidden..], examples, hidden, times * hidden);
                let out = &mut gates[time * width..];
                multiply::<T, I>(out, times * width, states, joint_panels, Start::Output);
                if joint < width {
                    let out = &mut memory[time * hidden..];
                    multiply::<T, I>(out, times * hidden, states, candidate_panels, Start::Zero);
                }
            }
            for example in 0..examples {
                // Slices of exactly `hidden` elements: the loops over them use vectors only when that is plain to see.
                let row = example * times + time;
                let here = row * hidden;
                let before = &mut before[here..][..hidden];
                if time == 0 {
                    before.fill(T::ZERO);
                } else {
                    before.copy_from_slice(&output[here - hidden..][..hidden]);
                }
                let (states, gates) = (&mut output[here..][..hidden], &mut gates[row * width..][..width]);
                match kind {
                    CellKind::Vanilla => {
                        for (state, gate) in states.iter_mut().zip(gates) {
                            *gate = gate.tanh::<I>();
                            *state = *gate;
                        }
                    }
                    CellKind::Gru => {
                        let candidates = &mut memory[here..][..hidden];
                        if time == 0 {
                            candidates.fill(T::ZERO);
                        }
                        let (reset_and_update, new) = gates.split_at_mut(2 * hidden);
                        for gate in reset_and_update.iter_mut() {
                            *gate = gate.sigmoid::<I>();
                        }
                        let (reset, update) = (&reset_and_update[..hidden], &reset_and_update[hidden..][..hidden]);
                        let new = &mut new[..hidden];
                        for j in 0..hidden {
                            new[j] = (new[j] + reset[j] * candidates[j]).tanh::<I>();
                            states[j] = new[j] + update[j] * (before[j] - new[j]);
                        }
                    }
                    CellKind::Lstm => {
                        let (input_and_forget, new_and_output) = gates.split_at_mut(2 * hidden);
                        let (input, forget) = input_and_forget.split_at_mut(hidden);
                        let (new, output) = new_and_output.split_at_mut(hidden);
                        let (forget, output) = (&mut forget[..hidden], &mut output[..hidden]);
                        let (earlier, cells) = memory.split_at_mut(here);
                        // Before the first time the cell is as empty as the state.
                        let earlier = if time == 0 { &*before } else { &earlier[here - hidden..][..hidden] };
                        let cells = &mut cells[..hidden];
                        for j in 0..hidden {
                            input[j] = input[j].sigmoid::<I>();
                            forget[j] = (forget[j] + T::ONE).sigmoid::<I>();
                            new[j] = new[j].tanh::<I>();
                            output[j] = output[j].sigmoid::<I>();
                            cells[j] = input[j].multiply_add::<I>(new[j], forget[j] * earlier[j]);
                            states[j] = output[j] * cells[j].tanh::<I>();
                        }
                    }
                }
            }
        }
    }
}

kernel! {
    /// All times backward: `gradient` becomes that of `a`, `delta` that of `h_{t-1} U` where it differs.
    fn unroll_back<T, I, ROWS>(
        gradient: &'a mut [T],
        delta: &'a mut [T],
        carried: &'a mut [T],
        carried_memory: &'a mut [T],
        output_gradient: &'a [T],
        gates: &'a [T],
        before: &'a [T],
        memory: &'a [T],
        kernel: &'a [T],
        shape: Shape,
        panels: &'a mut Vec<T>,
    ) {
        let Shape { kind, times, hidden } = shape;
        let (width, examples) = (kind.gates() * hidden, output_gradient.len() / (times * hidden));
        let panels = room(panels, packed_len(width, hidden));
        let panels = arrange::<T, I>(panels, Matrix::rows(kernel, width).transposed());
        let carried = &mut carried[..examples * hidden];
        carried.fill(T::ZERO);
        carried_memory.fill(T::ZERO);
        for time in (0..times).rev() {
            for example in 0..examples {
                let row = example * times + time;
                let here = row * hidden;
                let gates = &gates[row * width..][..width];
                let gate = |number: usize| &gates[number * hidden..][..hidden];
                let gradient = &mut gradient[row * width..][..width];
                let carried = &mut carried[example * hidden..][..hidden];
                for (carried, delta) in carried.iter_mut().zip(&output_gradient[here..][..hidden]) {
                    *carried += *delta;
                }
                match kind {
                    CellKind::Vanilla => {
                        for ((gradient, carried), gate) in gradient.iter_mut().zip(carried).zip(gates) {
                            *gradient = *carried * (T::ONE - *gate * *gate);
                            *carried = T::ZERO;
                        }
                    }
                    CellKind::Gru => {
                        let (reset, update, new) = (gate(0), gate(1), gate(2));
                        let (before, candidates) = (&before[here..][..hidden], &memory[here..][..hidden]);
                        let (for_reset, rest) = gradient.split_at_mut(hidden);
                        let (for_update, for_new) = rest.split_at_mut(hidden);
                        let (for_update, for_new) = (&mut for_update[..hidden], &mut for_new[..hidden]);
                        for j in 0..hidden {
                            let new_delta = carried[j] * (T::ONE - update[j]) * (T::ONE - new[j] * new[j]);
                            let update_delta = carried[j] * (before[j] - new[j]) * update[j] * (T::ONE - update[j]);
                            let reset_delta = new_delta * candidates[j] * reset[j] * (T::ONE - reset[j]);
                            carried[j] *= update[j];
                            for_reset[j] = reset_delta;
                            for_update[j] = update_delta;
                            for_new[j] = new_delta;
                        }
                        let delta = &mut delta[row * width..][..width];
                        delta.copy_from_slice(gradient);
                        for (delta, reset) in delta[2 * hidden..].iter_mut().zip(reset) {
                            *delta *= *reset;
                        }
                    }
                    CellKind::Lstm => {
                        let (input, forget, new, output) = (gate(0), gate(1), gate(2), gate(3));
                        let cells = &memory[here..][..hidden];
                        // Before the first time the cell is as empty as the state.
                        let earlier = if time == 0 { &before[here..] } else { &memory[here - hidden..] };
                        let earlier = &earlier[..hidden];
                        let memory_delta = &mut carried_memory[example * hidden..][..hidden];
                        let (for_input_and_forget, rest) = gradient.split_at_mut(2 * hidden);
                        let (for_input, for_forget) = for_input_and_forget.split_at_mut(hidden);
                        let (for_new, for_output) = rest.split_at_mut(hidden);
                        let (for_forget, for_output) = (&mut for_forget[..hidden], &mut for_output[..hidden]);
                        for j in 0..hidden {
                            let squashed = cells[j].tanh::<I>();
                            let through = carried[j] * output[j] * (T::ONE - squashed * squashed);
                            let cell_delta = memory_delta[j] + through;
                            for_input[j] = cell_delta * new[j] * input[j] * (T::ONE - input[j]);
                            for_forget[j] = cell_delta * earlier[j] * forget[j] * (T::ONE - forget[j]);
                            for_new[j] = cell_delta * input[j] * (T::ONE - new[j] * new[j]);
                            for_output[j] = carried[j] * squashed * output[j] * (T::ONE - output[j]);
                            memory_delta[j] = cell_delta * forget[j];
                            carried[j] = T::ZERO;
                        }
                    }
                }
            }
            if time > 0 {
                let delta = if kind == CellKind::Gru { &*delta } else { &*gradient };
                let delta = Matrix::strided(&delta[time * width..], examples, width, times * width);
                multiply::<T, I>(carried, hidden, delta, panels, Start::Output);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::check::assert_gradients;
    use crate::graph::{Regression, TargetSource};

    #[test]
    fn gradients_agree_with_finite_differences_for_every_cell() {
        for kind in [CellKind::Vanilla, CellKind::Gru, CellKind::Lstm] {
            for times in [1, 4] {
                assert_gradients(3, times * 2, |g, input| {
                    let x = g.reshape(input, 2);
                    let states = g.recurrent("cell", x, kind, 5, 1.0);
                    let out = g.dense("out", states, Dense::linear(2, 0.5));
                    g.regression(out, Regression::Squared, TargetSource::Inputs);
                });
            }
        }
    }
}
