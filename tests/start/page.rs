//! The operator's page on starts that fail, held against the lines that the tests here demand.

/// The page: tables whose first column is a message, `…` standing for what differs from one machine to another.
const PAGE: &str = "docs/when-it-does-not-start.md";

/// The messages of the page as the pieces between their `…`.
fn patterns() -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(support::workspace_root().join(PAGE)).unwrap();
    text.lines()
        .filter_map(|line| {
            // a message with backquotes in it stands between pairs of them
            let in_pairs = line
                .strip_prefix("| `` ")
                .and_then(|line| line.split_once(" `` | "));
            let (message, _) = in_pairs.or_else(|| line.strip_prefix("| `")?.split_once("` | "))?;
            Some(message.split('…').map(str::to_owned).collect())
        })
        .collect()
}

/// Says whether the line is such a message, whatever the file, the variable or the flag that it begins with.
fn fits(line: &str, pieces: &[String]) -> bool {
    let Some((last, pieces)) = pieces.split_last() else {
        return false;
    };
    let mut rest = line;
    for (at, piece) in pieces.iter().enumerate() {
        let Some((before, after)) = rest.split_once(piece.as_str()) else {
            return false;
        };
        // what stands before the first piece is the place of the fault
        if at == 0 && !is_place(before) {
            return false;
        }
        rest = after;
    }
    if pieces.is_empty() {
        return rest.strip_suffix(last.as_str()).is_some_and(is_place);
    }
    rest.ends_with(last.as_str())
}

/// Nothing, or a place with its colon, such as `c.toml:4: ` or `--library: source.library: `.
fn is_place(text: &str) -> bool {
    text.is_empty() || text.ends_with(": ")
}

fn demanded() -> Vec<String> {
    [
        crate::config::expected(),
        crate::secrets::expected(),
        crate::plan::expected(),
        crate::plugin::expected(),
        crate::files::expected(),
        crate::log::expected(),
        crate::kafka::expected(),
        crate::exactly_once::expected(),
        crate::webhook::expected(),
        crate::service::expected(),
    ]
    .concat()
}

#[test]
fn the_page_explains_every_message_and_explains_none_that_no_test_demands() {
    let (patterns, demanded) = (patterns(), demanded());
    assert!(patterns.len() > 30, "{patterns:?}");
    let unexplained: Vec<&String> = demanded
        .iter()
        .filter(|line| !patterns.iter().any(|pattern| fits(line, pattern)))
        .collect();
    assert!(unexplained.is_empty(), "not on {PAGE}:\n{unexplained:#?}");
    let unused: Vec<String> = patterns
        .iter()
        .filter(|pattern| !demanded.iter().any(|line| fits(line, pattern)))
        .map(|pattern| pattern.join("…"))
        .collect();
    assert!(
        unused.is_empty(),
        "on {PAGE}, but demanded by no test:\n{unused:#?}"
    );
}

#[test]
fn a_message_is_recognised_behind_its_place_alone() {
    let pieces = |text: &str| text.split('…').map(str::to_owned).collect::<Vec<_>>();
    let pattern = pieces("expected …, found …");
    assert!(fits(
        "c.toml:4: delivery.to: expected integer, found string",
        &pattern
    ));
    assert!(!fits("c.toml:4: it was expected integer, found string", &pattern));
    assert!(!fits("c.toml:4: delivery.to: unknown key", &pattern));
    assert!(fits("c.toml:4: a: is empty", &pieces("is empty")));
    assert!(!fits("c.toml:4: a: is empty; mend", &pieces("is empty")));
}
