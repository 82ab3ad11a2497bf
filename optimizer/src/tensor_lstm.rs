//! Mixing across tensors and a recurrent cell: one row per tensor, with heads that steer the per-parameter
//! network.
//!
//! With `X` one row of features per tensor:
//!
//! ```text
//! u = relu(X A₁ + a₁)      x = X A₂ + a₂ + max over tensors of u
//! [i, g, f, o] = [x, hidden] W + b
//! cell ← σ(f + 1) cell + σ(i) tanh(g)      hidden ← σ(o) tanh(cell)
//! controls = hidden C + c      step = hidden S + s
//! ```
//!
//! The weights also hold a first layer `linear` whose result the published implementation throws away; it is
//! kept so that files stay complete.

use crate::matmul::{Addend, Dims, Left, matmul};
use crate::state::{Slot, StateLayout, parts};
use crate::{Error, ParamLayout};

/// Sizes of the recurrent network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LstmSizes {
    pub inputs: usize,
    pub width: usize,
    /// Width of the control head; zero for none.
    pub controls: usize,
}

impl LstmSizes {
    /// Names and shapes of the weights, in the order of `theta`.
    pub fn theta_tensors(&self) -> Vec<(String, Vec<usize>)> {
        let Self { inputs, width, controls } = *self;
        let mut tensors = vec![
            ("lstm_init_state/hidden", vec![1, width]),
            ("lstm_init_state/cell", vec![1, width]),
            ("rnn_params/linear/w", vec![inputs, width]),
            ("rnn_params/linear/b", vec![width]),
            ("rnn_params/linear_1/w", vec![inputs, width]),
            ("rnn_params/linear_1/b", vec![width]),
            ("rnn_params/linear_2/w", vec![inputs, width]),
            ("rnn_params/linear_2/b", vec![width]),
            ("rnn_params/rnn/linear/w", vec![2 * width, 4 * width]),
            ("rnn_params/rnn/linear/b", vec![4 * width]),
            ("rnn_params/step_size/w", vec![width, 1]),
            ("rnn_params/step_size/b", vec![1]),
        ];
        if controls > 0 {
            tensors.push(("rnn_params/rnn_to_controls/w", vec![width, controls]));
            tensors.push(("rnn_params/rnn_to_controls/b", vec![controls]));
        }
        tensors.into_iter().map(|(name, shape)| (name.to_owned(), shape)).collect()
    }

    /// Rejects sizes that are zero or would not fit in memory.
    pub fn check(&self) -> Result<(), Error> {
        if (1..=4096).contains(&self.width) {
            return Ok(());
        }
        let found = self.width.to_string();
        Err(Error::InvalidHyperParameter { field: "lstm_width", found, expected: "between 1 and 4096" })
    }
}

/// A weight matrix and its bias.
#[derive(Debug, Clone, Default)]
struct Linear {
    weights: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    fn read(theta: &[f32], layout: &ParamLayout, name: &str) -> Self {
        let part = |leaf: &str| {
            let tensor = layout.get(&format!("rnn_params/{name}/{leaf}")).expect("a weight of this architecture");
            theta[tensor.range.clone()].to_vec()
        };
        Self { weights: part("w"), bias: part("b") }
    }

    /// `out ← input · weights + bias` for `rows` rows.
    fn apply(&self, out: &mut [f32], input: &[f32], rows: usize) {
        let cols = self.bias.len();
        for row in out.chunks_exact_mut(cols) {
            row.copy_from_slice(&self.bias);
        }
        let dims = Dims { rows, depth: input.len() / rows, cols };
        matmul(out, Left::Plain(input), &self.weights, dims, 1.0, Addend::Before(1.0));
    }
}

/// The recurrent network over `rows` tensors.
#[derive(Debug, Clone)]
pub(crate) struct TensorLstm {
    sizes: LstmSizes,
    rows: usize,
    hidden: Slot,
    cell: Slot,
    initial: [Vec<f32>; 2],
    mixing: Linear,
    input: Linear,
    gates: Linear,
    step_head: Linear,
    control_head: Linear,
    mixed: Vec<f32>,
    joined: Vec<f32>,
    gate_sums: Vec<f32>,
    /// One number per tensor: the output of the step head.
    pub steps: Vec<f32>,
    /// One row per tensor: the output of the control head.
    pub controls: Vec<f32>,
}

