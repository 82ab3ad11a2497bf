//! Whether two configurations make the same theta, and where they differ.

use std::path::Path;

use crate::Error;
use crate::config::Config;

/// The part of a configuration that decides what theta becomes.
pub(crate) fn identity(config: &Config) -> serde_json::Value {
    let mut value = serde_json::to_value(config).expect("a configuration is plain data");
    if let Some(fields) = value.as_object_mut() {
        for field in ["checkpoints", "selection", "evaluation"] {
            fields.remove(field);
        }
        for (section, field) in [("budget", "max_seconds"), ("reference", "cache"), ("validation", "cache")] {
            if let Some(section) = fields.get_mut(section).and_then(serde_json::Value::as_object_mut) {
                section.remove(field);
            }
        }
    }
    value
}

/// Refuses a configuration under which theta would become something else than under `saved`.
pub(crate) fn require_same(path: &Path, saved: &Config, now: &Config) -> Result<(), Error> {
    let differing = differing_fields(&identity(saved), &identity(now));
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::OtherConfiguration { path: path.to_owned(), differing })
}

/// Paths of the fields whose values differ, with both values.
fn differing_fields(saved: &serde_json::Value, now: &serde_json::Value) -> Vec<String> {
    fn walk(path: &str, saved: &serde_json::Value, now: &serde_json::Value, found: &mut Vec<String>) {
        match (saved.as_object(), now.as_object()) {
            (Some(a), Some(b)) => {
                let keys = a.keys().chain(b.keys().filter(|key| !a.contains_key(*key)));
                for key in keys {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    let null = serde_json::Value::Null;
                    walk(&path, a.get(key).unwrap_or(&null), b.get(key).unwrap_or(&null), found);
                }
            }
            _ if saved != now => found.push(format!("{path} ({} then, {} now)", shown(saved), shown(now))),
            _ => {}
        }
    }
    // Most fractions of a configuration are an f32; as an f64 they would show digits that nobody wrote.
    fn shown(value: &serde_json::Value) -> String {
        value
            .as_f64()
            .filter(|_| value.is_f64())
            .map_or_else(|| value.to_string(), |number| (number as f32).to_string())
    }
    let mut found = Vec::new();
    walk("", saved, now, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_fields_are_named_with_both_values() {
        let saved = Config::default();
        let mut now = saved.clone();
        now.estimator.sigma = 0.5;
        now.evaluation.steps = 7;
        let differing = differing_fields(&identity(&saved), &identity(&now));
        assert_eq!(differing.len(), 1, "{differing:?}");
        assert!(
            differing[0].starts_with("estimator.sigma (0.0") && differing[0].ends_with("0.5 now)"),
            "{differing:?}"
        );
    }
}
