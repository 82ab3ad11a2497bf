//! Configuration files: RON in, a checked type out, with errors that name file, line, field and what was expected.
//!
//! `read("quick.ron", &["outer.learning_rate=3e-4"])` edits the text first (see `overrides`) and deserialises it
//! afterwards, so an override can do exactly what the file could have done. Types that are read should carry
//! `#[serde(deny_unknown_fields)]`. Variants and newtypes are written without double parentheses
//! (`AdamW(learning_rate: 0.003)`), and `Some(..)` is optional.

mod explain;
mod overrides;
mod text;

use std::fs::File;
use std::io::Read;
use std::path::Path;

use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;

/// Files above this size are refused before they are read: a configuration is never that long.
const LARGEST_FILE_BYTES: u64 = 1 << 20;

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(
        Extensions::IMPLICIT_SOME | Extensions::UNWRAP_NEWTYPES | Extensions::UNWRAP_VARIANT_NEWTYPES,
    )
}

/// Reads `path` as a `T`, after applying `overrides` of the form `field.subfield=value` in their order.
///
/// # Errors
/// [`Error::Io`] when the file cannot be read, [`Error::Override`] for an override that fits nowhere or breaks the
/// value, [`Error::Config`] for everything the file says wrong.
pub fn read<T: DeserializeOwned>(path: impl AsRef<Path>, overrides: &[String]) -> Result<T, Error> {
    let path = path.as_ref();
    parse(path, &read_bounded(path)?, overrides)
}

/// `text` as a `T`, after applying `overrides`; `path` is what errors call it.
///
/// # Errors
/// As [`read`], but for [`Error::Io`].
pub fn parse<T: DeserializeOwned>(path: impl AsRef<Path>, text: &str, overrides: &[String]) -> Result<T, Error> {
    let path = path.as_ref();
    let edited = overrides::apply(text, overrides, path)?;
    let mut deserializer = ron::Deserializer::from_str_with_options(&edited, &options())
        .map_err(|error| explain::config_error(path, &edited, "", &error))?;
    let value = match serde_path_to_error::deserialize(&mut deserializer) {
        Ok(value) => value,
        Err(error) => {
            let field = error.path().to_string();
            let spanned = deserializer.span_error(error.into_inner());
            let explained = explain::config_error(path, &edited, &field, &spanned);
            return Err(overrides::blame(overrides, &field, explained));
        }
    };
    deserializer.end().map_err(|error| {
        let spanned = deserializer.span_error(error);
        explain::config_error(path, &edited, "", &spanned)
    })?;
    Ok(value)
}

/// A copy of `value` with `changes` of the form `field.subfield=value`.
///
/// # Errors
/// [`Error::Override`] for a change that fits nowhere or breaks the value.
pub fn changed<T: Serialize + DeserializeOwned>(value: &T, changes: &[String]) -> Result<T, Error> {
    parse("the configuration", &to_string(value), changes)
}

/// `value` as an indented RON document that [`read`] takes back.
pub fn to_string<T: Serialize>(value: &T) -> String {
    let pretty = PrettyConfig::new().indentor("    ").struct_names(false);
    let mut text = options().to_string_pretty(value, pretty).expect("a configuration is plain data");
    text.push('\n');
    text
}

