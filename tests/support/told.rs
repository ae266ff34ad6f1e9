//! What a run tells, as lines that can be compared from run to run.
//!
//! Responsible for taking out what differs: times, targets, numbers, places on loopback. Refuses to leave a line out, the
//! metrics alone and what is below `info` excepted.

/// The log lines among these, without time, target and whatever differs from run to run; metrics left out.
pub fn told(lines: &[String]) -> Vec<String> {
    lines.iter().filter_map(|line| tell(line)).collect()
}

fn tell(line: &str) -> Option<String> {
    let (_time, rest) = line.split_once(' ')?;
    let (level, rest) = rest.trim_start().split_once(' ')?;
    if !["INFO", "WARN", "ERROR"].contains(&level) {
        return None;
    }
    let (_target, message) = rest.split_once(": ")?;
    if message.starts_with("metrics ") {
        return None;
    }
    let message = message.split(" module=genesys_source").next()?;
    let words: Vec<String> = message.split(' ').map(word).collect();
    Some(format!("{level} {}", words.join(" ")))
}

/// A word with `N` for a field's number and `HOST` for a place on loopback.
pub fn word(word: &str) -> String {
    if let Some((name, value)) = word.split_once('=')
        && !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_digit())
    {
        return format!("{name}=N");
    }
    match word.split_once("127.0.0.1:") {
        Some((start, rest)) => {
            let rest = rest.trim_start_matches(|digit: char| digit.is_ascii_digit());
            format!("{start}HOST{rest}")
        }
        None => word.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_compared_without_what_differs_from_run_to_run() {
        let lines = [
            "2026-11-24T10:54:16Z  WARN source: connection lost, trying again error=a at=b 7 delay_ms=24 module=genesys_source::x",
            "2026-11-24T10:54:16Z  INFO kafka_adapter::metrics: metrics totalIngested=82",
            "2026-11-24T10:54:16Z ERROR kafka_adapter::x: no broker of 127.0.0.1:4711 can be reached (os error 111)",
            "summary {}",
            "genesys-kafka: gone",
        ]
        .map(str::to_owned);
        assert_eq!(
            told(&lines),
            [
                "WARN connection lost, trying again error=a at=b 7 delay_ms=N",
                "ERROR no broker of HOST can be reached (os error 111)",
            ]
        );
    }
}
