//! Values out of a fuzzer's bytes.

/// Takes values off the front. When nothing is left: zeros and empty texts.
pub struct Draw<'a>(&'a [u8]);

impl<'a> Draw<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// Below `end`, which is not zero.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(u16::from_be_bytes([if end > 256 { self.byte() } else { 0 }, self.byte()])) % end
    }

    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    /// Small, or of any size.
    pub fn number(&mut self) -> u64 {
        match self.byte() {
            0xFF => (0..8).fold(0, |number, _| number << 8 | u64::from(self.byte())),
            small => u64::from(small),
        }
    }

    /// To the next byte that no text holds. What is no UTF-8 is replaced.
    pub fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0xFF).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        String::from_utf8_lossy(text).into_owned()
    }

    /// All that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}
