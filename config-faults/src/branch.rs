//! Faults of `anyOf` and `oneOf`: which of the allowed forms was meant, and what is wrong with it.
//!
//! Responsible for choosing: a branch of another type, or with another tag, was not meant; if one is left its own
//! faults are the report, else one line names the forms. Refuses to dump the schema. Invariant: never empty.

use jsonschema::ValidationError;
use jsonschema::error::ValidationErrorKind as Kind;
use serde_json::Value;

use crate::Fault;
use crate::known::{expand, resolve};
use crate::path::{Step, steps};
use crate::translate::{Translate, fault, type_name};

/// The errors of one branch.
type Branch<'a> = &'a [ValidationError<'static>];

/// Translates the failure of all branches at `at`.
pub(crate) fn faults(
    translate: &Translate<'_>,
    error: &ValidationError<'_>,
    at: &[Step],
    context: &[Vec<ValidationError<'static>>],
) -> Vec<(Vec<Step>, Fault)> {
    let all: Vec<Branch<'_>> = context.iter().map(Vec::as_slice).collect();
    let of_this_type: Vec<Branch<'_>> = all
        .iter()
        .copied()
        .filter(|branch| !branch.iter().any(|one| wrong_shape(translate, one, at)))
        .collect();
    if of_this_type.is_empty() {
        return vec![wrong_type(translate, error, at, &all)];
    }
    let tagged: Vec<Branch<'_>> = of_this_type
        .iter()
        .copied()
        .filter(|branch| wrong_tag(translate, branch, at).is_none())
        .collect();
    match tagged.as_slice() {
        [only] => only.iter().flat_map(|one| translate.faults(one)).collect(),
        [] => wrong_tags(translate, at, &of_this_type).unwrap_or_else(|| vec![no_form(translate, error, at)]),
        several => undecided(translate, error, at, several),
    }
}

/// The allowed forms of an `anyOf` or `oneOf`, such as "table with `env` or table with `file`".
pub(crate) fn forms(schema: &Value, error: &ValidationError<'_>) -> String {
    let branches = schema
        .pointer(error.schema_path().as_str())
        .and_then(Value::as_array);
    let mut forms: Vec<String> = Vec::new();
    for branch in branches.into_iter().flatten() {
        let form = form(schema, branch);
        if form != "null" && !forms.contains(&form) {
            forms.push(form);
        }
    }
    if forms.is_empty() {
        "one of the allowed forms".to_owned()
    } else {
        forms.join(" or ")
    }
}

/// One form in words.
fn form(root: &Value, branch: &Value) -> String {
    let schema = resolve(root, branch).unwrap_or(branch);
    if let Some(only) = schema.get("const") {
        return format!(
            "`{}`",
            only.as_str().map_or_else(|| only.to_string(), str::to_owned)
        );
    }
    for keyword in ["oneOf", "anyOf"] {
        if let Some(inner) = schema.get(keyword).and_then(Value::as_array) {
            return inner
                .iter()
                .map(|one| form(root, one))
                .collect::<Vec<_>>()
                .join(" or ");
        }
    }
    let required: Vec<String> = expand(root, schema)
        .into_iter()
        .filter_map(|one| one.get("required")?.as_array())
        .flatten()
        .filter_map(Value::as_str)
        .map(|key| format!("`{key}`"))
        .collect();
    match schema.get("type").and_then(Value::as_str) {
        Some("object") | None if !required.is_empty() => format!("table with {}", required.join(", ")),
        Some("object") => "table".to_owned(),
        Some(name) => name.to_owned(),
        None => "another form".to_owned(),
    }
}

/// The value itself is of another type, or is none of the branch's words.
fn wrong_shape(translate: &Translate<'_>, error: &ValidationError<'_>, at: &[Step]) -> bool {
    let here = steps(error.instance_path(), translate.value) == at;
    match error.kind() {
        Kind::Type { .. } | Kind::Enum { .. } | Kind::Constant { .. } => here,
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            here && context
                .iter()
                .all(|branch| branch.iter().any(|one| wrong_shape(translate, one, at)))
        }
        _ => false,
    }
}

/// The key of the object whose word is not this branch's, with the words that would be.
fn wrong_tag<'a>(
    translate: &Translate<'_>,
    branch: Branch<'a>,
    at: &[Step],
) -> Option<(Vec<Step>, Vec<&'a Value>)> {
    branch.iter().find_map(|error| {
        let place = steps(error.instance_path(), translate.value);
        let words = match error.kind() {
            Kind::Constant { expected_value } => vec![expected_value.as_ref()],
            Kind::Enum { options } => options.as_array().into_iter().flatten().collect(),
            _ => return None,
        };
        (place.len() == at.len() + 1 && place.starts_with(at)).then_some((place, words))
    })
}

