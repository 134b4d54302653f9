//! Members of one object that cannot be printed as they come: those unknown to the class, those
//! newer than the Go router, and all of them when they come in another order than printed.

use super::scalar;
use super::schema::{self, Class};
use super::xml::XmlError;
use crate::limits::OBJECT_MEMBERS_MAX;

/// Place of members that the class does not know: behind all others, in the order of their coming.
const UNKNOWN: usize = usize::MAX;

/// Members with their values as JSON. A name that comes again makes an array.
#[derive(Default)]
pub(super) struct Members {
    members: Vec<Member>,
}

struct Member {
    place: usize,
    name: String,
    array: bool,
    values: Vec<u8>,
}

impl Members {
    /// Adds one value of the member at `place` of `class`; `None` when the class does not know it.
    /// Tells whether the name came again although it should not.
    ///
    /// # Errors
    /// There are already more different ones than any real object has.
    pub(super) fn add(
        &mut self,
        class: &Class,
        place: Option<usize>,
        name: &str,
        value: &[u8],
    ) -> Result<bool, XmlError> {
        let known = place.and_then(|place| class.members.get(place));
        let place = place.unwrap_or(UNKNOWN);
        let same =
            |m: &&mut Member| m.place == place && (place != UNKNOWN || schema::same_go_name(&m.name, name));
        if let Some(member) = self.members.iter_mut().find(same) {
            let unexpected = !member.array && known.is_some();
            member.array = true;
            member.values.push(b',');
            member.values.extend_from_slice(value);
            return Ok(unexpected);
        }
        if OBJECT_MEMBERS_MAX <= self.members.len() {
            return Err(XmlError(format!("an object has more than {OBJECT_MEMBERS_MAX} unusual members")));
        }
        let array = known.is_some_and(|m| m.array);
        // In the order of places, and at one place in that of their coming.
        let at = self.members.partition_point(|m| m.place <= place);
        self.members.insert(at, Member { place, name: name.to_owned(), array, values: value.to_vec() });
        Ok(false)
    }

    /// Ends the object that began at `begin` of `out` and has its members before the place `next`
    /// printed: adds these, and those that are absent but always printed.
    pub(super) fn finish(self, out: &mut Vec<u8>, begin: usize, class: &Class, mut next: usize) {
        for member in &self.members {
            let place = member.place.min(class.always);
            out.extend_from_slice(class.absent(next, place));
            next = place;
            if member.place < class.always {
                out.extend_from_slice(class.key(&class.members[place]));
                next += 1;
            } else {
                out.push(if out.len() == begin { b'{' } else { b',' });
                scalar::string(out, &schema::go_name(&member.name));
                out.push(b':');
            }
            if member.array {
                out.push(b'[');
            }
            out.extend_from_slice(&member.values);
            if member.array {
                out.push(b']');
            }
        }
        out.extend_from_slice(class.absent(next, class.always));
        if out.len() == begin {
            out.push(b'{');
        }
        out.push(b'}');
    }
}
