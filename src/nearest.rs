//! "Did you mean": the known name nearest to a misspelt one.

/// Longest name that is compared, in characters; nobody misspells longer ones by a few letters.
const CHARS_MAX: usize = 60;

/// Returns the candidate nearest to `name`: at most a third of its length in edits (at least one);
/// a swap of neighbours counts as one, case does not count (diagrams.md 4.1).
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = name.to_lowercase();
    let n_chars = folded.chars().count();
    // The distance of two long texts takes the product of their lengths.
    if n_chars > CHARS_MAX {
        return None;
    }
    let edits_max = (n_chars / 3).max(1);
    candidates
        .into_iter()
        .filter(|it| it.chars().take(CHARS_MAX + 1).count().abs_diff(n_chars) <= edits_max)
        .map(|it| (strsim::osa_distance(&folded, &it.to_lowercase()), it))
        .filter(|(edits, _)| *edits <= edits_max)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, it)| it)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_third_of_the_length_is_the_limit_and_a_swap_is_one_edit() {
        for (name, expected) in
            [("wriite", Some("write")), ("wrtie", Some("write")), ("Writter", Some("Writer")), ("xyz", None)]
        {
            assert_eq!(
                nearest(name, ["write", "Writer", "start"]).map(str::to_lowercase),
                expected.map(str::to_lowercase),
                "{name}"
            );
        }
    }
}
