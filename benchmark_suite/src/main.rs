//! The `benchmark_suite` program, with the tasks and optimizers of this workspace alone.

use std::process::ExitCode;

fn main() -> ExitCode {
    velo_benchmark::main(&velo_benchmark::Extensions::new())
}
