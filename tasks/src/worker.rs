//! Running one worker's work on exactly one thread.

use velo_optimizer::FlushDenormals;

use crate::Error;

/// Runs `work` inside a rayon pool of one thread, with denormals flushed to zero.
///
/// The autodiff's matrix products ask rayon for all the threads that they can get. In a pool of one they run
/// where they are called, so that many workers share the machine without fighting over a common pool.
///
/// # Errors
/// [`Error::Worker`] when the system gives no thread.
pub fn single_threaded<R: Send>(work: impl FnOnce() -> R + Send) -> Result<R, Error> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build()?;
    Ok(pool.install(|| {
        let _flush = FlushDenormals::new();
        work()
    }))
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn the_work_sees_one_thread() {
        assert_eq!(single_threaded(rayon::current_num_threads).unwrap(), 1);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn denormal_results_are_zero_inside() {
        let product = single_threaded(|| black_box(black_box(1e-30f32) * black_box(1e-12))).unwrap();
        assert_eq!(product, 0.0);
    }
}
