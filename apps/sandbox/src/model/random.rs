//! Ids and secrets from passed-in entropy: the model itself reads no random source.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A small deterministic generator (SplitMix64), seeded for each input.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// `sequence` differs for each input, so that equal entropy never repeats ids.
    pub fn new(entropy: u64, sequence: u64) -> Self {
        Self(entropy ^ sequence.wrapping_mul(0xa076_1d64_78bd_642f))
    }

    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound.max(1)
    }

    /// `length` characters of base 62.
    pub fn text(&mut self, length: usize) -> String {
        let mut out = String::with_capacity(length);
        while out.len() < length {
            let mut bits = self.bits();
            for _ in 0..10.min(length - out.len()) {
                let index = usize::try_from(bits % 62).expect("a remainder of 62 fits");
                out.push(char::from(ALPHABET[index]));
                bits /= 62;
            }
        }
        out
    }

    /// An id as Stripe writes them: a prefix, `1` or `3`, and 23 characters.
    pub fn id(&mut self, prefix: &str) -> String {
        format!("{prefix}_1{}", self.text(23))
    }
}
