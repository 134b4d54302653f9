//! A CloudEvent in the parts that a pattern is judged on.

use super::{Part, Pattern};
use crate::cloudevents::{CloudEvent, is_json};
use crate::error::Result;

impl Pattern {
    /// Whether the JSON format of a CloudEvent matches: `{"type": [..], "subject": [..], "data":
    /// {..}}` and so on.
    ///
    /// # Errors
    /// As [`Pattern::matches`].
    pub(crate) fn matches_cloud_event(&self, ce: &CloudEvent) -> Result<bool> {
        self.matches_members(&cloud_event(ce))
    }
}

/// The members of the JSON format of a CloudEvent. Data that is neither JSON nor text has no part: a
/// pattern could only look at its base64.
pub(crate) fn cloud_event(ce: &CloudEvent) -> Vec<(&str, Part<'_>)> {
    let mut members = Vec::with_capacity(8 + ce.extensions.len());
    members.extend([
        ("specversion", Part::Text("1.0")),
        ("id", Part::Text(&ce.id)),
        ("source", Part::Text(&ce.source)),
        ("type", Part::Text(&ce.ty)),
    ]);
    let optional = [
        ("subject", ce.subject.as_deref()),
        ("datacontenttype", ce.datacontenttype.as_deref()),
        ("time", ce.time.as_deref()),
    ];
    members.extend(optional.into_iter().filter_map(|(name, value)| Some((name, Part::Text(value?)))));
    if let Some(kind) = ce.datacontenttype.as_deref()
        && !ce.data.is_empty()
    {
        if is_json(kind) {
            members.push(("data", Part::Json(&ce.data)));
        } else if kind.starts_with("text/")
            && let Ok(text) = std::str::from_utf8(&ce.data)
        {
            members.push(("data", Part::Text(text)));
        }
    }
    members.extend(ce.extensions.iter().map(|(name, value)| (&**name, Part::Text(value))));
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudevents::write_json;

    #[test]
    fn parts_match_as_the_json_text_does() {
        let mut ce = crate::testing::event(7, "vm-1").ce;
        ce.data = br#"{"Key":7,"Vm":{"Name":"web-01"}}"#.to_vec();
        ce.extensions = [("vsphereapiversion".into(), "8.0".into())].into();
        let text = crate::cloudevents::CloudEvent {
            datacontenttype: Some("text/plain".into()),
            data: b"say \"hi\"".to_vec(),
            subject: None,
            ..ce.clone()
        };
        for (pattern, matching) in [
            (r#"{"data":{"Vm":{"Name":[{"prefix":"web-"}]}}}"#, [true, false]),
            (r#"{"data":["say \"hi\""]}"#, [false, true]),
            (r#"{"subject":["VmPoweredOnEvent"],"specversion":["1.0"]}"#, [true, false]),
            (r#"{"subject":[{"exists":false}],"id":["id-7"]}"#, [false, true]),
            (r#"{"vsphereapiversion":[{"prefix":"8"}],"time":[{"exists":true}]}"#, [true, true]),
            (r#"{"datacontenttype":["text/plain"],"source":[{"suffix":"/sdk"}]}"#, [false, true]),
        ] {
            let pattern = Pattern::compile(pattern).unwrap();
            for (ce, expected) in [&ce, &text].into_iter().zip(matching) {
                let mut json = Vec::new();
                write_json(ce, &mut json);
                assert_eq!(pattern.matches(&json).unwrap(), expected, "{pattern:?}");
                assert_eq!(pattern.matches_cloud_event(ce).unwrap(), expected, "{pattern:?}");
            }
        }
    }
}
