//! The table that says which route goes to which outlet.
//!
//! Responsible for the table alone; the outlets themselves are made elsewhere. Refuses nothing. Invariant: every route has
//! an outlet, if only [`Outlet::Absent`].

use std::path::PathBuf;

use super::Route;

/// Where one route goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outlet {
    /// The topic of the route.
    Kafka,
    /// The webhook.
    Webhook,
    /// Lines on standard output.
    Lines,
    /// A local file.
    File(PathBuf),
    /// Nowhere: parcels of this route are failures.
    Absent,
}

/// The outlet of each route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Routing {
    /// Normalized events.
    pub events: Outlet,
    /// Dead letters.
    pub dead_letters: Outlet,
    /// Control records.
    pub control: Outlet,
    /// Audit records.
    pub audit: Outlet,
    /// Dead letters that their own destination refused.
    pub last_resort: Outlet,
}

impl Routing {
    /// Each route with its outlet.
    #[must_use]
    pub fn table(&self) -> [(Route, &Outlet); 5] {
        [
            (Route::Event, &self.events),
            (Route::DeadLetter, &self.dead_letters),
            (Route::Control, &self.control),
            (Route::Audit, &self.audit),
            (Route::LastResort, &self.last_resort),
        ]
    }

    /// The outlets in the order of [`Route::index`].
    pub(super) fn into_table(self) -> [Outlet; 5] {
        [
            self.events,
            self.dead_letters,
            self.control,
            self.audit,
            self.last_resort,
        ]
    }
}
