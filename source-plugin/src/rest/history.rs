//! Past conversations, by the analytics query: what fills a gap.
//!
//! Refuses to hand out a conversation twice: the query is answered over live data, so that `totalHits` moves and pages
//! repeat rows. A conversation counts as in an interval if it was under way in it.

use std::collections::HashSet;

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::limit::Priority;
use super::{Request, Rest, RestError};
use crate::json::{self, Text};

/// Conversations of a page: the most that the query gives.
///
/// # Source
/// Genesys Cloud, `POST /api/v2/analytics/conversations/details/query`: `paging.pageSize`, at most 100.
const PAGE_SIZE: usize = 100;

/// One page of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DetailsQuery {
    /// Begin, in microseconds since 1970 UTC; rounded down to milliseconds.
    pub(crate) from_us: i64,
    /// End, in microseconds since 1970 UTC; rounded up to milliseconds.
    pub(crate) to_us: i64,
    /// Dimensions and values of which a segment must have one; empty: any conversation.
    pub(crate) conditions: Vec<(&'static str, String)>,
    /// Number of the page, from 1.
    pub(crate) page: u32,
}

impl DetailsQuery {
    fn body(&self) -> Vec<u8> {
        let time = |ms: i64| {
            let at = Timestamp::from_millisecond(ms).unwrap_or(if ms < 0 {
                Timestamp::MIN
            } else {
                Timestamp::MAX
            });
            format!("{at:.3}")
        };
        let to_ms = self.to_us.div_euclid(1000) + i64::from(self.to_us.rem_euclid(1000) > 0);
        let interval = format!("{}/{}", time(self.from_us.div_euclid(1000)), time(to_ms));
        let mut query = json!({
            "interval": interval, "order": "asc", "orderBy": "conversationStart",
            "paging": { "pageSize": PAGE_SIZE, "pageNumber": self.page },
        });
        if !self.conditions.is_empty() {
            let predicate = |(dimension, value): &(&'static str, String)| json!({"type": "dimension", "dimension": dimension, "operator": "matches", "value": value});
            let predicates: Vec<_> = self.conditions.iter().map(predicate).collect();
            query["segmentFilters"] = json!([{"type": "or", "predicates": predicates}]);
        }
        query.to_string().into_bytes()
    }
}

/// Past the last page the platform leaves the list out.
#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    conversations: Option<Vec<Box<RawValue>>>,
}

/// The conversations of an interval, page by page, each once.
#[derive(Debug)]
pub(crate) struct DetailsPages {
    next: Option<DetailsQuery>,
    seen: HashSet<String>,
}

impl DetailsPages {
    /// Begins at the first page; times and conditions as in [`DetailsQuery`].
    pub(crate) fn new(from_us: i64, to_us: i64, conditions: Vec<(&'static str, String)>) -> Self {
        Self {
            next: Some(DetailsQuery {
                from_us,
                to_us,
                conditions,
                page: 1,
            }),
            seen: HashSet::new(),
        }
    }

    /// Number of the page that is next, from 1; `None` at the end.
    pub(crate) fn next_page(&self) -> Option<u32> {
        self.next.as_ref().map(|next| next.page)
    }

    /// Reads the next page: the conversations on it that no page before had, each a JSON object as it came, or `None` at the
    /// end. An error leaves the place as it is, so that the same page may be asked for again.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_retryable`].
    /// # Cancel safety
    /// Safe: the place moves with the answer.
    pub(crate) async fn next(&mut self, rest: &Rest) -> Result<Option<Vec<Box<RawValue>>>, RestError> {
        let Some(query) = &self.next else { return Ok(None) };
        let conversations = rest.conversation_details(query).await?;
        Ok(self.take(conversations))
    }

    /// Takes the page that was asked for. A page that is not full is the last.
    pub(crate) fn take(&mut self, mut conversations: Vec<Box<RawValue>>) -> Option<Vec<Box<RawValue>>> {
        if conversations.len() < PAGE_SIZE {
            self.next = None;
        } else if let Some(next) = &mut self.next {
            next.page += 1;
        }
        if conversations.is_empty() {
            return None;
        }
        conversations.retain(|conversation| {
            let id = json::member(conversation.get(), "conversationId").and_then(Text::read_non_empty);
            id.is_none_or(|id| self.seen.insert(id.text.into_owned()))
        });
        Some(conversations)
    }
}

impl Rest {
    /// Reads one page of the conversations that were under way in an interval, each once on it; an empty one is past the
    /// last. Needs `analytics:conversationDetail:view`. [`DetailsPages`] joins pages.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_retryable`].
    pub(crate) async fn conversation_details(
        &self,
        query: &DetailsQuery,
    ) -> Result<Vec<Box<RawValue>>, RestError> {
        let request = Request {
            method: Method::POST,
            body: Some(query.body()),
            is_query: true,
            ..Request::get(
                &["analytics", "conversations", "details", "query"],
                &[],
                Priority::Bulk,
            )
        };
        let details: Details = self.call(&request).await?.read()?;
        Ok(details.conversations.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::value::{RawValue, to_raw_value};
    use serde_json::{Value, json};

    use super::{DetailsPages, DetailsQuery, PAGE_SIZE};

    #[test]
    fn a_query_spans_the_interval_rounded_outwards() {
        let query = DetailsQuery {
            from_us: 1_767_323_045_000_999,
            to_us: 1_767_323_046_000_001,
            conditions: Vec::new(),
            page: 3,
        };
        let body: Value = serde_json::from_slice(&query.body()).unwrap();
        assert_eq!(
            body,
            json!({
                "interval": "2026-01-02T03:04:05.000Z/2026-01-02T03:04:06.001Z",
                "order": "asc", "orderBy": "conversationStart", "paging": {"pageSize": 100, "pageNumber": 3},
            })
        );
        let endless = DetailsQuery {
            from_us: i64::MIN,
            to_us: i64::MAX,
            conditions: vec![("queueId", "q".to_owned()), ("userId", "u".to_owned())],
            page: 1,
        };
        let body: Value = serde_json::from_slice(&endless.body()).unwrap();
        assert_eq!(
            body["segmentFilters"],
            json!([{"type": "or", "predicates": [
                {"type": "dimension", "dimension": "queueId", "operator": "matches", "value": "q"},
                {"type": "dimension", "dimension": "userId", "operator": "matches", "value": "u"},
            ]}])
        );
    }

    #[test]
    fn pages_that_overlap_give_each_conversation_once() {
        let page = |first: usize, count: usize| -> Vec<Box<RawValue>> {
            let row = |n: usize| to_raw_value(&json!({"conversationId": format!("c{n}")})).unwrap();
            (first..first + count).map(row).collect()
        };
        let texts =
            |page: &[Box<RawValue>]| -> Vec<String> { page.iter().map(|row| row.get().to_owned()).collect() };
        let mut pages = DetailsPages::new(0, 1, Vec::new());
        assert_eq!(pages.take(page(0, PAGE_SIZE)).unwrap().len(), PAGE_SIZE);
        assert_eq!(pages.next_page(), Some(2));
        // two rows have moved on to this page, and it is the last, as it is not full
        let news = pages.take(page(PAGE_SIZE - 2, 5)).unwrap();
        assert_eq!(texts(&news), texts(&page(PAGE_SIZE, 3)));
        assert_eq!(pages.next_page(), None);

        let mut pages = DetailsPages::new(0, 1, Vec::new());
        assert!(pages.take(Vec::new()).is_none());
        assert_eq!(pages.next_page(), None);
    }
}
