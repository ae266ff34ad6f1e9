//! One validation error in, the faults that a person reads out.
//!
//! Responsible for the words. Refuses to repeat a value unless it is short and its path names no secret.
//! Invariant: every error gives at least one fault, so nothing that the schema rejects is passed over.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value;

use crate::known::{credential_at, keys_at, nearest};
use crate::path::{Step, is_secret, render, steps};
use crate::{Fault, branch};

/// Longest value that a message repeats, in characters.
const ECHO_CHARACTERS: usize = 40;

/// Most words that a message lists.
const LISTED: usize = 24;

/// The message of a key that the schema does not know.
pub(crate) const UNKNOWN_KEY: &str = "unknown key";

/// What an error is translated against.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Translate<'a> {
    /// The whole schema.
    pub(crate) schema: &'a Value,
    /// The whole configuration.
    pub(crate) value: &'a Value,
}

impl Translate<'_> {
    /// Translates one error; never empty.
    pub(crate) fn faults(&self, error: &ValidationError<'_>) -> Vec<(Vec<Step>, Fault)> {
        let at = steps(error.instance_path(), self.value);
        let found = error.instance().as_ref();
        match error.kind() {
            Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected }
                if !unexpected.is_empty() =>
            {
                unexpected
                    .iter()
                    .map(|key| self.unknown_key(&at, key, None))
                    .collect()
            }
            Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
                branch::faults(self, error, &at, context)
            }
            Kind::PropertyNames { error: name } => {
                let mut at = at;
                if let Some(key) = name.instance().as_str() {
                    at.push(Step::Key(key.to_owned()));
                }
                vec![fault(at, "the key is not allowed here".to_owned())]
            }
            Kind::Required { property } => {
                let mut at = at;
                at.push(Step::Key(property.as_str().unwrap_or_default().to_owned()));
                vec![fault(at, "is required, but missing".to_owned())]
            }
            Kind::Enum { options } => {
                let options: Vec<&Value> = options.as_array().into_iter().flatten().collect();
                vec![self.not_one_of(at, &options, found)]
            }
            Kind::Constant { expected_value } => vec![self.not_one_of(at, &[expected_value], found)],
            kind => {
                if let (Kind::Type { .. }, Some(example)) = (kind, credential_at(self.schema, &at)) {
                    return vec![written_credential(at, example.as_deref())];
                }
                let message = self.sentence(kind, error, &render(&at), found);
                vec![fault(at, message)]
            }
        }
    }

    /// The fault of a key that the object at `at` does not know; `mend` replaces the list of the known keys.
    pub(crate) fn unknown_key(&self, at: &[Step], key: &str, mend: Option<String>) -> (Vec<Step>, Fault) {
        let known = keys_at(self.schema, at);
        let near = nearest(key, known.iter().map(String::as_str));
        let mut place = at.to_vec();
        place.push(Step::Key(key.to_owned()));
        let (place, mut fault) = fault(place, UNKNOWN_KEY.to_owned());
        fault = fault.with_nearest(near);
        fault.mend = mend.or_else(|| {
            (!known.is_empty()).then(|| format!("known keys here: {}", list(known.iter().cloned())))
        });
        (place, fault)
    }

    /// The fault of a value that is none of the allowed words.
    pub(crate) fn not_one_of(&self, at: Vec<Step>, options: &[&Value], found: &Value) -> (Vec<Step>, Fault) {
        let words: Vec<String> = options.iter().map(|option| word(option)).collect();
        let near = found
            .as_str()
            .filter(|_| !is_secret(&render(&at)))
            .and_then(|text| {
                let texts = options.iter().filter_map(|option| option.as_str());
                nearest(text, texts)
            });
        let expected = if let [only] = words.as_slice() {
            format!("expected `{only}`")
        } else {
            format!("expected one of {}", list(words))
        };
        let message = format!("{expected}, found {}", echo(&render(&at), found));
        let (at, fault) = fault(at, message);
        (at, fault.with_nearest(near))
    }

    /// The sentence of every kind that concerns one value and lists nothing.
    fn sentence(&self, kind: &Kind, error: &ValidationError<'_>, path: &str, found: &Value) -> String {
        let shown = echo(path, found);
        match kind {
            Kind::Type { kind } => format!("expected {}, found {}", types(kind), type_name(found)),
            Kind::Minimum { limit } => format!("must be at least {limit}, found {shown}"),
            Kind::Maximum { limit } => format!("must be at most {limit}, found {shown}"),
            Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}, found {shown}"),
            Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}, found {shown}"),
            Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}, found {shown}"),
            Kind::MinLength { limit } => {
                format!(
                    "must have at least {}{}",
                    count(*limit, "character"),
                    length(path, found)
                )
            }
            Kind::MaxLength { limit } => {
                format!(
                    "must have at most {}{}",
                    count(*limit, "character"),
                    length(path, found)
                )
            }
            Kind::MinItems { limit } => {
                format!(
                    "must have at least {}{}",
                    count_entries(*limit),
                    length(path, found)
                )
            }
            Kind::MaxItems { limit } => {
                format!(
                    "must have at most {}{}",
                    count_entries(*limit),
                    length(path, found)
                )
            }
            Kind::AdditionalItems { limit } => {
                format!(
                    "must have at most {}{}",
                    count_entries(*limit as u64),
                    length(path, found)
                )
            }
            Kind::MinProperties { limit } => format!("must have at least {}", count(*limit, "key")),
            Kind::MaxProperties { limit } => format!("must have at most {}", count(*limit, "key")),
            Kind::UniqueItems => "must not repeat an entry".to_owned(),
            Kind::Pattern { pattern } => format!("must match the pattern `{pattern}`"),
            Kind::Format { format } => format!("must be a valid `{format}`"),
            Kind::Contains => "lacks an entry that is required here".to_owned(),
            Kind::FalseSchema | Kind::Not { .. } | Kind::AdditionalProperties { .. } => {
                "is not allowed here".to_owned()
            }
            Kind::OneOfMultipleValid { .. } => {
                format!(
                    "fits more than one of the allowed forms: {}",
                    branch::forms(self.schema, error)
                )
            }
            other => format!("does not fit the schema's `{}`", other.keyword()),
        }
    }
}