fn read_bounded(path: &Path) -> Result<String, Error> {
    let io = |source| Error::io(path, source);
    let file = File::open(path).map_err(io)?;
    let mut text = String::new();
    file.take(LARGEST_FILE_BYTES + 1).read_to_string(&mut text).map_err(io)?;
    if text.len() as u64 > LARGEST_FILE_BYTES {
        let problem = format!("is longer than {LARGEST_FILE_BYTES} bytes, too long for a configuration");
        return Err(Error::Malformed { path: path.to_owned(), problem });
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize, Default)]
    #[serde(deny_unknown_fields, default)]
    struct Rates {
        learning_rate: f32,
        weight_decay: Option<f32>,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Rule {
        AdamW(Rates),
        Sgd(Rates),
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Run {
        label: String,
        steps: u64,
        #[serde(default)]
        outer: Rates,
        rules: Vec<Rule>,
    }

    const GOOD: &str = r#"// a comment
(
    label: "first, (light)", /* (nested /* ( */ ) */
    steps: 500,
    rules: [AdamW(learning_rate: 0.003), Sgd(learning_rate: 0.1, weight_decay: 0.5)],
)
"#;

    fn read_text(text: &str, overrides: &[&str]) -> Result<Run, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("run.ron");
        std::fs::write(&path, text).unwrap();
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        let shown = path.display().to_string();
        read(&path, &overrides).map_err(|error| error.to_string().replace(&shown, "run.ron"))
    }

    #[test]
    fn variants_read_without_double_parentheses_and_survive_a_round_trip() {
        let run = read_text(GOOD, &[]).unwrap();
        assert_eq!(run.rules[1], Rule::Sgd(Rates { learning_rate: 0.1, weight_decay: Some(0.5) }));
        assert_eq!(read_text(&to_string(&run), &[]).unwrap(), run);
    }

    #[test]
    fn an_override_replaces_a_value_at_any_depth() {
        let run = read_text(GOOD, &["steps=7", "rules.1.learning_rate=3e-2", "label=\"b\""]).unwrap();
        assert_eq!((run.steps, run.label.as_str()), (7, "b"));
        assert_eq!(run.rules[1], Rule::Sgd(Rates { learning_rate: 0.03, weight_decay: Some(0.5) }));
    }

    #[test]
    fn an_override_adds_a_field_that_the_file_leaves_at_its_default() {
        let run = read_text(GOOD, &["outer.weight_decay=0.25", "rules.0.weight_decay=1.0"]).unwrap();
        assert_eq!(run.outer.weight_decay, Some(0.25));
        assert_eq!(run.rules[0], Rule::AdamW(Rates { learning_rate: 0.003, weight_decay: Some(1.0) }));
    }

    #[test]
    fn a_misspelt_field_is_named_with_line_and_nearest_field() {
        let text = GOOD.replace("steps", "stpes");
        assert_eq!(
            read_text(&text, &[]).unwrap_err(),
            "run.ron:4:5: unknown field `stpes`, did you mean `steps`? expected one of `label`, `steps`, `outer`, `rules`"
        );
    }

    #[test]
    fn a_misspelt_field_inside_a_list_is_named_by_its_path() {
        let text = GOOD.replace("learning_rate: 0.1", "learning_rte: 0.1");
        assert_eq!(
            read_text(&text, &[]).unwrap_err(),
            "run.ron:5:46: in `rules[1].Sgd`: unknown field `learning_rte`, did you mean `learning_rate`? \
             expected one of `learning_rate`, `weight_decay`"
        );
    }

    #[test]
    fn an_unknown_variant_names_the_nearest() {
        let text = GOOD.replace("AdamW(", "AdmW(");
        let message = read_text(&text, &[]).unwrap_err();
        assert!(
            message.starts_with("run.ron:5:13: in `rules[0]`: unknown name `AdmW`, did you mean `AdamW`?"),
            "{message}"
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_names_its_field() {
        let message = read_text(&GOOD.replace("500", "\"many\""), &[]).unwrap_err();
        assert!(message.starts_with("run.ron:4:12: in `steps`: expected an integer"), "{message}");
        let message = read_text(&GOOD.replace("500", "-3"), &[]).unwrap_err();
        assert!(message.starts_with("run.ron:4:") && message.contains("`steps`"), "{message}");
    }

    #[test]
    fn a_missing_field_and_a_missing_bracket_are_told() {
        let message = read_text(&GOOD.replace("steps: 500,", ""), &[]).unwrap_err();
        assert!(message.contains("field `steps` is missing"), "{message}");
        let message = read_text(GOOD.trim_end().trim_end_matches(')'), &[]).unwrap_err();
        assert!(message.starts_with("run.ron:"), "{message}");
    }

    #[test]
    fn an_override_of_an_unknown_field_blames_the_override() {
        let message = read_text(GOOD, &["outer.learning_rte=1.0"]).unwrap_err();
        assert!(
            message.starts_with("--set outer.learning_rte=1.0: in `outer`: unknown field `learning_rte`, did you mean"),
            "{message}"
        );
        let message = read_text(GOOD, &["rules.1.momentm=0.9"]).unwrap_err();
        assert!(message.starts_with("--set rules.1.momentm=0.9: in `rules[1].Sgd`: unknown field"), "{message}");
        let message = read_text(GOOD, &["steps=fast"]).unwrap_err();
        assert!(message.starts_with("--set steps=fast: in `steps`: expected an integer"), "{message}");
    }

    #[test]
    fn an_override_without_a_value_or_outside_a_list_is_refused() {
        for (argument, expected) in [
            ("steps", "expected field=value"),
            ("steps=", "expected field=value"),
            ("rules.7.learning_rate=1", "`rules` has 2 elements, there is no element 7"),
            ("label.size=1", "`label` has no fields"),
            ("steps=1, label: \"x\"", "is not a single value"),
            ("steps=(1", "is not a single value"),
        ] {
            let message = read_text(GOOD, &[argument]).unwrap_err();
            assert!(message.starts_with("--set") && message.contains(expected), "{argument}: {message}");
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = read::<Run>("no/such/file.ron", &[]).unwrap_err();
        assert!(error.to_string().starts_with("no/such/file.ron: "), "{error}");
    }
}
