//! A hash of a few numbers, for maps that every event passes and that are bounded: the standard hasher takes a
//! hundredth of all the work for an event. A source that makes numbers collide only slows down itself.

use std::hash::{BuildHasherDefault, Hasher};

/// Makes the hasher.
pub(crate) type Mixing = BuildHasherDefault<Mixed>;

#[derive(Debug, Default)]
pub(crate) struct Mixed(u64);

impl Hasher for Mixed {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_i32(&mut self, number: i32) {
        self.write_u64(u64::from(number.cast_unsigned()));
    }

    fn write_i64(&mut self, number: i64) {
        self.write_u64(number.cast_unsigned());
    }

    // Multiplied by 2^64 over the golden ratio, so that neighbours are far apart in the upper bits.
    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(23) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }

    fn finish(&self) -> u64 {
        self.0 ^ (self.0 >> 32)
    }
}
