//! Recorded runs of published implementations, and the comparison of an optimizer with one of them.
//!
//! The files and their provenance are described in `tests/reference/README.md`.
#![allow(dead_code, reason = "every test takes what it needs")]

pub mod learned;

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use serde_json::Value;
use velo_optimizer::{Optimizer, ParamLayout};

/// Deviation allowed on a tensor, relative to its largest magnitude over the run.
pub const TOLERANCE: f32 = 1e-5;

/// One recorded run: what was fed in, and the parameters after every step.
pub struct Case {
    /// The name of its file.
    pub name: String,
    /// The configuration of the reference implementation, as recorded.
    pub config: Value,
    /// The announced number of steps, where there was one.
    pub horizon: Option<u64>,
    /// The tensors of the run, in order.
    pub layout: ParamLayout,
    /// Row `k` holds the flat parameters after `k` steps.
    pub params: Vec<Vec<f32>>,
    /// Row `k` holds the flat parameters to evaluate with after `k + 1` steps, where they were recorded.
    evaluation: Option<Vec<Vec<f32>>>,
    /// Row `k` holds the flat gradients of step `k`, counted from zero.
    pub grads: Vec<Vec<f32>>,
    /// The losses of the steps.
    pub losses: Vec<f32>,
    /// The file itself.
    bytes: Vec<u8>,
}

/// The folder of the recorded files.
pub fn reference_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/reference")
}

impl Case {
    /// Reads `cases/<name>.safetensors` and the inputs that it was run on.
    pub fn load(name: &str) -> Self {
        Self::load_without(name, &[])
    }

    /// The same run without some of its tensors, for optimizers that treat every tensor by itself.
    pub fn load_without(name: &str, left_out: &[&str]) -> Self {
        let bytes = read(&format!("cases/{name}.safetensors"));
        let file = SafeTensors::deserialize(&bytes).expect("a safetensors file");
        let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a safetensors header");
        let json = metadata.metadata().as_ref().and_then(|map| map.get("json")).expect("metadata key json");
        let json: Value = serde_json::from_str(json).expect("metadata is JSON");
        let recorded = json["names"].as_array().unwrap().iter().map(|name| name.as_str().unwrap());
        let names: Vec<&str> = recorded.filter(|name| !left_out.contains(name)).collect();
        let shapes = names.iter().map(|name| file.tensor(&format!("params/{name}")).unwrap().shape()[1..].to_vec());
        let layout = ParamLayout::new(names.iter().copied().zip(shapes)).unwrap();

        let inputs = read(&format!("inputs/{}.safetensors", json["inputs"].as_str().unwrap()));
        let inputs = SafeTensors::deserialize(&inputs).expect("a safetensors file");
        let recorded = file.names().iter().any(|name| name.starts_with("eval_params/"));
        Self {
            name: name.to_owned(),
            config: json["config"].clone(),
            horizon: json["num_steps"].as_u64(),
            params: rows(&file, "params", &layout),
            evaluation: recorded.then(|| rows(&file, "eval_params", &layout)),
            grads: rows(&inputs, "grad", &layout),
            losses: floats(&inputs, "loss"),
            layout,
            bytes,
        }
    }

    /// Shape and values of another array of the file, such as `state/1/rms/b_vec5`.
    pub fn array(&self, name: &str) -> Option<(Vec<usize>, Vec<f32>)> {
        let file = SafeTensors::deserialize(&self.bytes).expect("a safetensors file");
        let shape = file.tensor(name).ok()?.shape().to_vec();
        Some((shape, floats(&file, name)))
    }

    /// The same run with the axes of a square matrix exchanged.
    pub fn transpose(&mut self, name: &str) {
        let tensor = self.layout.get(name).expect("a tensor of the run");
        let (range, side) = (tensor.range.clone(), tensor.shape[0]);
        assert_eq!(tensor.shape, [side, side]);
        for row in self.params.iter_mut().chain(&mut self.grads) {
            let old = row[range.clone()].to_vec();
            for (index, value) in row[range.clone()].iter_mut().enumerate() {
                *value = old[index % side * side + index / side];
            }
        }
    }

    /// Feeds the recorded gradients to `optimizer` and calls `after(optimizer, step, params)` with the number of
    /// steps done, until it returns an error.
    pub fn replay<O: Optimizer + ?Sized>(
        &self,
        optimizer: &mut O,
        mut after: impl FnMut(&O, usize, &[f32]) -> Result<(), String>,
    ) -> Result<(), String> {
        optimizer.set_horizon(self.horizon);
        let mut params = self.params[0].clone();
        for (step, (grads, &loss)) in self.grads.iter().zip(&self.losses).enumerate() {
            optimizer.step(&mut params, grads, loss).map_err(|error| format!("{}: {error}", self.name))?;
            after(optimizer, step + 1, &params)?;
        }
        Ok(())
    }

    /// Feeds the recorded gradients to `optimizer`. The first deviation above `tolerance · max|params|` of a
    /// tensor is an error naming case, tensor and step.
    pub fn check(&self, optimizer: &mut dyn Optimizer, tolerance: f32) -> Result<(), String> {
        let mut evaluated = self.params[0].clone();
        self.replay(optimizer, |optimizer, step, params| {
            self.compare_params(params, step, tolerance)?;
            if let Some(evaluation) = &self.evaluation {
                optimizer.evaluation_params(params, &mut evaluated).map_err(|error| error.to_string())?;
                self.compare("evaluation params", &evaluated, evaluation, step - 1, step, tolerance)?;
            }
            Ok(())
        })
    }

    /// Compares the flat parameters after `step` steps with the recorded ones.
    pub fn compare_params(&self, params: &[f32], step: usize, tolerance: f32) -> Result<(), String> {
        self.compare("params", params, &self.params, step, step, tolerance)
    }

    fn compare(
        &self,
        what: &str,
        got: &[f32],
        expected: &[Vec<f32>],
        row: usize,
        step: usize,
        tolerance: f32,
    ) -> Result<(), String> {
        for tensor in self.layout.tensors() {
            let range = tensor.range.clone();
            let largest = expected.iter().flat_map(|row| &row[range.clone()]).fold(0.0f32, |max, x| max.max(x.abs()));
            for (index, (got, want)) in got[range.clone()].iter().zip(&expected[row][range]).enumerate() {
                let allowed = tolerance * largest;
                if got.is_nan() || (got - want).abs() > allowed {
                    let (case, name) = (&self.name, &tensor.name);
                    return Err(format!(
                        "{case}: {what} of {name}[{index}] after step {step}: got {got}, expected {want} ± {allowed:e}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// Reads a file of the reference folder.
pub fn read(file: &str) -> Vec<u8> {
    let path = reference_folder().join(file);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn floats(file: &SafeTensors, name: &str) -> Vec<f32> {
    let tensor = file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// The tensors `prefix/<name>`, whose leading axis is the step, as flat rows in the order of the layout.
fn rows(file: &SafeTensors, prefix: &str, layout: &ParamLayout) -> Vec<Vec<f32>> {
    let steps = layout
        .tensors()
        .first()
        .map_or(0, |tensor| file.tensor(&format!("{prefix}/{}", tensor.name)).unwrap().shape()[0]);
    let mut rows = vec![vec![0.0; layout.len()]; steps];
    for tensor in layout.tensors() {
        let values = floats(file, &format!("{prefix}/{}", tensor.name));
        for (row, values) in rows.iter_mut().zip(values.chunks_exact(tensor.len())) {
            row[tensor.range.clone()].copy_from_slice(values);
        }
    }
    rows
}
