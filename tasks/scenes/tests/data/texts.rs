//! Questions, answers and captions.

use std::collections::BTreeMap;

use velo_scenes::description::{Language, presets};
use velo_scenes::files::manifest::Format;
use velo_scenes::files::{DataSet, stats, verify};
use velo_scenes::text::{Answer, Meaning};

use crate::{made, small};

#[test]
fn no_answer_of_any_family_is_a_good_guess() {
    let mut answers: BTreeMap<String, usize> = BTreeMap::new();
    for preset in ["clevr", "movi_a"] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = small(preset);
        // Objects of one clip meet in its later frames.
        config.video.frames = if preset == "movi_a" { 12 } else { 1 };
        (config.text.questions, config.text.languages) = (12, vec![Language::English, Language::Turkish]);
        made(config, folder.path(), 40, Format::Tar { scenes: 20 }, 2, (0, 1));
        let data = DataSet::open(folder.path()).unwrap();
        for (answer, count) in stats::stats(&data).unwrap().answers {
            *answers.entry(answer).or_default() += count;
        }
        assert_eq!(verify::verify(&data, &|| ()).unwrap().problems, Vec::<String>::new());
    }
    let mut families: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (answer, count) in &answers {
        families.entry(answer.split_once(" = ").unwrap().0).or_default().push(*count);
    }
    for family in ["existence", "relation", "collision", "size", "material", "shape", "color", "count"] {
        let counts = &families[family];
        let (most, all) = (*counts.iter().max().unwrap(), counts.iter().sum::<usize>());
        assert!(all >= 30, "{family}: {answers:?}");
        // Of two answers none comes much more often than the other; of more, none comes in more than half of the cases.
        let allowed = if counts.len() == 2 { 0.6 } else { 0.5 };
        assert!((most as f64) < allowed * all as f64, "{family}: {answers:?}");
    }
}

#[test]
fn texts_come_in_all_languages_with_paraphrases_and_read_signs_from_left_to_right() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = presets::named("signs").unwrap();
    config.image.samples_per_side = 1;
    config.text.questions = 12;
    made(config, folder.path(), 6, Format::Folders, 2, (0, 1));
    let data = DataSet::open(folder.path()).unwrap();
    let mut texts = std::collections::BTreeSet::new();
    let mut readings = 0;
    for files in data.scenes() {
        let scene = files.scene().unwrap();
        for sentence in files.texts().unwrap().sentences {
            texts.insert((sentence.language, sentence.text.clone()));
            assert!(!sentence.text.contains('{'), "{}", sentence.text);
            if let (Meaning::Reading, Some(Answer::Text(text))) = (&sentence.meaning, &sentence.answer) {
                readings += 1;
                let mut words: Vec<_> = text.split(' ').map(str::to_owned).collect();
                let mut written: Vec<_> = scene.objects.iter().filter_map(|o| o.text.clone()).collect();
                words.sort();
                written.retain(|w| words.contains(w));
                assert_eq!(written.len(), words.len());
            }
        }
    }
    assert!(readings > 0);
    for language in Language::ALL {
        let count = texts.iter().filter(|(l, _)| l == language).count();
        assert!(count > 5, "{language:?}: {count}");
    }
}
