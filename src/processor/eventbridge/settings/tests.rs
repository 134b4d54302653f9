use std::path::Path;

use super::*;
use crate::config::file::Overrides;
use crate::kinds::{Config, parse};
use crate::testing::settings;

/// The last section is the bus.
const SECTIONS: &str = "
[source.vc01]
type = 'vcenter'
address = 'vc01'
username = 'u'
password = 'p'
[processor.screen]
type = 'eventbridge'
";

fn parsed(text: &str) -> Result<Config, String> {
    parse(text, Path::new("router.toml"), &Overrides::default(), &|_| None)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

#[test]
fn buses_of_aws() {
    let bus = |keys: &str| {
        let config = parsed(&format!("{SECTIONS}{keys}")).unwrap();
        let bus: &EventbridgeConfig = settings(&*config.processors[0].settings);
        bus.clone()
    };
    let plain = bus("region = 'eu-central-1'");
    assert_eq!((plain.event_bus, plain.bytes_max, plain.refresh.as_secs()), (None, 1_000_000, 300));
    assert!(plain.keys.is_none() && plain.rule.is_none() && plain.endpoint.is_none());
    assert_eq!(bus("region = 'cn-north-1'").bytes_max, 262_144);
    let arn = "arn:aws:events:us-east-1:123456789012:rule/vm/forward";
    let keys = "access_key_id = 'a'\nsecret_access_key = 'b'\nsession_token = 'c'";
    let full = bus(&format!(
        "rule_arn = '{arn}'\n{keys}\nevent_bus = 'arn:aws:events:us-east-1:1:event-bus/vm'\nfips = true\nmax_size = '256KiB'"
    ));
    assert_eq!((full.region.as_str(), full.rule.unwrap().name.as_str()), ("us-east-1", "forward"));
    assert!(full.keys.unwrap().session_token.is_some() && full.fips);
    assert_eq!(full.bytes_max, 262_144);
    for (keys, problem) in [
        ("", "7: processor.screen: needs `region`, such as \"eu-central-1\""),
        ("region = 'EU'", "9: processor.screen.region: \"EU\" is not a region such as \"eu-central-1\""),
        (
            "region = 'a'\nrule_arn = 'forward'",
            "10: processor.screen.rule_arn: \"forward\" is not the ARN of a rule, expected one such as \"arn:aws:events:eu-central-1:123456789012:rule/bus/name\"",
        ),
        (
            "region = 'a'\naccess_key_id = 'x'",
            "7: processor.screen: needs both `access_key_id` and `secret_access_key`, or neither for the AWS credential chain",
        ),
        (
            &format!("region = 'eu-west-1'\nrule_arn = '{arn}'"),
            "7: processor.screen: `region` is eu-west-1, and the rule is in us-east-1",
        ),
        (
            &format!("event_bus = 'other'\nrule_arn = '{arn}'"),
            "7: processor.screen: the rule is one of the bus `vm`, and events go to `other`",
        ),
    ] {
        let found = parsed(&format!("{SECTIONS}{keys}")).unwrap_err();
        assert_eq!(found.trim_end(), format!("router.toml:{problem}"));
    }
}
