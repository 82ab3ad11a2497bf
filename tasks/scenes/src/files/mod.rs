//! Data sets on disk: made by jobs, read at random, verified, counted, exported.

mod atomic;
pub mod cache;
pub mod coco;
pub mod contact_sheet;
pub mod contents;
pub mod dataset;
mod exr;
pub mod job;
pub mod job_log;
pub mod manifest;
pub mod movi;
pub mod npy;
pub mod picture;
pub mod rerender;
pub mod stats;
pub mod verify;

pub use cache::TrainingCache;
pub use dataset::{DataSet, SceneFiles};

/// Bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
