//! RON in and out: what mixtures, tables and fixed tasks are written in.
//!
//! Variants and newtypes are written without double parentheses (`Glyphs(side: 8)`), and `Some(..)` is optional, as in
//! the configuration files of the programs.

use std::path::Path;

use ron::error::{Error as RonError, SpannedError};
use ron::extensions::Extensions;
use ron::ser::PrettyConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::Error;
use crate::data::read_small_file;

/// Bytes of a configuration file at most.
const MAX_BYTES: u64 = 1 << 20;

fn options() -> ron::Options {
    ron::Options::default().with_default_extension(
        Extensions::IMPLICIT_SOME | Extensions::UNWRAP_NEWTYPES | Extensions::UNWRAP_VARIANT_NEWTYPES,
    )
}

/// The value that `text` spells; `name` is where it comes from, for messages.
///
/// # Errors
/// [`Error::CorruptData`] with line, column and what was expected.
pub(crate) fn parse<T: DeserializeOwned>(name: &str, text: &str) -> Result<T, Error> {
    options().from_str(text).map_err(|error| explained(name, &error))
}

/// The value in a file.
///
/// # Errors
/// [`Error::File`] when it cannot be read; [`Error::CorruptData`] for a long one, one that is not UTF-8, and as [`parse`].
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Error> {
    let (name, bytes) = (path.display().to_string(), read_small_file(path, MAX_BYTES)?);
    let text = String::from_utf8(bytes).map_err(|error| Error::corrupt(&name, format!("not UTF-8: {error}")))?;
    parse(&name, &text)
}

/// `value` on one line: equal values have equal texts.
pub(crate) fn compact<T: Serialize>(value: &T) -> String {
    options().to_string(value).expect("a configuration is plain data")
}

/// `value` as an indented document that [`parse`] takes back.
pub(crate) fn pretty<T: Serialize>(value: &T) -> String {
    let pretty = PrettyConfig::new().indentor("    ").struct_names(false).compact_arrays(true);
    let mut text = options().to_string_pretty(value, pretty).expect("a configuration is plain data");
    text.push('\n');
    text
}

fn explained(name: &str, error: &SpannedError) -> Error {
    let names = |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let problem = match &error.code {
        RonError::NoSuchStructField { expected, found, .. } => {
            format!("unknown field `{found}`, expected one of {}", names(expected))
        }
        RonError::NoSuchEnumVariant { expected, found, .. } => {
            format!("unknown name `{found}`, expected one of {}", names(expected))
        }
        RonError::MissingStructField { field, .. } => format!("field `{field}` is missing"),
        RonError::Eof => "the text ends too early: a bracket is not closed".to_owned(),
        other => other.to_string(),
    };
    let place = error.span.end;
    Error::corrupt(format!("{name}:{}:{}", place.line, place.col), problem)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TaskConfig;
    use crate::family::families;

    #[test]
    fn every_family_survives_both_forms() {
        for family in families() {
            let config = family.sample(5);
            assert_eq!(parse::<TaskConfig>("compact", &compact(&config)).unwrap(), config);
            assert_eq!(parse::<TaskConfig>("pretty", &pretty(&config)).unwrap(), config, "{}", pretty(&config));
        }
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        let complaint = |text: &str| parse::<TaskConfig>("task.ron", text).unwrap_err().to_string();
        let error = complaint("(name: \"t\",\n data: Glyphs(sied: 8),\n model: Surface())");
        assert!(error.starts_with("task.ron:2:19: unknown field `sied`, expected one of `seed`, `side`, "), "{error}");
        let error = complaint("(name: \"t\",\n model: Surfce())");
        assert!(error.starts_with("task.ron:2:15: unknown name `Surfce`, expected one of `Mlp`, "), "{error}");
        assert_eq!(complaint("(name: \"t\")"), "task.ron:1:11: field `model` is missing");
        assert_eq!(complaint("(name: \"t\""), "task.ron:1:11: Expected comma");
    }
}
