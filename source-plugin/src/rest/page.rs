//! Lists in pages, joined to one.
//!
//! Refuses to go on without end: a page that brings nothing new ends a list, and a list of more than [`MAX_PAGES`] is an
//! error rather than a part. Of `nextUri` only the query is taken, since a token goes to no address that an answer names.

use std::collections::HashSet;

use reqwest::Url;
use serde::Deserialize;

use super::directory::Entity;
use super::limit::Priority;
use super::{Request, Rest, RestError};

/// Entities of a page: what every list allows, that of queue members being the narrowest.
///
/// # Source
/// Genesys Cloud, `GET /api/v2/routing/queues/{queueId}/members`: `pageSize`, at most 100.
const PAGE_SIZE: usize = 100;

/// Most pages of a list: 100,000 entities, more than the topics of 20 channels.
const MAX_PAGES: usize = 1_000;

/// One page of a listing. The platform leaves out totals in some lists and `nextUri` in others.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Page {
    #[serde(default)]
    entities: Vec<Listed>,
    next_uri: Option<String>,
    page_count: Option<u64>,
}

#[derive(Deserialize)]
struct Listed {
    id: Option<String>,
    name: Option<String>,
    division: Option<Division>,
}

#[derive(Deserialize)]
struct Division {
    id: Option<String>,
}

/// The pages of a list so far.
#[derive(Default)]
pub(super) struct Pages {
    entities: Vec<Entity>,
    ids: HashSet<String>,
    count: usize,
    has_links: bool,
}

/// What follows on a page.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing.
    End,
    /// A page of this query.
    Query(Vec<(String, String)>),
    /// More than [`MAX_PAGES`].
    TooMany,
}

impl Pages {
    /// Adds a page, and says what to ask for next.
    pub(super) fn add(&mut self, page: Page) -> Next {
        self.count += 1;
        let (asked, before) = (page.entities.len(), self.entities.len());
        for listed in page.entities {
            let Some(id) = listed.id else { continue };
            if self.ids.insert(id.clone()) {
                self.entities.push(Entity {
                    id,
                    name: listed.name.unwrap_or_default(),
                    division_id: listed.division.and_then(|division| division.id),
                });
            }
        }
        if self.entities.len() == before {
            return Next::End;
        }
        let linked = page.next_uri.as_deref().and_then(query_of);
        self.has_links |= linked.is_some();
        let goes_on = match page.page_count {
            _ if linked.is_some() => true,
            _ if self.has_links => false,
            Some(pages) => (self.count as u64) < pages,
            // Neither links nor totals: a full page may have one behind it.
            None => asked >= PAGE_SIZE,
        };
        match linked {
            _ if !goes_on => Next::End,
            _ if self.count == MAX_PAGES => Next::TooMany,
            Some(query) => Next::Query(query),
            None => Next::Query(numbered(self.count + 1)),
        }
    }
}

fn numbered(page: usize) -> Vec<(String, String)> {
    vec![
        ("pageSize".to_owned(), PAGE_SIZE.to_string()),
        ("pageNumber".to_owned(), page.to_string()),
    ]
}

/// The query of a link, which may be a path or a whole address.
fn query_of(link: &str) -> Option<Vec<(String, String)>> {
    let base = Url::parse("http://localhost/").ok()?;
    let url = base.join(link).ok()?;
    let pairs: Vec<(String, String)> = url
        .query_pairs()
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    (!pairs.is_empty()).then_some(pairs)
}

