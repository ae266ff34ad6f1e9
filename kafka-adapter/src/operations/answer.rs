//! What is answered to a request.
//!
//! Responsible for the two paths, their statuses and their bodies. Refuses every method but GET and HEAD, and every
//! other path. Invariant: an answer is JSON or one line of text, and is never kept by a cache.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Response, StatusCode};

use super::Health;

/// What a path that is none of ours is answered.
const PATHS: &str = "no such path; there are /healthz and /readyz\n";
/// The methods of both paths.
const METHODS: &str = "GET, HEAD";

/// Answers a request by its method and its path; a server leaves the body of an answer to HEAD out by itself.
pub(super) fn answer(method: &Method, path: &str, health: &Health) -> Response<Full<Bytes>> {
    let is_health = match path {
        "/healthz" => true,
        "/readyz" => false,
        _ => return text(StatusCode::NOT_FOUND, PATHS),
    };
    if method != Method::GET && method != Method::HEAD {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD are answered\n");
        refused
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(METHODS));
        return refused;
    }
    let (is_well, body) = if is_health {
        let is_alive = health.is_alive();
        (is_alive, format!("{{\"alive\":{is_alive}}}"))
    } else {
        let readiness = health.readiness();
        // it is made of text alone, which is always JSON
        let body = serde_json::to_string(&readiness).unwrap_or_default();
        (readiness.ready, body)
    };
    let status = if is_well {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    response(status, "application/json", body + "\n")
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    response(status, "text/plain; charset=utf-8", body)
}

fn response(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_and_method_has_its_status() {
        let health = Health::new(0);
        for (method, path, status) in [
            (Method::GET, "/healthz", 200),
            (Method::HEAD, "/healthz", 200),
            // a run that starts is alive and not ready
            (Method::GET, "/readyz", 503),
            (Method::HEAD, "/readyz", 503),
            (Method::POST, "/readyz", 405),
            (Method::CONNECT, "/healthz", 405),
            (Method::GET, "/", 404),
            (Method::GET, "/healthz/", 404),
            (Method::DELETE, "/metrics", 404),
        ] {
            let answered = answer(&method, path, &health);
            assert_eq!(answered.status().as_u16(), status, "{method} {path}");
            assert_eq!(answered.headers()[CACHE_CONTROL], "no-store");
            assert_eq!(answered.headers().contains_key(ALLOW), status == 405);
        }
    }
}
