//! The benchmark suite, with an optimizer and a task that it does not know.
//!
//! ```sh
//! cargo run --release -- run suite.ron
//! ```

mod line;
mod sign_momentum;

use std::process::ExitCode;
use std::sync::Arc;

use velo_benchmark::{Extensions, Parameters};

fn main() -> ExitCode {
    let extensions = Extensions::new().task("line", line::LineSource).optimizer("sign_momentum", |parameters| {
        let known = ["learning_rate", "decay"];
        if let Some(unknown) = parameters.keys().find(|name| !known.contains(&name.as_str())) {
            anyhow::bail!("sign_momentum has no parameter {unknown:?}; it has {}", known.join(" and "));
        }
        Ok(Arc::new(sign_momentum::Config {
            learning_rate: get(parameters, "learning_rate", 1e-3),
            decay: get(parameters, "decay", 0.9),
        }))
    });
    velo_benchmark::main(&extensions)
}

fn get(parameters: &Parameters, name: &str, default: f64) -> f32 {
    parameters.get(name).copied().unwrap_or(default) as f32
}
