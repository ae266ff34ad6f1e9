//! Which keys a schema knows at a place, and the known word nearest to a written one.
//!
//! Responsible for walking the schema beside the value, through `$ref`, `allOf`, `anyOf` and `oneOf`. Refuses to
//! follow references for ever: the walk is bounded in depth. Invariant: the keys come sorted and without repeats.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::path::Step;

/// How deep references and combinations are followed at one place; schemas nest a handful deep, cycles for ever.
const DEPTH: usize = 16;

/// Longest word that is compared, in characters: the distance costs the product of both lengths.
const WORD_CHARACTERS: usize = 64;

/// Every schema that may govern one place: the schema there and all that it refers to or combines.
pub(crate) fn expand<'a>(root: &'a Value, at: &'a Value) -> Vec<&'a Value> {
    let mut all = Vec::new();
    collect(root, at, DEPTH, &mut all);
    all
}

fn collect<'a>(root: &'a Value, at: &'a Value, depth: usize, all: &mut Vec<&'a Value>) {
    if depth == 0 || all.iter().any(|seen| std::ptr::eq(*seen, at)) {
        return;
    }
    all.push(at);
    if let Some(target) = resolve(root, at) {
        collect(root, target, depth - 1, all);
    }
    for keyword in ["allOf", "anyOf", "oneOf"] {
        for branch in at.get(keyword).and_then(Value::as_array).into_iter().flatten() {
            collect(root, branch, depth - 1, all);
        }
    }
}

/// Follows one `$ref` into the same document.
pub(crate) fn resolve<'a>(root: &'a Value, at: &Value) -> Option<&'a Value> {
    let pointer = at.get("$ref")?.as_str()?.strip_prefix('#')?;
    root.pointer(pointer)
}

/// The schemas that govern the place that `steps` lead to.
fn schemas_at<'a>(root: &'a Value, steps: &[Step]) -> Vec<&'a Value> {
    let mut here = expand(root, root);
    for step in steps {
        let mut next = Vec::new();
        for schema in here {
            let child = match step {
                Step::Key(key) => schema
                    .get("properties")
                    .and_then(|properties| properties.get(key))
                    .or_else(|| {
                        schema
                            .get("additionalProperties")
                            .filter(|other| other.is_object())
                    }),
                Step::Entry(number) => schema
                    .get("prefixItems")
                    .and_then(|items| items.get(number))
                    .or_else(|| schema.get("items")),
            };
            if let Some(child) = child {
                next.extend(expand(root, child));
            }
        }
        here = next;
    }
    here
}

/// The keys that the object at `steps` may have, sorted.
pub(crate) fn keys_at(root: &Value, steps: &[Step]) -> Vec<String> {
    let keys: BTreeSet<&String> = schemas_at(root, steps)
        .into_iter()
        .filter_map(|schema| schema.get("properties")?.as_object())
        .flat_map(serde_json::Map::keys)
        .collect();
    keys.into_iter().cloned().collect()
}

/// The keys of a schema that says where a credential is.
const CREDENTIAL: [&str; 2] = ["env", "file"];

/// Says whether the place that `steps` lead to tells where a credential is, instead of holding it: the name of a
/// variable that the schema gives as an example, if it does.
pub(crate) fn credential_at(root: &Value, steps: &[Step]) -> Option<Option<String>> {
    if keys_at(root, steps) != CREDENTIAL {
        return None;
    }
    let example = schemas_at(root, steps)
        .into_iter()
        .find_map(|schema| schema.pointer("/examples/0/env")?.as_str());
    Some(example.map(str::to_owned))
}

/// The names of the JSON types that the schema allows at a path of keys, sorted; empty where it says nothing.
#[must_use]
pub fn types_at(schema: &Value, keys: &[String]) -> Vec<String> {
    let steps: Vec<Step> = keys.iter().map(|key| Step::Key(key.clone())).collect();
    let mut types = BTreeSet::new();
    for found in schemas_at(schema, &steps) {
        match found.get("type") {
            Some(Value::String(name)) => drop(types.insert(name.clone())),
            Some(Value::Array(names)) => {
                types.extend(names.iter().filter_map(Value::as_str).map(str::to_owned));
            }
            _ => {}
        }
    }
    types.into_iter().collect()
}

/// Finds the known word nearest to `word`, if one is near enough to be what was meant.
///
/// Case, `-` and `_` do not count; beyond that one edit in three characters is allowed, at least one. The first of
/// equally near words wins.
#[must_use]
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let fold = |text: &str| {
        text.chars()
            .take(WORD_CHARACTERS)
            .collect::<String>()
            .to_lowercase()
            .replace('-', "_")
    };
    let word = fold(word);
    let mut best: Option<(usize, &str)> = None;
    for candidate in known {
        let folded = fold(candidate);
        let distance = strsim::osa_distance(&word, &folded);
        let allowed = (word.chars().count().max(folded.chars().count()) / 3).max(1);
        if distance <= allowed && best.is_none_or(|(nearest, _)| distance < nearest) {
            best = Some((distance, candidate));
        }
    }
    best.map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::{keys_at, nearest, types_at};
    use crate::path::Step;

    #[test]
    fn the_nearest_word_is_one_that_could_have_been_meant() {
        let known = ["bootstrap_servers", "envelope", "to", "topics"];
        assert_eq!(
            nearest("bootstrap-server", known).as_deref(),
            Some("bootstrap_servers")
        );
        assert_eq!(nearest("Envelope", known).as_deref(), Some("envelope"));
        assert_eq!(nearest("topic", known).as_deref(), Some("topics"));
        assert_eq!(nearest("password", known), None);
        assert_eq!(nearest("", known), None);
    }

    #[test]
    fn types_are_found_through_references_and_options() {
        let schema = json!({"properties": {"a": {"$ref": "#/$defs/a"}, "b": {"type": ["integer", "null"]}, "c": true},
            "$defs": {"a": {"anyOf": [{"type": "string"}, {"type": "null"}]}}});
        let types = |key: &str| types_at(&schema, &[key.to_owned()]);
        assert_eq!(types("a"), ["null", "string"]);
        assert_eq!(types("b"), ["integer", "null"]);
        assert!(types("c").is_empty() && types("d").is_empty());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}], "properties": {"x": {"$ref": "#"}}}}});
        let deep = vec![Step::Key("x".into()); 5];
        assert_eq!(keys_at(&schema, &deep), ["x"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn a_known_word_is_its_own_nearest(at in 0usize..4) {
            let known = ["drain_ms", "drain_us", "to", "max_in_flight_bytes"];
            let found = nearest(known[at], known);
            prop_assert_eq!(found.as_deref(), Some(known[at]));
        }
    }
}
