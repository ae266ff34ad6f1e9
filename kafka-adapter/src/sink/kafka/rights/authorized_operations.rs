//! The one question of librdkafka's C Admin API that rdkafka 0.39 does not wrap: which operations the brokers allow this
//! client on topics.
//!
//! Responsible for the calls, and for copying what they answer. Refuses to judge it, and to wait longer than it is told.
//! Invariant: nothing of the library's outlives a question, since every object has an owner here that gives it back.
//!
//! # Source
//! `rdkafka.h` of librdkafka 2.12.1, whose Admin API has `DescribeTopics` since 2.3; KIP-430.
#![expect(
    unsafe_code,
    reason = "calls librdkafka, which has no safe wrapper for this; each operation has its proof beside it"
)]

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::{Duration, Instant};

use rdkafka::bindings as library;
use rdkafka::bindings::{rd_kafka_AdminOptions_t, rd_kafka_error_t, rd_kafka_event_t, rd_kafka_queue_t};
use rdkafka::client::{Client, ClientContext};

/// Longest `request_timeout` that librdkafka takes, in milliseconds.
const MOST_MS: u128 = 3_600_000;
/// How much longer than the library's own time its answer is awaited: it says itself that the time was over.
const GRACE: Duration = Duration::from_secs(1);

// The bindings' enum of codes has those of its version alone, and a broker may answer with any number: what C returns is
// an `int`, and is taken as one.
unsafe extern "C" {
    #[link_name = "rd_kafka_event_error"]
    fn event_error_code(event: *mut rd_kafka_event_t) -> c_int;
    #[link_name = "rd_kafka_error_code"]
    fn error_code(error: *const rd_kafka_error_t) -> c_int;
}

/// What the brokers answer about one topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Described {
    /// Its name.
    pub(super) name: String,
    /// Numbers of operations as KIP-430 and Kafka's ACLs count them; none where the brokers do not tell them.
    pub(super) operations: Result<Option<Vec<u32>>, Refusal>,
}

/// A broker's or the library's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// Its code: Kafka's own if positive, else librdkafka's.
    pub(super) code: i32,
    /// The same in words.
    pub(super) words: String,
}

/// Asks for topics, none of which is named twice, within `wait` and a second.
///
/// # Errors
/// In words, if there was no answer; retryable.
pub(super) fn of_topics<C: ClientContext>(
    client: &Client<C>,
    names: &[&str],
    wait: Duration,
) -> Result<Vec<Described>, String> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the array has as many elements as are named, each a text that ends with a zero and lives as long as
    // `names`; the library copies them.
    let topics =
        unsafe { library::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    // SAFETY: it was made by the call above, for us alone, and its documentation names this function.
    let topics = unsafe { Owned::new(topics, library::rd_kafka_TopicCollection_destroy) }?;
    let options = options(client, wait)?;
    // SAFETY: the client lives, and a queue needs nothing else.
    let queue = unsafe { library::rd_kafka_queue_new(client.native_ptr()) };
    // SAFETY: it was made by the call above, for us alone, and its documentation names this function.
    let queue = unsafe { Owned::new(queue, library::rd_kafka_queue_destroy) }?;
    // SAFETY: the client lives as long as its borrow, and all three objects live until the end of this function; the
    // library copies topics and options, and counts its own use of the queue.
    unsafe {
        library::rd_kafka_DescribeTopics(
            client.native_ptr(),
            topics.pointer(),
            options.pointer(),
            queue.pointer(),
        );
    }
    described(&answer(&queue, wait + GRACE)?)
}

/// Options of a question that asks for operations, too.
fn options<C: ClientContext>(
    client: &Client<C>,
    wait: Duration,
) -> Result<Owned<rd_kafka_AdminOptions_t>, String> {
    let kind = library::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    // SAFETY: the client lives, and the kind is one of the library's own.
    let options = unsafe { library::rd_kafka_AdminOptions_new(client.native_ptr(), kind) };
    // SAFETY: they were made by the call above, for us alone, and its documentation names this function.
    let options = unsafe { Owned::new(options, library::rd_kafka_AdminOptions_destroy) }?;
    let wait_ms = c_int::try_from(wait.as_millis().clamp(1, MOST_MS)).unwrap_or(c_int::MAX);
    let mut said = [0; 256];
    // SAFETY: the options live, and the library writes no more than the length of the buffer that is given with it.
    let refused = unsafe {
        library::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer(),
            wait_ms,
            said.as_mut_ptr(),
            said.len(),
        )
    };
    if refused != library::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Err(format!("librdkafka takes no time-out of {wait_ms} ms"));
    }
    // SAFETY: the options live, and were made for a question that has this one.
    let refused =
        unsafe { library::rd_kafka_AdminOptions_set_include_authorized_operations(options.pointer(), 1) };
    if refused.is_null() {
        return Ok(options);
    }
    // SAFETY: an error that is returned is the caller's, and its documentation names this function.
    drop(unsafe { Owned::new(refused, library::rd_kafka_error_destroy) });
    Err("librdkafka cannot ask for rights".to_owned())
}

