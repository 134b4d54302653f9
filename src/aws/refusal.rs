//! The error code and the message of an answer that refuses. Pure.

use serde::Deserialize;

/// The code and the message of a refusal: from the header `x-amzn-errortype` and a body in JSON, or
/// in XML as the security token service and some simulators answer.
pub(crate) fn code_and_message(header: Option<&str>, body: &[u8]) -> (String, String) {
    #[derive(Default, Deserialize)]
    struct Body {
        #[serde(rename = "__type")]
        ty: Option<String>,
        code: Option<String>,
        message: Option<String>,
        #[serde(rename = "Message")]
        capital_message: Option<String>,
    }
    let text = String::from_utf8_lossy(body);
    let json: Body = serde_json::from_str(&text).unwrap_or_default();
    let code = header.map(str::to_string).or(json.ty).or(json.code).or_else(|| element(&text, "Code"));
    let message = json.message.or(json.capital_message).or_else(|| element(&text, "Message"));
    // A namespace may precede the code, and an address may follow it.
    let code = code.unwrap_or_default();
    let code = code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default();
    (code.trim().to_string(), message.unwrap_or_default())
}

/// The text of the first element of a name, in XML without attributes and entities.
pub(super) fn element(xml: &str, name: &str) -> Option<String> {
    let begin = xml.split_once(&format!("<{name}>"))?.1;
    Some(begin.split_once("</")?.0.trim().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_in_all_their_places() {
        let parsed = |header, body: &str| code_and_message(header, body.as_bytes());
        let pair = |code: &str, message: &str| (code.to_string(), message.to_string());
        assert_eq!(
            parsed(
                None,
                r#"{"__type":"com.amazon.coral.service#AccessDeniedException:http://x","Message":"no"}"#
            ),
            pair("AccessDeniedException", "no")
        );
        assert_eq!(parsed(Some("Throttling:http://x/"), r#"{"message":"slow"}"#), pair("Throttling", "slow"));
        let xml = "<ErrorResponse xmlns=\"x\"><Error><Code>InvalidClientTokenId</Code>\
            <Message>The security token</Message></Error></ErrorResponse>";
        assert_eq!(parsed(None, xml), pair("InvalidClientTokenId", "The security token"));
        assert_eq!(parsed(None, "\u{0}<Code>"), pair("", ""));
    }
}