impl Rest {
    /// Reads a whole list; `fixed` stands in the query of every page.
    pub(super) async fn list(&self, path: &[&str], fixed: &[(&str, &str)]) -> Result<Vec<Entity>, RestError> {
        let mut pages = Pages::default();
        let mut query = numbered(1);
        loop {
            query.retain(|(name, _)| fixed.iter().all(|(fixed, _)| fixed != name));
            let pairs = query.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let pairs: Vec<(&str, &str)> = pairs.chain(fixed.iter().copied()).collect();
            let answered = self.call(&Request::get(path, &pairs, Priority::Bulk)).await?;
            match pages.add(answered.read()?) {
                Next::End => return Ok(pages.entities),
                Next::Query(next) => query = next,
                Next::TooMany => {
                    return Err(RestError::Unreadable {
                        call: answered.call,
                        reason: format!("the list has more than {MAX_PAGES} pages"),
                    });
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{MAX_PAGES, Next, PAGE_SIZE, Pages, numbered};

    fn add(pages: &mut Pages, page: serde_json::Value) -> Next {
        pages.add(serde_json::from_value(page).unwrap())
    }

    fn full(first: usize) -> Vec<serde_json::Value> {
        let entity = |n: usize| json!({"id": format!("id-{n}"), "name": format!("name {n}")});
        (first..first + PAGE_SIZE).map(entity).collect()
    }

    #[test]
    fn links_are_followed_by_their_query_alone_and_their_absence_ends_the_list() {
        let mut pages = Pages::default();
        let link = "https://elsewhere.example.com/api/v2/users?pageSize=100&cursor=a%26b";
        let next = add(&mut pages, json!({"entities": full(0), "nextUri": link}));
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            next,
            Next::Query(vec![pair("pageSize", "100"), pair("cursor", "a&b")])
        );
        // a full page, but the list has links and this page has none
        assert_eq!(add(&mut pages, json!({"entities": full(100)})), Next::End);
        assert_eq!(pages.entities.len(), 200);
    }

    #[test]
    fn totals_are_believed_and_without_them_a_full_page_has_one_behind_it() {
        let mut pages = Pages::default();
        let page = |n: usize| json!({"entities": full(n * PAGE_SIZE), "pageCount": 2});
        assert_eq!(add(&mut pages, page(0)), Next::Query(numbered(2)));
        assert_eq!(add(&mut pages, page(1)), Next::End);

        let mut pages = Pages::default();
        assert_eq!(
            add(&mut pages, json!({"entities": full(0)})),
            Next::Query(numbered(2))
        );
        assert_eq!(add(&mut pages, json!({"entities": [{"id": "last"}]})), Next::End);
        assert_eq!(pages.entities.len(), PAGE_SIZE + 1);
    }

    #[test]
    fn a_page_that_comes_twice_ends_the_list() {
        let mut pages = Pages::default();
        let page = || json!({"entities": full(0), "nextUri": "/api/v2/users?pageNumber=2"});
        assert!(matches!(add(&mut pages, page()), Next::Query(_)));
        assert_eq!(add(&mut pages, page()), Next::End);
        assert_eq!(pages.entities.len(), PAGE_SIZE);
    }

    #[test]
    fn a_list_without_end_is_an_error() {
        let mut pages = Pages::default();
        for n in 1..MAX_PAGES {
            let next = add(
                &mut pages,
                json!({"entities": [{"id": n.to_string()}], "pageCount": 9_999}),
            );
            assert_eq!(next, Next::Query(numbered(n + 1)));
        }
        let next = add(
            &mut pages,
            json!({"entities": [{"id": "more"}], "pageCount": 9_999}),
        );
        assert_eq!(next, Next::TooMany);
    }

    #[test]
    fn entities_carry_their_division_and_those_without_id_are_left_out() {
        let mut pages = Pages::default();
        let page = json!({"entities": [
            {"id": "q", "name": "Support", "division": {"id": "d", "name": "Home"}, "memberCount": 3},
            {"name": "hidden"},
            {"id": "n", "name": null, "division": null},
        ]});
        assert_eq!(add(&mut pages, page), Next::End);
        let told: Vec<_> = pages
            .entities
            .iter()
            .map(|entity| {
                (
                    entity.id.as_str(),
                    entity.name.as_str(),
                    entity.division_id.as_deref(),
                )
            })
            .collect();
        assert_eq!(told, [("q", "Support", Some("d")), ("n", "", None)]);
        assert_eq!(add(&mut Pages::default(), json!({})), Next::End);
    }
}
