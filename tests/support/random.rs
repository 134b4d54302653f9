//! Seeded random numbers: the seed is printed, and `EVENT_ROUTER_SEED` repeats a run.

/// A small generator (xorshift64*).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Starts from `EVENT_ROUTER_SEED`, else from the clock, and prints the seed.
    pub fn from_test(name: &str) -> Random {
        let clock = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        Random::from_test_or(name, clock.as_micros() as u64)
    }

    /// Starts from `EVENT_ROUTER_SEED`, else from `seed`, and prints the seed.
    pub fn from_test_or(name: &str, seed: u64) -> Random {
        let seed = std::env::var("EVENT_ROUTER_SEED").map_or(seed, |text| text.parse().unwrap());
        println!("{name}: EVENT_ROUTER_SEED={seed}");
        Random { state: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1 }
    }

    /// A number from 0 to `end`, `end` excluded.
    pub fn below(&mut self, end: usize) -> usize {
        (self.bits() % end as u64) as usize
    }

    /// Another generator that goes its own way.
    pub fn split(&mut self) -> Random {
        Random { state: self.bits() | 1 }
    }

    fn bits(&mut self) -> u64 {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        self.state.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}
