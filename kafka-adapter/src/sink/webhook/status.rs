//! What an HTTP status means for the event that was sent.
//!
//! Responsible for the table below. Refuses to follow a redirect: an endpoint that moved is an endpoint that an
//! operator has to confirm. Invariant: only 2xx is success.

use crate::sink::{Failure, Landing, Meaning};

/// Says what an answer means; `pause_ms` is its `Retry-After`, 0 if there is none.
///
/// | status | whose fault | meaning |
/// | --- | --- | --- |
/// | 2xx | | delivered |
/// | 408, 425, 429, 5xx | passing | later |
/// | 401, 403, 404, 405, 410, 3xx | the endpoint's, or its configuration's | shut |
/// | any other 4xx | the event's | refused alone |
/// | 1xx and anything above 599 as a final answer | no HTTP | later |
///
/// # Source
/// Design, section 5; Standard Webhooks 1.0.0, "Operational considerations".
pub(super) fn judge(endpoint: &str, status: u16, pause_ms: u64) -> Result<Landing, Failure> {
    let meaning = match status {
        200..=299 => return Ok(Landing::Webhook { status }),
        408 | 425 | 429 => Meaning::Later { pause_ms },
        300..=399 | 401 | 403 | 404 | 405 | 410 => Meaning::Shut,
        400..=499 => Meaning::RefusedAlone,
        _ => Meaning::Later { pause_ms },
    };
    Err(Failure {
        meaning,
        reason: format!("{endpoint} answered {status}{}", mend(status)),
    })
}

/// What to look at; nothing where the receiver has judged the event itself.
fn mend(status: u16) -> &'static str {
    match status {
        300..=399 => " (set webhook.url to where it has moved)",
        401 | 403 => " (check webhook.secret and that its receiver lets this sender in)",
        404 | 405 | 410 => " (check the path of webhook.url)",
        408 | 425 | 429 => " (its receiver asks for fewer requests: lower webhook.max_in_flight if it stays)",
        400..=499 => "",
        _ => " (its receiver knows why: see its log)",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_meaning_of_the_table() {
        for status in 100..=999 {
            let meaning = judge("https://hooks.example", status, 7).map_err(|failure| failure.meaning);
            let expected = match status {
                200..=299 => Ok(Landing::Webhook { status }),
                408 | 425 | 429 | 500..=599 => Err(Meaning::Later { pause_ms: 7 }),
                401 | 403 | 404 | 405 | 410 | 300..=399 => Err(Meaning::Shut),
                400..=499 => Err(Meaning::RefusedAlone),
                _ => Err(Meaning::Later { pause_ms: 7 }),
            };
            assert_eq!(meaning, expected, "{status}");
        }
    }

    #[test]
    fn the_reason_names_the_endpoint_the_status_and_what_to_look_at() {
        for (status, expected) in [
            (422, "422"),
            (307, "307 (set webhook.url to where it has moved)"),
            (
                403,
                "403 (check webhook.secret and that its receiver lets this sender in)",
            ),
            (404, "404 (check the path of webhook.url)"),
            (
                429,
                "429 (its receiver asks for fewer requests: lower webhook.max_in_flight if it stays)",
            ),
            (503, "503 (its receiver knows why: see its log)"),
            (999, "999 (its receiver knows why: see its log)"),
        ] {
            let failure = judge("https://hooks.example:8443", status, 0).unwrap_err();
            assert_eq!(
                failure.reason,
                format!("https://hooks.example:8443 answered {expected}")
            );
        }
    }
}
