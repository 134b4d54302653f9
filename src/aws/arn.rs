//! Names of resources of AWS. Pure.

use crate::error::{Error, Result};

/// A rule's ARN: `arn:PARTITION:events:REGION:ACCOUNT:rule/[BUS/]NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RuleArn {
    /// As it was written.
    pub(crate) text: String,
    pub(crate) region: String,
    /// Whose it is.
    pub(crate) account: String,
    /// The bus; the default bus is called `default`.
    pub(crate) bus: String,
    pub(crate) name: String,
}

impl RuleArn {
    /// Takes an ARN apart.
    ///
    /// # Errors
    /// When it is not that of a rule.
    pub(crate) fn parse(text: &str) -> Result<RuleArn> {
        let wrong = || {
            Error::new(format!(
                "{text:?} is not the ARN of a rule, expected one such as \
                 \"arn:aws:events:eu-central-1:123456789012:rule/bus/name\""
            ))
        };
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let [scheme, _, service, region, account, resource] = parts[..] else { return Err(wrong()) };
        let rest = resource.strip_prefix("rule/").ok_or_else(wrong)?;
        let (bus, name) = rest.rsplit_once('/').unwrap_or(("default", rest));
        let complete = [region, account, bus, name].iter().all(|part| !part.is_empty());
        if scheme != "arn" || service != "events" || !complete {
            return Err(wrong());
        }
        Ok(RuleArn {
            text: text.to_string(),
            region: region.to_string(),
            account: account.to_string(),
            bus: bus.to_string(),
            name: name.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arns_of_rules() {
        let rule = RuleArn::parse("arn:aws:events:eu-central-1:123456789012:rule/vm").unwrap();
        assert_eq!((&*rule.bus, &*rule.name, &*rule.account), ("default", "vm", "123456789012"));
        let rule = RuleArn::parse("arn:aws-cn:events:cn-north-1:1:rule/aws.partner/a.com/b/vm").unwrap();
        assert_eq!((&*rule.bus, &*rule.name, &*rule.region), ("aws.partner/a.com/b", "vm", "cn-north-1"));
        for wrong in [
            "",
            "vm",
            "arn:aws:events:eu-central-1:123456789012:event-bus/vm",
            "arn:aws:sns:eu-central-1:123456789012:rule/vm",
            "arn:aws:events::123456789012:rule/vm",
            "arn:aws:events:eu-central-1:123456789012:rule/",
        ] {
            assert!(RuleArn::parse(wrong).is_err(), "{wrong}");
        }
    }
}
