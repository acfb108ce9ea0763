//! "Did you mean": the known name nearest to a misspelt one, or the one that other tools call so.

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

/// Words of other tools and what they are called here. A word may stand for several: which one is meant
/// shows by what is known at the place.
const SYNONYMS: &[(&str, &str)] = &[
    // Types of nodes.
    ("agent", "person_job"),
    ("ai", "person_job"),
    ("chat", "person_job"),
    ("llm", "person_job"),
    ("model", "person_job"),
    ("person", "person_job"),
    ("code", "code_job"),
    ("function", "code_job"),
    ("python", "code_job"),
    ("script", "code_job"),
    ("branch", "condition"),
    ("decision", "condition"),
    ("if", "condition"),
    ("router", "condition"),
    ("switch", "condition"),
    ("begin", "start"),
    ("trigger", "start"),
    ("finish", "endpoint"),
    ("output", "endpoint"),
    ("http", "api_job"),
    ("http_request", "api_job"),
    ("request", "api_job"),
    ("database", "db"),
    ("file", "db"),
    ("ask", "user_response"),
    ("human", "user_response"),
    ("user_input", "user_response"),
    ("template", "template_job"),
    ("subflow", "sub_diagram"),
    ("workflow", "sub_diagram"),
    // Fields of nodes.
    ("agent", "person"),
    ("first_prompt", "first_only_prompt"),
    ("message", "default_prompt"),
    ("prompt", "default_prompt"),
    ("max_turns", "max_iteration"),
    ("output_schema", "text_format"),
    ("response_format", "text_format"),
    ("schema", "text_format"),
    ("expr", "expression"),
    ("if", "expression"),
    ("test", "expression"),
    ("when", "expression"),
    ("script", "code"),
    ("source", "code"),
    ("lang", "language"),
    ("action", "operation"),
    ("filename", "file"),
    ("path", "file"),
    ("filename", "file_path"),
    ("path", "file_path"),
    ("template", "template_content"),
    ("message", "prompt"),
    ("question", "prompt"),
    ("choices", "options"),
    ("query", "params"),
    ("data", "custom_data"),
    ("variables", "custom_data"),
    ("name", "label"),
    ("title", "label"),
    // Values.
    ("js", "javascript"),
    ("node", "javascript"),
    ("nodejs", "javascript"),
    ("py", "python"),
    ("python3", "python"),
    ("sh", "shell"),
    ("ts", "typescript"),
    ("custom_expression", "custom"),
    ("expression", "custom"),
    ("llm", "llm_decision"),
    ("max_iterations", "detect_max_iterations"),
    ("load", "read"),
    ("save", "write"),
    ("ignore", "continue"),
    ("stop", "fail"),
    ("bool", "boolean"),
    ("dict", "object"),
    ("float", "number"),
    ("int", "integer"),
    ("list", "array"),
    ("map", "object"),
    ("str", "string"),
    ("str", "raw_text"),
    ("string", "raw_text"),
    // Persons, connections, sections.
    ("instructions", "system_prompt"),
    ("provider", "service"),
    ("system", "system_prompt"),
    ("links", "connections"),
    ("transitions", "connections"),
    ("wires", "connections"),
    ("links", "flow"),
    ("transitions", "flow"),
    ("wires", "flow"),
    ("actors", "persons"),
    ("characters", "persons"),
    ("people", "persons"),
    ("blocks", "nodes"),
    ("tasks", "nodes"),
    ("vertices", "nodes"),
    ("variables", "inputs"),
    ("config", "settings"),
    ("options", "settings"),
    ("title", "name"),
];

/// Returns the candidate that `name` is another word for, else the [`nearest`]. For names that the product
/// gives (fields, types, values), not for those an author makes up.
pub fn meant<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str, IntoIter: Clone>) -> Option<&'a str> {
    let candidates = candidates.into_iter();
    let word = name.trim().to_lowercase().replace(['-', ' '], "_");
    let known = SYNONYMS.iter().filter(|(it, _)| *it == word);
    let synonym = known.flat_map(|(_, meaning)| candidates.clone().find(|it| it == meaning)).next();
    synonym.or_else(|| nearest(name, candidates))
}

#[cfg(test)]
mod tests {
    use super::{SYNONYMS, meant, nearest};

    #[test]
    fn a_word_of_another_tool_means_what_is_known_at_the_place() {
        for (name, candidates, expected) in [
            ("llm", vec!["start", "person_job"], Some("person_job")),
            ("LLM", vec!["custom", "llm_decision"], Some("llm_decision")),
            ("path", vec!["file"], Some("file")),
            ("path", vec!["file_path"], Some("file_path")),
            ("path", vec!["code"], None),
            ("http-request", vec!["api_job"], Some("api_job")),
            ("persn_job", vec!["start", "person_job"], Some("person_job")),
        ] {
            assert_eq!(meant(name, candidates), expected, "{name}");
        }
        assert!(SYNONYMS.iter().all(|(word, meaning)| word != meaning));
    }

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
