//! Names become addresses here, and only here: what is checked is what is dialled.
//!
//! Responsible for leaving out the addresses that may not be dialled. Refuses a name that leads to nothing else.
//! Invariant: the connection is made to an address that this resolver has let pass, so that a name whose answer
//! changes between two look-ups gains nothing.

use std::net::{IpAddr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::address::{is_loopback, is_public};

/// Which addresses may be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// The public internet.
    Public,
    /// This machine: plain text never leaves it.
    Loopback,
    /// Any address.
    Any,
}

impl Reach {
    fn admits(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Loopback => is_loopback(address),
            Self::Any => true,
        }
    }
}

/// Every address of the name is out of reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum OutOfReach {
    /// Private addresses are not allowed.
    #[error(
        "the name leads to this machine or a private network alone; set webhook.allow_private = true if it is meant"
    )]
    Private,
    /// Plain text is for this machine alone.
    #[error("the name leads away from this machine, and the address is plain http; write https://")]
    Remote,
}

/// The system's resolver behind the filter.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilteringResolver(pub(super) Reach);

impl Resolve for FilteringResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            // the port of the URL takes the place of 0
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let addresses = filtered(reach, found)?;
            Ok(Box::new(addresses.into_iter()) as Addrs)
        })
    }
}

fn filtered(reach: Reach, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, OutOfReach> {
    let addresses: Vec<SocketAddr> = found.filter(|address| reach.admits(address.ip())).collect();
    match (addresses.is_empty(), reach) {
        (true, Reach::Loopback) => Err(OutOfReach::Remote),
        (true, _) => Err(OutOfReach::Private),
        (false, _) => Ok(addresses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn a_name_of_this_machine_is_looked_up_and_refused() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let resolve = |reach| {
            let name: Name = "localhost".parse().unwrap();
            runtime.block_on(FilteringResolver(reach).resolve(name))
        };
        let error = resolve(Reach::Public).err().unwrap();
        assert_eq!(error.downcast_ref(), Some(&OutOfReach::Private));
        for reach in [Reach::Loopback, Reach::Any] {
            assert!(resolve(reach).unwrap().all(|address| is_loopback(address.ip())));
        }
    }

    #[test]
    fn only_addresses_within_reach_are_handed_out() {
        let mixed = addresses(&[
            "10.0.0.1:0",
            "8.8.8.8:0",
            "127.0.0.1:0",
            "[::1]:0",
            "[2606:4700::1]:0",
        ]);
        for (reach, expected) in [
            (Reach::Public, vec!["8.8.8.8:0", "[2606:4700::1]:0"]),
            (Reach::Loopback, vec!["127.0.0.1:0", "[::1]:0"]),
        ] {
            assert_eq!(
                filtered(reach, mixed.iter().copied()).unwrap(),
                addresses(&expected)
            );
        }
        assert_eq!(filtered(Reach::Any, mixed.iter().copied()).unwrap(), mixed);
        let private = addresses(&["10.0.0.1:0", "[::ffff:192.168.0.1]:0"]).into_iter();
        assert_eq!(filtered(Reach::Public, private), Err(OutOfReach::Private));
        let remote = addresses(&["8.8.8.8:0"]).into_iter();
        assert_eq!(filtered(Reach::Loopback, remote), Err(OutOfReach::Remote));
    }
}