/// Builds a fault from its steps.
pub(crate) fn fault(at: Vec<Step>, message: String) -> (Vec<Step>, Fault) {
    let path = render(&at);
    (at, Fault::new(path, message))
}

/// The fault of a credential that stands where only its place may stand; it is not repeated.
fn written_credential(at: Vec<Step>, example: Option<&str>) -> (Vec<Step>, Fault) {
    let (at, fault) = fault(
        at,
        "a credential is never written here, only where it is".to_owned(),
    );
    let variable = example.unwrap_or("…");
    let mend = format!("write {{ env = \"{variable}\" }}, or {{ file = \"…\" }} to a file that holds it");
    (at, fault.with_mend(mend))
}

/// Lists words in backquotes, the first two dozen of them.
fn list(words: impl IntoIterator<Item = String>) -> String {
    let words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    let mut text = words.iter().take(LISTED).cloned().collect::<Vec<_>>().join(", ");
    if words.len() > LISTED {
        text.push_str(&format!(" and {} more", words.len() - LISTED));
    }
    text
}

/// A word of the schema, without the quotes of JSON.
fn word(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A value as a message may show it: a short word or number where the path names no secret, else its type.
fn echo(path: &str, value: &Value) -> String {
    match value {
        Value::String(text) if !is_secret(path) && text.chars().count() < ECHO_CHARACTERS => {
            format!("`{}`", text.escape_debug())
        }
        Value::Number(number) if !is_secret(path) && number.to_string().len() < ECHO_CHARACTERS => {
            number.to_string()
        }
        other => type_name(other).to_owned(),
    }
}

/// How long the value is, unless its path names a secret.
fn length(path: &str, value: &Value) -> String {
    match value {
        Value::String(text) if !is_secret(path) => format!(", has {}", text.chars().count()),
        Value::Array(entries) => format!(", has {}", entries.len()),
        _ => String::new(),
    }
}

fn count(limit: u64, noun: &str) -> String {
    format!("{limit} {noun}{}", if limit == 1 { "" } else { "s" })
}

fn count_entries(limit: u64) -> String {
    format!("{limit} {}", if limit == 1 { "entry" } else { "entries" })
}

/// The type of a value in the words of JSON Schema, but for its objects: TOML, which people write, has tables.
#[must_use]
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "table",
    }
}

/// The expected types; `null` is named only where nothing else is allowed, since TOML cannot write it.
fn types(kind: &TypeKind) -> String {
    let names: Vec<&str> = match kind {
        TypeKind::Single(only) => vec![type_word(*only)],
        TypeKind::Multiple(set) => set
            .iter()
            .filter(|one| *one != JsonType::Null)
            .map(type_word)
            .collect(),
    };
    if names.is_empty() {
        "null".to_owned()
    } else {
        names.join(" or ")
    }
}

fn type_word(of: JsonType) -> &'static str {
    match of {
        JsonType::Object => "table",
        other => other.as_str(),
    }
}
