//! How numbers of things are said.

/// `1 failure`, `2 failures`, `12,623 failures`.
pub(crate) fn count(number: u64, what: &str) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 2 + what.len() + 2);
    for (place, digit) in digits.chars().enumerate() {
        if 0 < place && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    match what.strip_suffix('y') {
        Some(stem) if number != 1 => text + " " + stem + "ies",
        _ if number == 1 => text + " " + what,
        _ => text + " " + what + "s",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one_and_many_are_grouped() {
        for (number, text) in
            [(0, "0 failures"), (1, "1 failure"), (999, "999 failures"), (12_623, "12,623 failures")]
        {
            assert_eq!(count(number, "failure"), text);
        }
        assert_eq!(
            (count(1, "delivery"), count(2, "delivery")),
            ("1 delivery".into(), "2 deliveries".into())
        );
        assert_eq!(count(1_000_000, "event"), "1,000,000 events");
    }
}
