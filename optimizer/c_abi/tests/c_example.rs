//! The C example, compiled against the header and the static library, and run; and bad calls.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::ptr;

use velo_optimizer_c::*;

/// The folder in which cargo has put the libraries of this crate: that of this test program.
fn libraries() -> PathBuf {
    std::env::current_exe().unwrap().parent().unwrap().to_owned()
}

/// Compiles and runs the example; nothing without a C compiler.
fn run_example(arguments: &[&str]) -> Option<Output> {
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!("skipped: there is no C compiler {}", compiler.display());
        return None;
    }
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("least_squares");
    let compiled = Command::new(&compiler)
        .args(["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I"])
        .arg(package.join("include"))
        .arg(package.join("examples/least_squares.c"))
        .arg(libraries().join("libvelo_optimizer_c.a"))
        .args(["-lm", "-lpthread", "-ldl", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    Some(Command::new(program).args(arguments).output().unwrap())
}

fn last_error() -> String {
    // SAFETY: the library gives text that ends with a zero.
    unsafe { CStr::from_ptr(velo_last_error()) }.to_str().unwrap().to_owned()
}

/// An AdamW for one tensor of three parameters.
fn adamw() -> *mut VeloOptimizer {
    let shape = [3];
    let tensor = VeloTensor { name: c"w".as_ptr(), shape: shape.as_ptr(), axes: 1 };
    // SAFETY: all pointers are valid.
    unsafe { velo_configure(c"{\"adamw\": {}}".as_ptr(), &tensor, 1) }
}

#[cfg(unix)]
#[test]
fn the_c_example_fits_its_line_and_resumes_bit_for_bit() {
    let Some(output) = run_example(&[]) else { return };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(text.lines().last(), Some("y = 3.000 x -2.000 after 1000 steps, the same when resumed"));
}

#[cfg(unix)]
#[test]
fn the_c_example_names_a_file_that_is_not_there() {
    let Some(output) = run_example(&["no/such.safetensors"]) else { return };
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().starts_with("error: no/such.safetensors: "));
}

#[test]
fn null_pointers_are_refused_by_name() {
    let mut size = 0;
    // SAFETY: null pointers are what is tested.
    unsafe {
        assert!(velo_load(ptr::null(), ptr::null(), 0).is_null());
        assert_eq!(last_error(), "weights is a null pointer");
        assert!(velo_configure(c"{\"adamw\": {}}".as_ptr(), ptr::null(), 1).is_null());
        assert_eq!(last_error(), "tensors is a null pointer");
        assert_eq!(velo_step(ptr::null_mut(), ptr::null_mut(), ptr::null(), 0, 0.0), VeloStatus::Error);
        assert_eq!(last_error(), "optimizer is a null pointer");
        assert_eq!(velo_save_state(ptr::null(), ptr::null_mut(), 0, &mut size), VeloStatus::Error);
        let optimizer = adamw();
        assert_eq!(velo_step(optimizer, ptr::null_mut(), ptr::null(), 3, 0.0), VeloStatus::Error);
        assert_eq!(last_error(), "params is a null pointer");
        assert_eq!(velo_save_state(optimizer, ptr::null_mut(), 9, &mut size), VeloStatus::Error);
        assert_eq!(last_error(), "buffer is a null pointer");
        velo_free(optimizer);
        velo_free(ptr::null_mut());
        assert_eq!((velo_param_count(ptr::null()), velo_steps_taken(ptr::null())), (0, 0));
    }
}

