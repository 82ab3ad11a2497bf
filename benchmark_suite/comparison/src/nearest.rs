//! The name somebody probably meant.

/// The candidate closest to `found` by Damerau–Levenshtein distance, if it is close enough to be a misspelling:
/// at most a third of its letters differ, and one or two always may.
pub fn nearest<'a>(found: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let found = found.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&found, &candidate.to_lowercase()), candidate))
        .min_by_key(|&(distance, _)| distance)
        .filter(|&(distance, candidate)| distance <= (candidate.chars().count() / 3).max(2))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelling_finds_its_name_and_another_word_finds_nothing() {
        assert_eq!(nearest("learning_rte", ["learning_rate", "weight_decay"]), Some("learning_rate"));
        assert_eq!(nearest("adamw", ["Sgd", "Adam", "AdamW"]), Some("AdamW"));
        assert_eq!(nearest("banana", ["learning_rate", "weight_decay"]), None);
    }
}
