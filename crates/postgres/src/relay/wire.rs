//! The few words of the protocol that tell where something is committed.

use std::collections::HashSet;

use super::Commit;

/// What the statement that stores events says, and no other.
const EVENTS: &[u8] = b"INSERT INTO inbox_events";

/// What a client says.
#[derive(Default)]
pub(super) struct Questions {
    messages: Messages,
    /// Whether the first message was seen, which has no letter before it.
    started: bool,
    /// Names of prepared statements that store events.
    events: HashSet<Vec<u8>>,
}

/// What a server says.
#[derive(Default)]
pub(super) struct Answers {
    messages: Messages,
}

impl Questions {
    /// What is committed by what ends in these bytes.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Option<Commit> {
        self.messages.add(bytes);
        if !self.started && self.messages.next(0).is_some() {
            self.started = true;
        }
        let mut commits = None;
        while self.started
            && let Some(message) = self.messages.next(1)
        {
            commits = self.commits(&message).or(commits);
        }
        commits
    }

    fn commits(&mut self, message: &[u8]) -> Option<Commit> {
        let body = &message[5..];
        let mut texts = body.split(|byte| *byte == 0);
        match message[0] {
            b'Q' => texts.next()?.eq_ignore_ascii_case(b"COMMIT").then_some(Commit::Decisions),
            b'P' => {
                let (name, sql) = (texts.next()?, texts.next()?);
                if sql.windows(EVENTS.len()).any(|part| part == EVENTS) {
                    self.events.insert(name.to_vec());
                } else {
                    self.events.remove(name);
                }
                None
            }
            b'B' => {
                let (_portal, name) = (texts.next()?, texts.next()?);
                self.events.contains(name).then_some(Commit::Events)
            }
            _ => None,
        }
    }
}

impl Answers {
    /// Whether an answer is over within these bytes, with no transaction open.
    pub(super) fn read(&mut self, bytes: &[u8]) -> bool {
        self.messages.add(bytes);
        let mut is_over = false;
        while let Some(message) = self.messages.next(1) {
            is_over |= message[0] == b'Z' && message.last() == Some(&b'I');
        }
        is_over
    }
}

/// Bytes on their way to be messages: a letter, a length that counts itself, a body.
#[derive(Default)]
struct Messages {
    bytes: Vec<u8>,
}

impl Messages {
    fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole message, with so many letters before its length.
    fn next(&mut self, letters: usize) -> Option<Vec<u8>> {
        let length = self.bytes.get(letters..letters + 4)?;
        let length = u32::from_be_bytes(length.try_into().ok()?);
        let end = letters + usize::try_from(length).ok()?.max(4);
        (self.bytes.len() >= end).then(|| self.bytes.drain(..end).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(letter: &[u8], body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [letter, length.as_slice(), body].concat()
    }

    #[test]
    fn commits_are_seen_in_whatever_pieces_they_come() {
        let insert = [b"s1\0WITH event AS (".as_slice(), EVENTS, b" (id))\0\0\0"].concat();
        let said = [
            (message(b"", b"\0\x03\0\0user\0me\0\0"), None),
            (message(b"Q", b"BEGIN\0"), None),
            (message(b"Q", b"COMMIT\0"), Some(Commit::Decisions)),
            (message(b"P", &insert), None),
            (message(b"B", b"\0s1\0\0\0\0"), Some(Commit::Events)),
            (message(b"B", b"\0s2\0\0\0\0"), None),
        ];
        for piece in [1, 3, 1000] {
            let mut wire = Questions::default();
            for (bytes, commits) in &said {
                let seen = bytes.chunks(piece).filter_map(|piece| wire.read(piece)).last();
                assert_eq!(seen, *commits, "in pieces of {piece}: {:?}", String::from_utf8_lossy(bytes));
            }
        }
    }

    #[test]
    fn an_answer_is_over_when_no_transaction_is_open() {
        let mut wire = Answers::default();
        assert!(!wire.read(&message(b"C", b"INSERT 0 1\0")));
        assert!(!wire.read(&message(b"Z", b"T")));
        let last = message(b"Z", b"I");
        assert!(!wire.read(&last[..4]));
        assert!(wire.read(&last[4..]));
    }
}
