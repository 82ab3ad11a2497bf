//! The program `tasks` as its users meet it.

use std::path::Path;
use std::process::{Command, Output};

fn tasks(arguments: &[&str]) -> Output {
    tasks_in(Path::new("."), arguments)
}

fn tasks_in(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tasks")).current_dir(folder).args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What a successful call prints.
fn printed(arguments: &[&str]) -> String {
    let output = tasks(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// Exit code and message of a call that fails.
fn refused(arguments: &[&str]) -> (i32, String) {
    let output = tasks(arguments);
    assert!(!output.status.success() && output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    (output.status.code().unwrap(), text(&output.stderr))
}

#[test]
fn list_names_families_mixtures_and_fixed_tasks() {
    let list = printed(&["list"]);
    for name in ["mlp_glyphs", "learned_optimizer", "broad: ", "digits_mlp ", "validation_spirals", "42,634"] {
        assert!(list.contains(name), "no {name:?} in\n{list}");
    }
    let names = printed(&["list", "--group", "validation", "--names"]);
    assert_eq!(names.lines().count(), 12);
    assert!(names.lines().all(|name| name.starts_with("validation_")), "{names}");
}

#[test]
fn show_prints_definition_parameters_rows_and_a_curve_that_falls() {
    let shown = printed(&["show", "digits_mlp", "--steps", "200"]);
    for part in ["name: \"digits_mlp\"", "dense_0/kernel", "64×32", "2,410", "@@", "200 steps of AdamW", "% right"] {
        assert!(shown.contains(part), "no {part:?} in\n{shown}");
    }
    let label = |line: &str| line.split('│').next().unwrap().trim().parse::<f32>().ok();
    let labels: Vec<_> = shown.lines().filter(|line| line.contains('│')).filter_map(label).collect();
    assert!(labels.len() == 2 && labels[1] < 0.5 * labels[0], "{labels:?}");
}

#[test]
fn what_show_prints_is_a_file_that_show_reads_and_it_draws_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let shown = printed(&["show", "mlp_glyphs#3", "--steps", "0"]);
    let definition = shown.split("\n\n").next().unwrap();
    std::fs::write(folder.path().join("task.ron"), definition).unwrap();
    let output = tasks_in(folder.path(), &["show", "task.ron", "--steps", "5", "--png", "look.png"]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(text(&output.stdout).starts_with(definition));
    let picture = image::open(folder.path().join("look.png")).unwrap().into_rgb8();
    let colours: std::collections::BTreeSet<_> = picture.pixels().map(|pixel| pixel.0).collect();
    assert!(picture.height() > 200 && colours.len() > 10, "{} colours", colours.len());
}

#[test]
fn a_task_on_a_users_files_is_shown_and_its_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let task = "(name: \"mine\", data: Csv(path: \"t.csv\", label: \"kind\", target: Class), \
                model: Mlp(hidden: [4], activation: Relu), loss: SoftmaxCrossEntropy, batch_size: 4)";
    write("task.ron", task);
    write("t.csv", "kind,x,y\na,1,2\nb,3,1\na,1,3\nb,4,0\na,0,2\n");
    let shown = tasks_in(folder.path(), &["show", "task.ron", "--steps", "20"]);
    assert!(shown.status.success(), "{}", text(&shown.stderr));
    write("t.csv", "kind,x,y\na,1,2\nb,,1\n");
    let output = tasks_in(folder.path(), &["show", "task.ron"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stderr), "error: t.csv: line 3: the cell of column \"x\" is missing\n");
    write("task.ron", &task.replace("hidden", "hiden"));
    let output = tasks_in(folder.path(), &["show", "task.ron"]);
    assert!(text(&output.stderr).contains("task.ron:1:"), "{}", text(&output.stderr));
    assert!(
        text(&output.stderr).contains("unknown field `hiden`, expected one of `hidden`"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn sample_prints_equal_draws_for_equal_arguments_and_others_for_another_partition() {
    let drawn = printed(&["sample", "small", "--count", "5"]);
    assert_eq!(drawn, printed(&["sample", "small", "--count", "5"]));
    assert!(drawn.contains("µs") && drawn.contains("mean step"), "{drawn}");
    let held_out = printed(&["sample", "small", "--count", "5", "--partition", "validation"]);
    assert!(held_out.contains("#4611686018427387904"), "{held_out}");
    let ron = printed(&["sample", "small", "--count", "2", "--ron"]);
    assert_eq!(ron.matches("batch_size").count(), 2);
}

#[test]
fn bad_usage_is_one_clear_error_and_the_exit_code_two() {
    let (code, message) = refused(&["show", "digits_mpl"]);
    assert_eq!(code, 2);
    assert!(message.starts_with("error: there is no task or family \"digits_mpl\"; did you mean \"digits_mlp\"?"));
    let (code, message) = refused(&["show", "mlp_glyphs#seven"]);
    assert_eq!(code, 2);
    assert!(message.contains("number of a draw is \"seven\", expected a whole number"), "{message}");
    let (code, message) = refused(&["sample", "brod"]);
    assert_eq!((code, message.contains("did you mean \"broad\"?")), (2, true));
    assert_eq!(refused(&["sample", "broad", "--count", "0"]).0, 2);
    assert_eq!(refused(&["list", "--group", "none"]).0, 2);
    let (code, message) = refused(&["show", "missing.ron"]);
    assert_eq!(code, 1);
    assert!(message.starts_with("error: missing.ron: "), "{message}");
}

#[test]
fn time_does_not_replace_a_file_unasked() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("timing.ron"), "precious").unwrap();
    let output = tasks_in(folder.path(), &["time", "--out", "timing.ron"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("timing.ron exists; --overwrite replaces it"));
}
