//! Configurations that have a name: files of `presets/`, compiled in.

use super::GeneratorConfig;
use crate::Error;

const ALL: &[(&str, &str, &str)] = &[
    ("movi_a", "three to ten plain shapes, tossed", include_str!("../../presets/movi_a.ron")),
    ("movi_b", "many shapes, sizes and hues, cameras all around", include_str!("../../presets/movi_b.ron")),
    ("movi_c", "procedurally varied meshes with textures under a sky", include_str!("../../presets/movi_c.ron")),
    ("movi_d", "clutter at rest, hit by a few thrown objects", include_str!("../../presets/movi_d.ron")),
    ("movi_e", "as movi_d, with a camera that moves on a line", include_str!("../../presets/movi_e.ron")),
    ("movi_f", "as movi_e, with motion blur", include_str!("../../presets/movi_f.ron")),
    ("clevr", "stills of objects on a floor, with questions", include_str!("../../presets/clevr.ron")),
    (
        "classification",
        "one object per still: shape, colour, material, size",
        include_str!("../../presets/classification.ron"),
    ),
    ("signs", "text on plates among objects, to be read", include_str!("../../presets/signs.ron")),
    ("sprites", "flat figures that drift over each other, 32 pixels wide", include_str!("../../presets/sprites.ron")),
    ("stereo", "stills through two cameras side by side", include_str!("../../presets/stereo.ron")),
    ("pretraining", "25 views around one object", include_str!("../../presets/pretraining.ron")),
];

/// Names and one line about each.
pub fn list() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALL.iter().map(|&(name, about, _)| (name, about))
}

/// The text of a preset, comments included.
///
/// # Errors
/// [`Error::UnknownName`] with the nearest name.
pub fn text(name: &str) -> Result<&'static str, Error> {
    let found = ALL.iter().find(|(known, _, _)| *known == name);
    found.map(|(_, _, text)| *text).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|(name, _, _)| *name).collect();
        Error::unknown_name("preset", name, &names)
    })
}

/// A preset as a configuration.
///
/// # Errors
/// As [`text`].
pub fn named(name: &str) -> Result<GeneratorConfig, Error> {
    GeneratorConfig::from_text(name, text(name)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_valid_and_carries_its_name() {
        for (name, _) in list() {
            let config = named(name).unwrap();
            assert_eq!(config.name, name);
            config.check().unwrap();
        }
    }

    #[test]
    fn a_misspelt_preset_is_answered_with_the_nearest() {
        let error = named("movi_x").unwrap_err().to_string();
        assert!(error.contains("movi_") && error.contains("clevr"), "{error}");
    }
}
