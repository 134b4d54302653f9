//! Hosts of AWS by region. Pure. Facts: the endpoint rules of AWS's
//! SDKs for EventBridge and STS.

/// Which of a region's endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Variant {
    /// With cryptography by FIPS 140.
    pub(crate) fips: bool,
    /// With IPv4 and IPv6.
    pub(crate) dual_stack: bool,
}

/// The address of EventBridge in a region.
pub(crate) fn events_url(region: &str, variant: Variant) -> String {
    url("events", region, variant)
}

/// The address of the security token service in a region.
pub(crate) fn sts_url(region: &str, variant: Variant) -> String {
    url("sts", region, variant)
}

fn url(service: &str, region: &str, variant: Variant) -> String {
    // (begin of the regions' names, domain, domain of the dual stack, FIPS has a name of its own)
    const PARTITIONS: [(&str, &str, &str, bool); 8] = [
        ("cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn", true),
        ("us-gov-", "amazonaws.com", "api.aws", false),
        ("us-isob-", "sc2s.sgov.gov", "api.aws.scloud", true),
        ("us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov", true),
        ("us-iso-", "c2s.ic.gov", "api.aws.ic.gov", true),
        ("eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", true),
        ("eusc-", "amazonaws.eu", "api.amazonwebservices.eu", true),
        ("", "amazonaws.com", "api.aws", true),
    ];
    let partition = PARTITIONS.iter().find(|(begin, ..)| region.starts_with(begin));
    let (_, plain, dual, own_fips) = partition.copied().unwrap_or(PARTITIONS[PARTITIONS.len() - 1]);
    let fips = if variant.fips && (own_fips || variant.dual_stack) { "-fips" } else { "" };
    let domain = if variant.dual_stack { dual } else { plain };
    format!("https://{service}{fips}.{region}.{domain}/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts() {
        let plain = Variant::default();
        let fips = Variant { fips: true, dual_stack: false };
        let dual = Variant { fips: false, dual_stack: true };
        let both = Variant { fips: true, dual_stack: true };
        for (region, variant, host) in [
            ("eu-central-1", plain, "events.eu-central-1.amazonaws.com"),
            ("eu-central-1", dual, "events.eu-central-1.api.aws"),
            ("us-east-1", fips, "events-fips.us-east-1.amazonaws.com"),
            ("us-east-1", both, "events-fips.us-east-1.api.aws"),
            ("us-gov-west-1", plain, "events.us-gov-west-1.amazonaws.com"),
            ("us-gov-west-1", fips, "events.us-gov-west-1.amazonaws.com"),
            ("us-gov-east-1", both, "events-fips.us-gov-east-1.api.aws"),
            ("cn-north-1", plain, "events.cn-north-1.amazonaws.com.cn"),
            ("cn-northwest-1", dual, "events.cn-northwest-1.api.amazonwebservices.com.cn"),
            ("us-iso-east-1", plain, "events.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", plain, "events.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            assert_eq!(events_url(region, variant), format!("https://{host}/"));
        }
        assert_eq!(sts_url("cn-north-1", plain), "https://sts.cn-north-1.amazonaws.com.cn/");
        assert_eq!(sts_url("us-west-2", fips), "https://sts-fips.us-west-2.amazonaws.com/");
    }
}
