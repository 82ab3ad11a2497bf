//! Re-derives answers from what is on disk, by a path of its own.
//!
//! Input are the sentences, the scene, and counts of pixels taken from the segmentation; nothing of the writer is
//! used but the lexicon. Objects are found by trying all of them against the words, relations by projecting centres
//! with OpenCV's matrices, collisions from the list of events. The surface of a sentence is read, too: the colour words
//! in it must be those of its meaning.

use super::{Answer, Meaning, Pattern, Relation, Sentence, Texts, facts, languages};
use crate::description::{Color, Scene, Shape};

/// Visible and amodal pixels of each object at the frame that the texts speak about.
pub(crate) struct Counts<'a> {
    pub(crate) visible: &'a [u32],
    pub(crate) amodal: &'a [u32],
}

/// The first problem of the texts, if there is one.
pub(crate) fn problem(scene: &Scene, texts: &Texts, counts: &Counts<'_>) -> Option<String> {
    texts.sentences.iter().find_map(|sentence| {
        let wrong = disagreement(scene, texts.frame, sentence, counts)?;
        Some(format!("{:?}: {wrong}", sentence.text))
    })
}

/// Ids of all visible objects that have the words.
fn fitting(scene: &Scene, pattern: &Pattern, counts: &Counts<'_>) -> Vec<usize> {
    let mut ids = Vec::new();
    for (index, object) in scene.objects.iter().enumerate() {
        let mut fits = counts.visible[index] > 0;
        if let Some(shape) = pattern.shape {
            fits &= object.shape == shape;
        }
        if let Some(color) = pattern.color {
            fits &= object.color == Some(color);
        }
        if let Some(size) = pattern.size {
            fits &= object.size == Some(size);
        }
        if let Some(material) = pattern.material {
            fits &= object.surface.material == material;
        }
        if fits {
            ids.push(index);
        }
    }
    ids
}

fn is_clear(scene: &Scene, index: usize, counts: &Counts<'_>) -> bool {
    let pixels = (scene.image.width * scene.image.height) as f64;
    f64::from(counts.visible[index]) >= facts::LEAST_FRACTION * f64::from(counts.amodal[index])
        && f64::from(counts.visible[index]) >= facts::LEAST_SHARE * pixels
}

/// Column and depth of an object's centre, by the matrices K and [R | t].
fn place(scene: &Scene, frame: usize, index: usize) -> (f64, f64) {
    let view = scene.cameras[0].view(frame as i64, scene.image.width, scene.image.height);
    let p = scene.trajectory[frame + 1][index].pose.position;
    let (k, e) = (view.opencv_intrinsics(), view.opencv_extrinsics());
    let camera = |r: usize| e[r][0] * p.x + e[r][1] * p.y + e[r][2] * p.z + e[r][3];
    let perspective = matches!(scene.cameras[0].lens, crate::description::Lens::Perspective { .. });
    let divisor = if perspective { camera(2) } else { 1.0 };
    (k[0][0] * camera(0) / divisor + k[0][2], camera(2))
}

