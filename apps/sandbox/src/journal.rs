//! A journal of inputs: what was acknowledged to a client is there after any crash of the process.
//!
//! The model is deterministic, so its inputs are its state. A journal that has become long is replaced by a snapshot
//! of the state and a new, empty journal; the snapshot names its journal, so a crash between the two does no harm.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::{Input, Model, Time};

/// One input, as it was applied.
#[derive(Deserialize)]
struct Entry {
    wall: Time,
    entropy: u64,
    input: Input,
}

#[derive(Deserialize)]
struct Snapshot {
    /// The journal that continues this snapshot.
    journal: u64,
    model: Model,
}

/// An entry that is being written.
#[derive(Serialize)]
struct EntryRef<'a> {
    wall: Time,
    entropy: u64,
    input: &'a Input,
}

/// A snapshot that is being written: a state of hundreds of megabytes is not copied for it.
#[derive(Serialize)]
struct SnapshotRef<'a> {
    journal: u64,
    model: &'a Model,
}

/// An open journal.
#[derive(Debug)]
pub(crate) struct Journal {
    folder: PathBuf,
    number: u64,
    file: File,
    bytes: u64,
    /// Keeps other processes out of the folder for as long as this one lives.
    _lock: File,
}

/// A journal longer than this is replaced by a snapshot.
const BYTES_MAX: u64 = 256 * 1024 * 1024;
/// A journal shorter than this goes on after a start: it is replayed in well under a second.
const CONTINUED_MAX: u64 = 2 * 1024 * 1024;

impl Journal {
    /// Rebuilds the state from a folder and begins a new journal in it.
    ///
    /// # Errors
    /// When the folder is used by another process, cannot be read or written, or holds what is no state.
    pub(crate) fn open(folder: &Path) -> io::Result<(Model, Self)> {
        fs::create_dir_all(folder)?;
        let lock = lock(folder)?;
        let (mut model, number) = read_snapshot(folder)?;
        let path = journal_path(folder, number);
        let bytes = replay(&path, &mut model)?;
        // A short journal goes on, so that a large state is not written at each start.
        let file = OpenOptions::new().append(true).open(&path).ok().filter(|_| bytes < CONTINUED_MAX);
        let journal = match file {
            Some(file) => Self { folder: folder.to_owned(), number, file, bytes, _lock: lock },
            None => {
                let file = begin(folder, number + 1, &model)?;
                drop(fs::remove_file(path));
                Self { folder: folder.to_owned(), number: number + 1, file, bytes: 0, _lock: lock }
            }
        };
        // What is behind the last whole line was never acknowledged.
        journal.file.set_len(journal.bytes)?;
        Ok((model, journal))
    }

    /// Writes an input, before it is applied. The operating system keeps it when this process dies.
    ///
    /// # Errors
    /// When it could not be written; it must not be applied then.
    pub(crate) fn append(&mut self, input: &Input, wall: Time, entropy: u64) -> io::Result<()> {
        let mut line = serde_json::to_vec(&EntryRef { wall, entropy, input })?;
        line.push(b'\n');
        self.bytes += line.len() as u64;
        self.file.write_all(&line)
    }

    /// Replaces a journal that has become long by a snapshot.
    ///
    /// # Errors
    /// When the snapshot could not be written; the old journal goes on then.
    pub(crate) fn compact(&mut self, model: &Model) -> io::Result<()> {
        if self.bytes < BYTES_MAX {
            return Ok(());
        }
        self.replace(model)
    }

    /// Begins anew from this state, whatever it was before.
    ///
    /// # Errors
    /// As [`Self::compact`].
    pub(crate) fn replace(&mut self, model: &Model) -> io::Result<()> {
        self.file = begin(&self.folder, self.number + 1, model)?;
        drop(fs::remove_file(journal_path(&self.folder, self.number)));
        self.number += 1;
        self.bytes = 0;
        Ok(())
    }
}

fn lock(folder: &Path) -> io::Result<File> {
    let file = File::create(folder.join("sandbox.lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(_) => Err(io::Error::new(io::ErrorKind::WouldBlock, "another sandbox uses this folder")),
    }
}

fn journal_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("sandbox-{number}.journal"))
}

fn snapshot_path(folder: &Path) -> PathBuf {
    folder.join("sandbox.json")
}

fn read_snapshot(folder: &Path) -> io::Result<(Model, u64)> {
    // From memory it is parsed several times faster than from a reader.
    match fs::read(snapshot_path(folder)) {
        Ok(bytes) => {
            let snapshot: Snapshot = serde_json::from_slice(&bytes)?;
            Ok((snapshot.model, snapshot.journal))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((Model::default(), 0)),
        Err(error) => Err(error),
    }
}

/// Applies a journal; answers how many of its bytes are whole lines.
fn replay(path: &Path, model: &mut Model) -> io::Result<u64> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let (mut line, mut bytes) = (Vec::new(), 0);
    while reader.read_until(b'\n', &mut line)? > 0 {
        // A last line without its end was never acknowledged.
        let length = line.len() as u64;
        if line.pop() != Some(b'\n') {
            return Ok(bytes);
        }
        let entry: Entry = serde_json::from_slice(&line)?;
        model.apply(&entry.input, entry.wall, entry.entropy);
        line.clear();
        bytes += length;
    }
    Ok(bytes)
}

/// Writes the snapshot beside the old one and swaps them; the new journal exists before it is named.
fn begin(folder: &Path, number: u64, model: &Model) -> io::Result<File> {
    let file =
        OpenOptions::new().create(true).write(true).truncate(true).open(journal_path(folder, number))?;
    let fresh = folder.join("sandbox.json.new");
    let mut writer = io::BufWriter::with_capacity(1024 * 1024, File::create(&fresh)?);
    serde_json::to_writer(&mut writer, &SnapshotRef { journal: number, model })?;
    writer.into_inner().map_err(|error| error.into_error())?.sync_all()?;
    fs::rename(&fresh, snapshot_path(folder))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Method, Mode, Request};

    fn create(amount: u32) -> Input {
        let form = format!("amount={amount}&currency=usd&confirm=true&payment_method=pm_card_visa");
        let request = Request::new(Method::Post, "/v1/payment_intents").key("sk_test_1").form(form);
        Input::Request { request, fault: None }
    }

    fn apply(model: &mut Model, journal: &mut Journal, input: &Input, wall: i64) -> String {
        journal.append(input, Time(wall), 7).unwrap();
        model.apply(input, Time(wall), 7).body
    }

    #[test]
    fn what_was_written_is_there_after_a_crash_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (mut model, mut journal) = Journal::open(folder.path()).unwrap();
        let mut bodies = vec![apply(&mut model, &mut journal, &create(1_000), 1_000)];
        bodies.push(apply(&mut model, &mut journal, &create(2_000), 5_000));
        journal.file.write_all(b"{\"wall\":1,\"entr").unwrap();
        drop(journal);
        let (again, journal) = Journal::open(folder.path()).unwrap();
        assert_eq!(serde_json::to_value(&again).unwrap(), serde_json::to_value(&model).unwrap());
        drop(journal);
        let (third, _journal) = Journal::open(folder.path()).unwrap();
        assert_eq!(third.world(Mode::Test).payment_intents.len(), 2);
        assert_ne!(bodies[0], bodies[1]);
    }

    #[test]
    fn a_folder_belongs_to_one_process() {
        let folder = tempfile::tempdir().unwrap();
        let (_model, _journal) = Journal::open(folder.path()).unwrap();
        assert_eq!(Journal::open(folder.path()).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
}
