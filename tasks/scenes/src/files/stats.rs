//! What a data set holds, counted.

use std::collections::BTreeMap;

use super::dataset::DataSet;
use crate::Error;
use crate::text::{Answer, Meaning};

/// Counts over all scenes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Stats {
    /// Scenes per split.
    pub splits: BTreeMap<&'static str, usize>,
    /// Scenes per number of objects.
    pub objects: BTreeMap<usize, usize>,
    /// Objects per word.
    pub words: BTreeMap<String, usize>,
    /// Objects per tenth of their visible fraction in the first frame of the first camera; those outside are absent.
    pub visible: [usize; 10],
    /// Collisions between objects (not with the floor).
    pub collisions: usize,
    /// Sentences per language.
    pub languages: BTreeMap<&'static str, usize>,
    /// Answers per kind of question.
    pub answers: BTreeMap<String, usize>,
}

/// Counts a data set.
///
/// # Errors
/// As reading its files.
pub fn stats(data: &DataSet) -> Result<Stats, Error> {
    let mut stats = Stats::default();
    for files in data.scenes() {
        let (metadata, texts) = (files.metadata()?, files.texts()?);
        *stats.splits.entry(files.split().name()).or_default() += 1;
        *stats.objects.entry(metadata.objects.len()).or_default() += 1;
        stats.collisions += metadata.collisions.iter().filter(|c| c.ids[0] > 0).count();
        for object in &metadata.objects {
            let words = [Some(&object.shape), object.color.as_ref(), Some(&object.material), object.size.as_ref()];
            for word in words.into_iter().flatten() {
                *stats.words.entry(word.clone()).or_default() += 1;
            }
        }
        for seen in metadata.cameras.iter().take(1).flat_map(|camera| &camera.objects) {
            if let (Some(amodal), Some(occluded)) = (seen.amodal.first(), seen.occluded.first())
                && *amodal > 0
            {
                stats.visible[(((1.0 - occluded) * 10.0) as usize).min(9)] += 1;
            }
        }
        for sentence in &texts.sentences {
            *stats.languages.entry(sentence.language.name()).or_default() += 1;
            if let Some(answer) = &sentence.answer {
                *stats.answers.entry(format!("{} = {}", kind(&sentence.meaning), value(answer))).or_default() += 1;
            }
        }
    }
    Ok(stats)
}

fn kind(meaning: &Meaning) -> &'static str {
    match meaning {
        Meaning::Shows(_) => "shows",
        Meaning::Relates(..) => "relation",
        Meaning::Count(_) => "count",
        Meaning::Exists(_) => "existence",
        Meaning::ColorOf(_) => "color",
        Meaning::MaterialOf(_) => "material",
        Meaning::ShapeOf(_) => "shape",
        Meaning::SizeOf(_) => "size",
        Meaning::Collide(..) => "collision",
        Meaning::Reading => "reading",
    }
}

fn value(answer: &Answer) -> String {
    match answer {
        Answer::Truth(truth) => truth.to_string(),
        Answer::Number(number) => number.to_string(),
        Answer::Color(color) => color.name().to_owned(),
        Answer::Material(material) => material.name().to_owned(),
        Answer::Shape(shape) => shape.name().to_owned(),
        Answer::Size(size) => size.name().to_owned(),
        Answer::Text(_) => "text".to_owned(),
    }
}
