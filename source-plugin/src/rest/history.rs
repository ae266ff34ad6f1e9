//! Past conversations, by the analytics query: what fills a gap.
//!
//! Refuses to hand out a conversation twice: the query is answered over live data, so that `totalHits` moves and pages
//! repeat rows. A conversation counts as in an interval if it was under way in it.

use std::collections::HashSet;

use jiff::Timestamp;
use reqwest::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use super::limit::Priority;
use super::{Request, Rest, RestError};

/// Conversations of a page: the most that the query gives.
///
/// # Source
/// Genesys Cloud, `POST /api/v2/analytics/conversations/details/query`: `paging.pageSize`, at most 100.
const PAGE_SIZE: usize = 100;

/// Most pages of a query: 100,000 conversations, as many as the platform's query gives.
///
/// # Source
/// Genesys Cloud, analytics: synchronous detail queries end at 100,000 rows.
const MAX_PAGES: u32 = 1_000;

/// One page of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DetailsQuery {
    /// Begin, in microseconds since 1970 UTC; rounded down to milliseconds.
    pub(crate) from_us: i64,
    /// End, in microseconds since 1970 UTC; rounded up to milliseconds.
    pub(crate) to_us: i64,
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
        let query = json!({
            "interval": interval, "order": "asc", "orderBy": "conversationStart",
            "paging": { "pageSize": PAGE_SIZE, "pageNumber": self.page },
        });
        query.to_string().into_bytes()
    }
}

/// Past the last page the platform leaves the list out.
#[derive(Deserialize)]
struct Details {
    #[serde(default)]
    conversations: Option<Vec<Value>>,
}

/// The conversations of an interval, page by page, each once.
#[derive(Debug)]
pub(crate) struct DetailsPages {
    next: Option<DetailsQuery>,
    seen: HashSet<String>,
}

impl DetailsPages {
    /// Begins at the first page; times as in [`DetailsQuery`].
    pub(crate) fn new(from_us: i64, to_us: i64) -> Self {
        Self {
            next: Some(DetailsQuery {
                from_us,
                to_us,
                page: 1,
            }),
            seen: HashSet::new(),
        }
    }

    /// Reads the next page: the conversations on it that no page before had, or `None` at the end. An error leaves the
    /// place as it is, so that the same page may be asked for again.
    ///
    /// # Errors
    /// [`RestError`]; see [`RestError::is_retryable`].
    pub(crate) async fn next(&mut self, rest: &Rest) -> Result<Option<Vec<Value>>, RestError> {
        let Some(query) = self.next else { return Ok(None) };
        let conversations = rest.conversation_details(&query).await?;
        Ok(self.take(query, conversations))
    }

    fn take(&mut self, query: DetailsQuery, mut conversations: Vec<Value>) -> Option<Vec<Value>> {
        let is_full = conversations.len() >= PAGE_SIZE;
        self.next = Some(DetailsQuery {
            page: query.page + 1,
            ..query
        })
        .filter(|next| is_full && next.page <= MAX_PAGES);
        if conversations.is_empty() {
            return None;
        }
        conversations.retain(|conversation| {
            let id = conversation.get("conversationId").and_then(Value::as_str);
            id.is_none_or(|id| self.seen.insert(id.to_owned()))
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
    pub(crate) async fn conversation_details(&self, query: &DetailsQuery) -> Result<Vec<Value>, RestError> {
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
    use serde_json::{Value, json};

    use super::{DetailsPages, DetailsQuery, PAGE_SIZE};

    #[test]
    fn a_query_spans_the_interval_rounded_outwards() {
        let query = DetailsQuery {
            from_us: 1_767_323_045_000_999,
            to_us: 1_767_323_046_000_001,
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
            page: 1,
        };
        assert!(!endless.body().is_empty());
    }

    #[test]
    fn pages_that_overlap_give_each_conversation_once() {
        let page = |first: usize, count: usize| -> Vec<Value> {
            let row = |n: usize| json!({"conversationId": format!("c{n}")});
            (first..first + count).map(row).collect()
        };
        let mut pages = DetailsPages::new(0, 1);
        let first = pages.next.unwrap();
        assert_eq!(pages.take(first, page(0, PAGE_SIZE)).unwrap().len(), PAGE_SIZE);
        let second = pages.next.unwrap();
        assert_eq!(second.page, 2);
        // two rows have moved on to this page, and it is the last, as it is not full
        let news = pages.take(second, page(PAGE_SIZE - 2, 5)).unwrap();
        assert_eq!(news, page(PAGE_SIZE, 3));
        assert_eq!(pages.next, None);

        let mut pages = DetailsPages::new(0, 1);
        assert_eq!(pages.take(first, Vec::new()), None);
        assert_eq!(pages.next, None);
    }
}