#[test]
fn bad_values_are_refused_with_what_is_expected() {
    let tensor = VeloTensor { name: c"w".as_ptr(), shape: ptr::null(), axes: 0 };
    // SAFETY: all pointers are valid.
    unsafe {
        assert!(velo_configure(c"{\"adamw\": {\"rate\": 1}}".as_ptr(), &tensor, 1).is_null());
        assert!(last_error().starts_with("json: unknown field `rate`"), "{}", last_error());
        assert!(velo_configure(c"{\"adamw\": {}}".as_ptr(), [tensor; 2].as_ptr(), 2).is_null());
        assert_eq!(last_error(), "tensor name \"w\" is used twice; names must be unique");
        let many = VeloTensor { axes: 65, ..tensor };
        assert!(velo_configure(c"{\"adamw\": {}}".as_ptr(), &many, 1).is_null());
        assert_eq!(last_error(), "a tensor has 65 axes, expected at most 64");
        let optimizer = adamw();
        assert_eq!(velo_step(optimizer, [0.0; 2].as_mut_ptr(), [0.0; 2].as_ptr(), 2, 0.0), VeloStatus::Error);
        assert_eq!(last_error(), "params has 2 elements, the layout has 3");
        assert_eq!(velo_set_weight_decay(optimizer, f32::NAN), VeloStatus::Error);
        assert_eq!(velo_set_cosine_schedule(optimizer, 0.1, 2.0), VeloStatus::Error);
        assert_eq!(last_error(), "floor is 2, expected a number from 0 to 1");
        assert_eq!(velo_load_state(optimizer, [1, 2, 3].as_ptr(), 3), VeloStatus::Error);
        assert!(last_error().starts_with("optimizer state: "), "{}", last_error());
        velo_free(optimizer);
    }
}

#[test]
fn a_step_on_gradients_that_are_not_finite_is_skipped_and_counted() {
    let optimizer = adamw();
    let mut params = [1.0f32, 2.0, 3.0];
    // SAFETY: all pointers are valid.
    unsafe {
        assert_eq!(velo_step(optimizer, params.as_mut_ptr(), [f32::NAN; 3].as_ptr(), 3, 0.0), VeloStatus::Skipped);
        assert_eq!((velo_steps_taken(optimizer), velo_steps_skipped(optimizer)), (0, 1));
        assert_eq!(params, [1.0, 2.0, 3.0]);
        assert_eq!(velo_step(optimizer, params.as_mut_ptr(), [1.0; 3].as_ptr(), 3, 0.0), VeloStatus::Ok);
        assert!(params[0] < 1.0);
        velo_free(optimizer);
    }
}

#[test]
fn the_parameters_to_evaluate_with_are_the_average_where_there_is_one() {
    let tensor = VeloTensor { name: c"w".as_ptr(), shape: [3].as_ptr(), axes: 1 };
    let json = c"{\"averaged\": {\"memory\": {\"Share\": 1.0}, \"inner\": {\"sgd\": {\"learning_rate\": 1.0}}}}";
    let (mut params, mut evaluated) = ([1.0f32, 2.0, 3.0], [0.0f32; 3]);
    // SAFETY: all pointers are valid, but for those that are null.
    unsafe {
        let optimizer = velo_configure(json.as_ptr(), &tensor, 1);
        assert!(!optimizer.is_null(), "{}", last_error());
        for _ in 0..2 {
            assert_eq!(velo_step(optimizer, params.as_mut_ptr(), [1.0; 3].as_ptr(), 3, 0.0), VeloStatus::Ok);
        }
        assert_eq!(velo_evaluation_params(optimizer, params.as_ptr(), evaluated.as_mut_ptr(), 3), VeloStatus::Ok);
        assert_eq!((params, evaluated), ([-1.0, 0.0, 1.0], [-0.5, 0.5, 1.5]));
        assert_eq!(velo_evaluation_params(optimizer, params.as_ptr(), ptr::null_mut(), 3), VeloStatus::Error);
        assert_eq!(last_error(), "out is a null pointer");
        assert_eq!(velo_evaluation_params(optimizer, params.as_ptr(), evaluated.as_mut_ptr(), 2), VeloStatus::Error);
        velo_free(optimizer);
    }
}

#[test]
fn a_buffer_that_is_too_small_is_refused_with_the_size_it_needs() {
    let optimizer = adamw();
    let (mut size, mut buffer) = (0, [0u8; 4]);
    // SAFETY: all pointers are valid.
    unsafe {
        assert_eq!(velo_save_state(optimizer, buffer.as_mut_ptr(), 4, &mut size), VeloStatus::Error);
        assert_eq!(last_error(), format!("buffer has room for 4 bytes, the state has {size}"));
        velo_free(optimizer);
    }
}
