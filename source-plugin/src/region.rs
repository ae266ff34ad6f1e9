//! The production regions of Genesys Cloud and the domain each one lives under.
//!
//! Refuses a name that is not in the table; a domain that is not in it is free to be used as it stands, because
//! regions appear in the field before any table has them. The names and domains are the vendor's.

/// One production region.
///
/// # Source
/// Vendor SDKs (JavaScript 259.0.0 `PureCloudRegionHosts.js`, Go 188.0.0 `configuration.go`), read 2026-11-23.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// AWS name, the one that `GENESYS_ENV` carries: `us-east-1`.
    pub name: &'static str,
    /// Domain below which the hosts `login.` and `api.` live: `mypurecloud.com`.
    pub domain: &'static str,
}

/// Every production region, in the order of the vendor's table.
pub const REGIONS: [Region; 18] = [
    region("us-east-1", "mypurecloud.com"),
    region("us-east-2", "use2.us-gov-pure.cloud"),
    region("us-west-2", "usw2.pure.cloud"),
    region("ca-central-1", "cac1.pure.cloud"),
    region("mx-central-1", "mxc1.pure.cloud"),
    region("sa-east-1", "sae1.pure.cloud"),
    region("eu-west-1", "mypurecloud.ie"),
    region("eu-west-2", "euw2.pure.cloud"),
    region("eu-central-1", "mypurecloud.de"),
    region("eu-central-2", "euc2.pure.cloud"),
    region("eusc-de-east-1", "edee1.eusc-pure.cloud"),
    region("me-central-1", "mec1.pure.cloud"),
    region("ap-south-1", "aps1.pure.cloud"),
    region("ap-southeast-1", "apse1.pure.cloud"),
    region("ap-southeast-2", "mypurecloud.com.au"),
    region("ap-northeast-1", "mypurecloud.jp"),
    region("ap-northeast-2", "apne2.pure.cloud"),
    region("ap-northeast-3", "apne3.pure.cloud"),
];

const fn region(name: &'static str, domain: &'static str) -> Region {
    Region { name, domain }
}

/// A region name that is in no table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown region {name:?}; known are {}", known_names())]
pub struct UnknownRegion {
    /// The name as it was given.
    pub name: String,
}

impl UnknownRegion {
    /// Says whether trying again may help: never.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        false
    }
}

impl Region {
    /// Finds a region by its AWS name (`us-east-1`), its SDK constant (`us_east_1`), its domain
    /// (`usw2.pure.cloud`) or the short name in a `pure.cloud` domain (`usw2`); case does not matter.
    ///
    /// # Errors
    /// [`UnknownRegion`], which lists the known names; not retryable.
    pub fn find(name: &str) -> Result<Self, UnknownRegion> {
        let wanted = name.trim().to_ascii_lowercase();
        let dashed = wanted.replace('_', "-");
        REGIONS
            .into_iter()
            .find(|region| {
                region.name == dashed
                    || region.domain == wanted
                    || region.short_name() == Some(wanted.as_str())
            })
            .ok_or_else(|| UnknownRegion {
                name: name.to_owned(),
            })
    }

    /// Returns the label that names the region in a domain of three or more parts, such as `usw2`.
    #[must_use]
    pub fn short_name(&self) -> Option<&'static str> {
        let (short, rest) = self.domain.split_once('.')?;
        (short != "mypurecloud" && rest.contains('.')).then_some(short)
    }
}

fn known_names() -> String {
    REGIONS.map(|region| region.name).join(", ")
}

#[cfg(test)]
mod tests {
    use super::{REGIONS, Region};

    #[test]
    fn every_region_is_found_by_each_of_its_names() {
        for region in REGIONS {
            assert_eq!(Region::find(region.name), Ok(region));
            assert_eq!(
                Region::find(&region.name.replace('-', "_").to_uppercase()),
                Ok(region)
            );
            assert_eq!(Region::find(region.domain), Ok(region));
            if let Some(short) = region.short_name() {
                assert_eq!(Region::find(short), Ok(region));
            }
        }
        assert_eq!(Region::find("usw2").unwrap().domain, "usw2.pure.cloud");
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        let message = Region::find("us-east-9").unwrap_err().to_string();
        assert!(
            message.starts_with("unknown region \"us-east-9\"; known are us-east-1, "),
            "{message}"
        );
        assert!(REGIONS.iter().all(|region| message.contains(region.name)));
    }
}