/// No branch takes a value of this type: list the words if there are only words, else the forms.
fn wrong_type(
    translate: &Translate<'_>,
    error: &ValidationError<'_>,
    at: &[Step],
    all: &[Branch<'_>],
) -> (Vec<Step>, Fault) {
    let found = error.instance().as_ref();
    let mut words: Vec<&Value> = Vec::new();
    let only_words = all.iter().all(|branch| take_words(branch, &mut words));
    if only_words && !words.is_empty() {
        words.retain(|word| !word.is_null());
        return translate.not_one_of(at.to_vec(), &words, found);
    }
    let message = format!(
        "expected {}, found {}",
        forms(translate.schema, error),
        type_name(found)
    );
    fault(at.to_vec(), message)
}

/// Says whether a branch takes words alone, or `null` alone, and adds its words; documented words are branches of their own.
fn take_words<'a>(branch: Branch<'a>, words: &mut Vec<&'a Value>) -> bool {
    branch.iter().any(|one| match one.kind() {
        Kind::Constant { expected_value } => {
            words.push(expected_value);
            true
        }
        Kind::Enum { options } => {
            words.extend(options.as_array().into_iter().flatten());
            true
        }
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            context.iter().all(|inner| take_words(inner, words))
        }
        _ => null_only(one),
    })
}

/// A branch that takes `null` alone, as schemars adds to an option.
fn null_only(error: &ValidationError<'_>) -> bool {
    use jsonschema::JsonType;
    use jsonschema::error::TypeKind;
    matches!(
        error.kind(),
        Kind::Type {
            kind: TypeKind::Single(JsonType::Null)
        }
    )
}

/// Every branch wants another word at one and the same key.
fn wrong_tags(
    translate: &Translate<'_>,
    at: &[Step],
    branches: &[Branch<'_>],
) -> Option<Vec<(Vec<Step>, Fault)>> {
    let mut place: Option<Vec<Step>> = None;
    let mut words = Vec::new();
    for branch in branches {
        let (tag, mut expected) = wrong_tag(translate, branch, at)?;
        if place.get_or_insert_with(|| tag.clone()) != &tag {
            return None;
        }
        words.append(&mut expected);
    }
    let place = place?;
    let found = value_at(translate.value, &place)?;
    Some(vec![translate.not_one_of(place, &words, found)])
}

/// Several branches could be meant: blame the keys that none of them knows, else name the forms.
fn undecided(
    translate: &Translate<'_>,
    error: &ValidationError<'_>,
    at: &[Step],
    branches: &[Branch<'_>],
) -> Vec<(Vec<Step>, Fault)> {
    let unexpected = |branch: Branch<'_>| -> Vec<String> {
        branch
            .iter()
            .filter(|one| steps(one.instance_path(), translate.value) == at)
            .filter_map(|one| match one.kind() {
                Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
                    Some(unexpected.clone())
                }
                _ => None,
            })
            .flatten()
            .collect()
    };
    let unknown: Vec<Vec<String>> = branches.iter().map(|branch| unexpected(branch)).collect();
    if let Some((first, rest)) = unknown.split_first() {
        let to_all: Vec<&String> = first
            .iter()
            .filter(|key| rest.iter().all(|other| other.contains(key)))
            .collect();
        if !to_all.is_empty() {
            let mend = format!("expected {}", forms(translate.schema, error));
            return to_all
                .into_iter()
                .map(|key| translate.unknown_key(at, key, Some(mend.clone())))
                .collect();
        }
    }
    // One branch complains of neither an unknown nor a missing key: the keys chose it.
    let chosen: Vec<Branch<'_>> = branches
        .iter()
        .zip(&unknown)
        .filter(|(branch, unknown)| {
            unknown.is_empty() && !branch.iter().any(|one| is_missing(translate, one, at))
        })
        .map(|(branch, _)| *branch)
        .collect();
    if let [only] = chosen.as_slice() {
        return only.iter().flat_map(|one| translate.faults(one)).collect();
    }
    let both = unknown.iter().all(|keys| !keys.is_empty())
        && !branches
            .iter()
            .any(|branch| branch.iter().any(|one| is_missing(translate, one, at)));
    if both {
        let note = if branches.len() == 2 {
            "but not both"
        } else {
            "but only one of them"
        };
        return vec![fault(
            at.to_vec(),
            format!("expected {}, {note}", forms(translate.schema, error)),
        )];
    }
    vec![no_form(translate, error, at)]
}