fn disagreement(scene: &Scene, frame: usize, sentence: &Sentence, counts: &Counts<'_>) -> Option<String> {
    if let Some(problem) = misworded(sentence) {
        return Some(problem);
    }
    let expected = match &sentence.meaning {
        Meaning::Shows(patterns) => {
            let missing =
                patterns.iter().find(|p| !fitting(scene, p, counts).iter().any(|&i| is_clear(scene, i, counts)));
            return missing.map(|p| format!("nothing clearly visible is {p:?}"));
        }
        Meaning::Count(p) => Answer::Number(fitting(scene, p, counts).len()),
        Meaning::Exists(p) => Answer::Truth(!fitting(scene, p, counts).is_empty()),
        Meaning::ColorOf(p) => match only(scene, p, counts) {
            Ok(index) => scene.objects[index].color.map_or(Answer::Truth(false), Answer::Color),
            Err(problem) => return Some(problem),
        },
        Meaning::MaterialOf(p) => match only(scene, p, counts) {
            Ok(index) => Answer::Material(scene.objects[index].surface.material),
            Err(problem) => return Some(problem),
        },
        Meaning::ShapeOf(p) => match only(scene, p, counts) {
            Ok(index) => Answer::Shape(scene.objects[index].shape),
            Err(problem) => return Some(problem),
        },
        Meaning::SizeOf(p) => match only(scene, p, counts) {
            Ok(index) => scene.objects[index].size.map_or(Answer::Truth(false), Answer::Size),
            Err(problem) => return Some(problem),
        },
        Meaning::Relates(a, relation, b) => {
            let (a, b) = match (only(scene, a, counts), only(scene, b, counts)) {
                (Ok(a), Ok(b)) => (place(scene, frame, a), place(scene, frame, b)),
                (Err(problem), _) | (_, Err(problem)) => return Some(problem),
            };
            Answer::Truth(match relation {
                Relation::Left => a.0 < b.0,
                Relation::Right => a.0 > b.0,
                Relation::Closer => a.1 < b.1,
                Relation::Farther => a.1 > b.1,
            })
        }
        Meaning::Collide(a, b) => {
            let (a, b) = match (only(scene, a, counts), only(scene, b, counts)) {
                (Ok(a), Ok(b)) => (a as u16 + 1, b as u16 + 1),
                (Err(problem), _) | (_, Err(problem)) => return Some(problem),
            };
            let end = scene.video.frames as f64 - 1.0;
            let events = scene.collisions.iter().filter(|c| (0.0..=end).contains(&c.frame));
            Answer::Truth(events.into_iter().any(|c| c.ids.contains(&a) && c.ids.contains(&b)))
        }
        Meaning::Reading => {
            let mut signs: Vec<_> = (0..scene.objects.len())
                .filter(|&i| scene.objects[i].shape == Shape::Sign && counts.visible[i] > 0)
                .collect();
            signs.sort_by(|&a, &b| place(scene, frame, a).0.total_cmp(&place(scene, frame, b).0));
            let words: Vec<_> = signs.iter().filter_map(|&i| scene.objects[i].text.as_deref()).collect();
            Answer::Text(words.join(" "))
        }
    };
    match &sentence.answer {
        // A caption claims that what it says is so.
        None => (expected != Answer::Truth(true)).then(|| "is not true".to_owned()),
        Some(answer) => (*answer != expected).then(|| format!("is answered {answer:?}, derived {expected:?}")),
    }
}

/// The one visible object that has the words.
fn only(scene: &Scene, pattern: &Pattern, counts: &Counts<'_>) -> Result<usize, String> {
    match fitting(scene, pattern, counts)[..] {
        [index] => Ok(index),
        ref all => Err(format!("{pattern:?} fits {} visible objects, expected one", all.len())),
    }
}

/// Reads the colour words of the text and compares them with those of the meaning.
fn misworded(sentence: &Sentence) -> Option<String> {
    let patterns: Vec<&Pattern> = match &sentence.meaning {
        Meaning::Shows(patterns) => patterns.iter().collect(),
        Meaning::Relates(a, _, b) | Meaning::Collide(a, b) => vec![a, b],
        Meaning::Count(p) | Meaning::Exists(p) | Meaning::ColorOf(p) => vec![p],
        Meaning::MaterialOf(p) | Meaning::ShapeOf(p) | Meaning::SizeOf(p) => vec![p],
        Meaning::Reading => vec![],
    };
    let text = sentence.text.to_lowercase();
    let words: Vec<&str> = text.split(|c: char| !c.is_alphabetic()).collect();
    let grammar = languages::grammar(sentence.language);
    Color::ALL.iter().find_map(|&color| {
        let meant = patterns.iter().any(|p| p.color == Some(color));
        let said = grammar.colors[color as usize].0.iter().any(|form| words.contains(form));
        (meant != said)
            .then(|| format!("{} is {}", color.name(), if said { "said, not meant" } else { "meant, not said" }))
    })
}