impl TensorLstm {
    /// Lays out the recurrent state of tensors with these names and sizes the buffers.
    pub fn new<'n>(
        sizes: LstmSizes,
        names: impl ExactSizeIterator<Item = &'n str> + Clone,
        state: &mut StateLayout,
    ) -> Self {
        let rows = names.len();
        let width = sizes.width;
        let mut slot = |kind: &str| {
            names
                .clone()
                .map(|name| state.tensor(&format!("{kind}/{name}"), &[width]))
                .reduce(Slot::join)
                .unwrap_or_else(|| state.tensor(kind, &[0]))
        };
        Self {
            hidden: slot("lstm_hidden"),
            cell: slot("lstm_cell"),
            rows,
            initial: [vec![0.0; width], vec![0.0; width]],
            mixing: Linear::default(),
            input: Linear::default(),
            gates: Linear::default(),
            step_head: Linear::default(),
            control_head: Linear::default(),
            mixed: vec![0.0; rows * width],
            joined: vec![0.0; rows * 2 * width],
            gate_sums: vec![0.0; rows * 4 * width],
            steps: vec![0.0; rows],
            controls: vec![0.0; rows * sizes.controls],
            sizes,
        }
    }

    /// Replaces the weights by those of `theta`.
    pub fn set_theta(&mut self, theta: &[f32], layout: &ParamLayout) {
        let read = |name| Linear::read(theta, layout, name);
        self.initial = ["hidden", "cell"].map(|leaf| {
            let tensor = layout.get(&format!("lstm_init_state/{leaf}")).expect("a weight of this architecture");
            theta[tensor.range.clone()].to_vec()
        });
        (self.mixing, self.input) = (read("linear_1"), read("linear_2"));
        (self.gates, self.step_head) = (read("rnn/linear"), read("step_size"));
        if self.sizes.controls > 0 {
            self.control_head = read("rnn_to_controls");
        }
    }

    /// Writes the learned initial state into every row: before the first update.
    pub fn reset(&self, state: &mut [f32]) {
        let [hidden, cell] = parts(state, [self.hidden, self.cell]);
        for (rows, initial) in [(hidden, &self.initial[0]), (cell, &self.initial[1])] {
            rows.chunks_exact_mut(self.sizes.width).for_each(|row| row.copy_from_slice(initial));
        }
    }

    /// One step of the cell on one row of features per tensor; fills `steps` and `controls`. The state is
    /// left as it was unless `advance` is set.
    pub fn update(&mut self, state: &mut [f32], features: &[f32], advance: bool) {
        let (rows, width) = (self.rows, self.sizes.width);
        if rows == 0 {
            return;
        }
        let [hidden, cell] = parts(state, [self.hidden, self.cell]);
        self.mixing.apply(&mut self.mixed, features, rows);
        let (largest, others) = self.mixed.split_at_mut(width);
        largest.iter_mut().for_each(|value| *value = value.max(0.0));
        for row in others.chunks_exact(width) {
            largest.iter_mut().zip(row).for_each(|(largest, &value)| *largest = largest.max(value));
        }
        let (largest, x) = (&self.mixed[..width], &mut self.gate_sums[..rows * width]);
        self.input.apply(x, features, rows);
        for ((joined, x), hidden) in
            self.joined.chunks_exact_mut(2 * width).zip(x.chunks_exact(width)).zip(hidden.chunks_exact(width))
        {
            let (left, right) = joined.split_at_mut(width);
            left.iter_mut().zip(x).zip(largest).for_each(|((left, x), largest)| *left = x + largest);
            right.copy_from_slice(hidden);
        }
        self.gates.apply(&mut self.gate_sums, &self.joined, rows);
        // The new hidden rows go where the features were mixed: the state may have to stay.
        for (row, gates) in self.gate_sums.chunks_exact(4 * width).enumerate() {
            let row = row * width..(row + 1) * width;
            let (new_hidden, old_cell) = (&mut self.mixed[row.clone()], &mut cell[row]);
            for j in 0..width {
                let [i, g, f, o] = [0, 1, 2, 3].map(|gate| gates[gate * width + j]);
                let new_cell = sigmoid(f + 1.0) * old_cell[j] + sigmoid(i) * g.tanh();
                new_hidden[j] = sigmoid(o) * new_cell.tanh();
                if advance {
                    old_cell[j] = new_cell;
                }
            }
        }
        self.step_head.apply(&mut self.steps, &self.mixed, rows);
        if self.sizes.controls > 0 {
            self.control_head.apply(&mut self.controls, &self.mixed, rows);
        }
        if advance {
            hidden.copy_from_slice(&self.mixed);
        }
    }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + (-x).exp())
}