fn is_missing(translate: &Translate<'_>, error: &ValidationError<'_>, at: &[Step]) -> bool {
    matches!(error.kind(), Kind::Required { .. }) && steps(error.instance_path(), translate.value) == at
}

fn no_form(translate: &Translate<'_>, error: &ValidationError<'_>, at: &[Step]) -> (Vec<Step>, Fault) {
    fault(
        at.to_vec(),
        format!("expected {}", forms(translate.schema, error)),
    )
}

/// The value that steps lead to.
fn value_at<'a>(value: &'a Value, place: &[Step]) -> Option<&'a Value> {
    place.iter().try_fold(value, |here, step| match step {
        Step::Key(key) => here.get(key),
        Step::Entry(number) => here.get(number),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::value_at;
    use crate::path::{Step, render};

    fn lines(schema: &Value, value: &Value) -> Vec<String> {
        crate::check(schema, value)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn a_tag_chooses_the_form_and_a_wrong_tag_lists_the_known_ones() {
        let schema = json!({"oneOf": [
            {"type": "object", "required": ["kind", "dir"], "properties": {"kind": {"const": "disk"}, "dir": {"type": "string"}}},
            {"type": "object", "required": ["kind"], "properties": {"kind": {"const": "memory"}}}
        ]});
        assert_eq!(
            lines(&schema, &json!({"kind": "disk"})),
            ["dir: is required, but missing"]
        );
        assert_eq!(
            lines(&schema, &json!({"kind": "memmory"})),
            ["kind: expected one of `disk`, `memory`, found `memmory`; did you mean `memory`?"]
        );
        assert_eq!(
            lines(&schema, &json!(7)),
            ["expected table with `kind`, `dir` or table with `kind`, found integer"]
        );
    }

    #[test]
    fn an_optional_word_lists_the_words_without_null() {
        let schema = json!({"properties": {"to": {"anyOf": [{"$ref": "#/$defs/To"}, {"type": "null"}]}},
            "$defs": {"To": {"type": "string", "enum": ["file", "kafka"]}}});
        assert_eq!(
            lines(&schema, &json!({"to": "files"})),
            ["to: expected one of `file`, `kafka`, found `files`; did you mean `file`?"]
        );
    }

    #[test]
    fn optional_words_with_documentation_are_listed_in_the_same_way() {
        let words =
            json!({"oneOf": [{"type": "string", "const": "kafka"}, {"type": "string", "const": "file"}]});
        let property = json!({"anyOf": [{"$ref": "#/$defs/To"}, {"type": "null"}]});
        let schema = json!({"properties": {"to": property, "key": property}, "$defs": {"To": words}});
        for (value, line) in [
            (
                json!({"to": "fil"}),
                "to: expected one of `kafka`, `file`, found `fil`; did you mean `file`?",
            ),
            (json!({"to": 3}), "to: expected one of `kafka`, `file`, found 3"),
            (
                json!({"key": "fil"}),
                "key: expected one of `kafka`, `file`, found string",
            ),
        ] {
            assert_eq!(lines(&schema, &value), [line]);
        }
    }

    #[test]
    fn steps_lead_back_to_their_value() {
        let value = json!({"a": [{"b": 1}]});
        let place = [Step::Key("a".into()), Step::Entry(0), Step::Key("b".into())];
        assert_eq!(render(&place), "a[0].b");
        assert_eq!(value_at(&value, &place), Some(&json!(1)));
    }
}
