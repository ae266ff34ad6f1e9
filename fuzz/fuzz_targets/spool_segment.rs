//! Whatever stands in a spool's files: looking and opening end, invent no record, and agree with each other.
#![no_main]

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex};

use genesys_source::spool::storage::{LockFault, Storage, StorageFile, StorageLock};
use genesys_source::spool::{Batch, Log, NewRecord, ReadLimits, Settings, SpoolError, inspect, sequence};
use libfuzzer_sys::fuzz_target;

const FIRST: &str = "0000000001-000001.segment";
const RECORDS: u64 = 20;

type Content = Arc<Mutex<Vec<u8>>>;

/// A directory in memory without faults of its own.
#[derive(Debug, Default)]
struct Memory(Mutex<BTreeMap<String, Content>>);

#[derive(Debug)]
struct File(Content);

#[derive(Debug)]
struct Lock;

impl StorageLock for Lock {}

impl Memory {
    fn content(&self, name: &str) -> io::Result<Content> {
        self.0.lock().unwrap().get(name).cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().unwrap().keys().cloned().collect())
    }

    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let content = Content::new(Mutex::new(vec![0; len_bytes as usize]));
        self.0.lock().unwrap().insert(name.to_owned(), content);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(File(self.content(name)?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let content = self.content(from)?;
        let mut files = self.0.lock().unwrap();
        files.remove(from);
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.content(name)?;
        self.0.lock().unwrap().remove(name);
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn StorageLock>, LockFault> {
        Ok(Box::new(Lock))
    }

    fn lock_holder(&self) -> io::Result<Option<String>> {
        Ok(None)
    }
}

impl StorageFile for File {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let content = self.0.lock().unwrap();
        let rest = content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        buffer[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut content = self.0.lock().unwrap();
        let end = offset as usize + bytes.len();
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.0.lock().unwrap().resize(len_bytes as usize, 0);
        Ok(())
    }
}

fn body(number: u64) -> Vec<u8> {
    vec![number as u8 | 1; 50 + number as usize % 300]
}

/// A spool of two segments and more.
fn spool() -> Arc<Memory> {
    let storage = Arc::new(Memory::default());
    let (mut log, _) = open(&storage).expect("an empty directory");
    for counter in 1..=RECORDS {
        let body = body(counter);
        let record = NewRecord {
            sequence: sequence(1, counter),
            received_time_us: 0,
            id_hash: Some(u128::from(counter)),
            tag: 0,
            head: &[],
            body: &body,
        };
        log.append(&[record]).expect("there is room");
    }
    log.sync().expect("no faults here");
    storage
}

fn open(storage: &Arc<Memory>) -> Result<(Log, genesys_source::spool::Recovered), SpoolError> {
    let settings = Settings::try_new(256 << 10).expect("the least");
    Log::open(Arc::<Memory>::clone(storage), settings)
}

fn check(storage: &Arc<Memory>) {
    let seen = match inspect(storage.as_ref()) {
        Ok(seen) => seen,
        Err(SpoolError::NoSpool | SpoolError::Version { .. }) => return,
        Err(error) => panic!("{error}"),
    };
    let (log, found) = match open(storage) {
        Ok(opened) => opened,
        // An outside name may carry the last epoch there is.
        Err(SpoolError::EpochsExhausted) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!((seen.commit, seen.backlog, &seen.damage), (found.commit, found.backlog, &found.damage));
    let mut reader = log.reader_after(found.commit);
    let (mut batch, mut last, mut count) = (Batch::default(), 0, 0);
    while !batch.is_at_end() {
        reader.read(ReadLimits { max_records: 5, max_bytes: 1000 }, &mut batch);
        assert!(batch.damage().is_empty(), "recovery has seen everything");
        for record in batch.records() {
            assert!(record.sequence > last);
            assert_eq!(record.payload, body(record.sequence & 0xff_ffff));
            (last, count) = (record.sequence, count + 1);
        }
    }
    assert_eq!(count, found.backlog.records);
}

fuzz_target!(|data: &[u8]| {
    // Outside bytes as a whole file.
    let (which, rest) = data.split_first().unwrap_or((&0, &[]));
    let name = [FIRST, "identity", "0000000001-000001.index", "reserve"][usize::from(which % 4)];
    let alone = Arc::new(Memory::default());
    let content = || Content::new(Mutex::new(rest.to_vec()));
    alone.0.lock().unwrap().insert(name.to_owned(), content());
    check(&alone);
    let beside = spool();
    beside.0.lock().unwrap().insert(name.to_owned(), content());
    check(&beside);

    // Outside bytes laid over a sound segment, four at a time: where, how long, and what.
    let changed = spool();
    let content = changed.content(FIRST).expect("it was made");
    for change in rest.chunks_exact(4) {
        let mut content = content.lock().unwrap();
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % content.len();
        let end = (at + usize::from(change[2] % 64) + 1).min(content.len());
        content[at..end].fill(change[3]);
    }
    check(&changed);
});