/// The answer that comes into the queue.
fn answer(queue: &Owned<rd_kafka_queue_t>, wait: Duration) -> Result<Owned<rd_kafka_event_t>, String> {
    let deadline = Instant::now() + wait;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left_ms = c_int::try_from(left.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue lives, and nobody else reads it.
        let event = unsafe { library::rd_kafka_queue_poll(queue.pointer(), left_ms) };
        if !event.is_null() {
            // SAFETY: an event that is returned is the caller's, and its documentation names this function.
            return unsafe { Owned::new(event, library::rd_kafka_event_destroy) };
        }
        if left.is_zero() {
            return Err(format!("no answer within {} ms", wait.as_millis()));
        }
    }
}

fn described(event: &Owned<rd_kafka_event_t>) -> Result<Vec<Described>, String> {
    // SAFETY: the event lives.
    if unsafe { event_error_code(event.pointer()) } != 0 {
        // SAFETY: the event lives.
        let words = unsafe { library::rd_kafka_event_error_string(event.pointer()) };
        // SAFETY: null, or a text that ends with a zero and lives as long as the event.
        return Err(unsafe { text(words) });
    }
    // SAFETY: the event lives; one of another kind gives null.
    let result = unsafe { library::rd_kafka_event_DescribeTopics_result(event.pointer()) };
    if result.is_null() {
        return Err("librdkafka answered another question".to_owned());
    }
    let mut count = 0;
    // SAFETY: the result is that of the living event, and the count is ours to write.
    let first = unsafe { library::rd_kafka_DescribeTopics_result_topics(result, &raw mut count) };
    // SAFETY: the library gives an array of this count, which lives as long as the event.
    let topics = unsafe { array(event, first, count) };
    // an answer that leaves a topic out leaves a hole in the array
    let topics = topics.iter().filter(|topic| !topic.is_null());
    Ok(topics
        .map(|topic| {
            // SAFETY: not null, and one of the living event's.
            let name = unsafe { library::rd_kafka_TopicDescription_name(*topic) };
            Described {
                // SAFETY: null, or a text that ends with a zero and lives as long as the event.
                name: unsafe { text(name) },
                operations: operations(event, *topic),
            }
        })
        .collect())
}

/// What is told of one of the event's topics.
fn operations(
    event: &Owned<rd_kafka_event_t>,
    topic: *const library::rd_kafka_TopicDescription_t,
) -> Result<Option<Vec<u32>>, Refusal> {
    // SAFETY: the caller's topic is one of the living event's.
    let error = unsafe { library::rd_kafka_TopicDescription_error(topic) };
    // SAFETY: null, for which the answer is 0, or an error of the living event's.
    let code = unsafe { error_code(error) };
    if code != 0 {
        // SAFETY: as above; null gives an empty text.
        let words = unsafe { library::rd_kafka_error_string(error) };
        return Err(Refusal {
            code,
            // SAFETY: null, or a text that ends with a zero and lives as long as the error.
            words: unsafe { text(words) },
        });
    }
    let mut count = 0;
    // SAFETY: the topic is one of the living event's, and the count is ours to write.
    let first = unsafe { library::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut count) };
    if first.is_null() {
        return Ok(None);
    }
    // SAFETY: the library gives an array of this count, which lives as long as the event. It is read as the numbers that
    // C keeps an enum in, so that one of a later version is no invalid value; the bindings' enum has the same layout.
    let numbers = unsafe { array(event, first.cast::<u32>(), count) };
    Ok(Some(numbers.to_vec()))
}

/// An array of the library's.
///
/// # Safety
/// `first` is null or the first of `count` elements, which live unchanged as long as `owner`.
unsafe fn array<T, O>(_owner: &Owned<O>, first: *const T, count: usize) -> &[T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: not null, and the rest is the caller's promise.
    unsafe { std::slice::from_raw_parts(first, count) }
}

/// A copy of a text of the library's; empty for null.
///
/// # Safety
/// `said` is null or a text that ends with a zero.
unsafe fn text(said: *const c_char) -> String {
    if said.is_null() {
        return String::new();
    }
    // SAFETY: not null, and the rest is the caller's promise.
    unsafe { CStr::from_ptr(said) }.to_string_lossy().into_owned()
}

/// An object of the library's that is given back with this.
struct Owned<T> {
    object: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// Takes an object over.
    ///
    /// # Errors
    /// In words, if there is none.
    ///
    /// # Safety
    /// `object` is null, or nobody else gives it back and `destroy` does.
    unsafe fn new(object: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self, String> {
        let object = NonNull::new(object).ok_or_else(|| "librdkafka gave nothing to ask with".to_owned())?;
        Ok(Self { object, destroy })
    }

    fn pointer(&self) -> *mut T {
        self.object.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: by the promise of `new` it is ours, alive, and this gives it back; nothing uses it afterwards.
        unsafe { (self.destroy)(self.object.as_ptr()) };
    }
}
