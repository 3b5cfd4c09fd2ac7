//! What happened, in order: always as a hash, and as words where somebody wants to read them.

/// The trail of one run.
#[derive(Debug, Clone)]
pub struct Trail {
    hash: u64,
    steps: u64,
    lines: Option<Vec<String>>,
    /// Who moves just now.
    who: String,
    began: Option<i64>,
}

impl Trail {
    /// An empty trail; with `words` it keeps every line.
    pub fn new(words: bool) -> Self {
        let lines = words.then(Vec::new);
        Self { hash: 0xcbf2_9ce4_8422_2325, steps: 0, lines, who: String::new(), began: None }
    }

    /// What tells two runs apart.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines, if they are kept.
    pub fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }

    /// Who moves from now on.
    pub(crate) fn turn(&mut self, place: usize, who: impl FnOnce() -> String) {
        self.steps += 1;
        self.mix(place as u64);
        if self.lines.is_some() {
            self.who = who();
        }
    }

    pub(crate) fn note(&mut self, micros: i64, what: &'static str, words: impl FnOnce() -> String) {
        self.mix(micros.cast_unsigned());
        self.mix(what.len() as u64 ^ u64::from(what.as_bytes().first().copied().unwrap_or(0)) << 8);
        let began = *self.began.get_or_insert(micros);
        if let Some(lines) = &mut self.lines {
            let (seconds, rest) = ((micros - began) / 1_000_000, (micros - began) % 1_000_000 / 1000);
            let line = format!("{seconds:>8}.{rest:03}  {:<8} {what:<10} {}", self.who, words());
            lines.push(line);
        }
    }

    fn mix(&mut self, number: u64) {
        for byte in number.to_le_bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_tells_what_happened_whether_or_not_words_are_kept() {
        let trail = |words, what| {
            let mut trail = Trail::new(words);
            trail.turn(1, || "p0".to_owned());
            trail.note(5, what, || "more".to_owned());
            trail
        };
        assert_eq!(trail(true, "commit").hash(), trail(false, "commit").hash());
        assert_ne!(trail(true, "commit").hash(), trail(true, "claim").hash());
        assert_eq!((trail(true, "commit").lines().len(), trail(false, "commit").lines().len()), (1, 0));
    }
}
