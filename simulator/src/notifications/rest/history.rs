//! Conversations that were: the details query, and one conversation by its id.
//!
//! Refuses pages out of range and what the query cannot be asked. The invariant: a query is answered over live data, so that
//! `totalHits` moves and pages may repeat rows, as the platform's do.

use serde_json::{Value, json};

use crate::notifications::Notifications;
use crate::notifications::centre::{Query, record, snapshot};
use crate::notifications::rest::{Answered, Call, Refusal, page};

/// Most conversations of a page of the details query.
const MAX_DETAILS: u64 = 100;

impl Notifications {
    pub(super) fn answer_history(&self, call: &Call<'_>) -> Answered {
        match (call.method, &call.path[..]) {
            ("POST", ["analytics", "conversations", "details", "query"]) => {
                self.demand("analytics:conversationDetail:view")?;
                self.details(&call.json()?).map(Some)
            }
            // a list of a user's own, which client credentials do not have
            ("GET", ["conversations"]) => page::page(Vec::new(), call).map(Some),
            ("GET", ["conversations", id]) => {
                self.demand("conversation:communication:view")?;
                let found = self
                    .centre
                    .conversations()
                    .find(|conversation| conversation.id() == *id);
                let found = found.ok_or_else(|| Refusal::not_found("conversation"))?;
                Ok(Some(snapshot(found, &self.org)))
            }
            _ => Err(Refusal::not_found("resource")),
        }
    }

    fn details(&self, body: &Value) -> Result<Value, Refusal> {
        let query = Query::read(body).map_err(|reason| Refusal::new(400, "bad.request", reason))?;
        let paging = &body["paging"];
        let number = |name: &str, default: u64| match paging.get(name) {
            None => Some(default),
            Some(value) => value.as_u64(),
        };
        let asked = number("pageNumber", 1).zip(number("pageSize", 25));
        let asked = asked.filter(|(number, size)| *number >= 1 && (1..=MAX_DETAILS).contains(size));
        let Some((number, size)) = asked else {
            let message = format!("pageNumber must be at least 1 and pageSize 1 to {MAX_DETAILS}");
            return Err(Refusal::new(400, "paging.invalid", message));
        };
        let fitting = self
            .centre
            .conversations()
            .filter(|conversation| query.fits(conversation, &self.org));
        let mut found: Vec<_> = fitting.collect();
        found.sort_by_key(|conversation| (conversation.began_ms, conversation.number()));
        if query.newest_first {
            found.reverse();
        }
        let (skip, size) = (
            number.saturating_sub(1).saturating_mul(size),
            usize::try_from(size).unwrap_or(usize::MAX),
        );
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        let records: Vec<Value> = found
            .iter()
            .skip(skip)
            .take(size)
            .map(|conversation| record(conversation, &self.org))
            .collect();
        let mut answer = json!({ "totalHits": found.len() });
        // past the last page the platform leaves the list out
        if !records.is_empty() {
            answer["conversations"] = records.into();
        }
        Ok(answer)
    }
}
