//! A directory in memory that forgets, tears, reorders and refuses, as disks do.
//!
//! Responsible for what a power cut leaves: of each unsynced write any of its 512-byte sectors, of the unsynced names
//! any. Refuses nothing by itself: faults come from the plan. Invariant: what was synced by a call that succeeded is
//! never touched.
//!
//! Over 400 lines: directory, file and lock are three views of one state, and each call is short.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard};

use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use super::{LockFault, Storage, StorageFile, StorageLock};

/// What a disk writes at once, in bytes.
const SECTOR_BYTES: usize = 512;

/// What goes wrong at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// A write or a creation finds no room.
    NoRoom,
    /// A write takes a part of its bytes, the next one fails.
    ShortWrite,
    /// A write fails after having written a part.
    WriteFails,
    /// A sync fails, and what it was for is not written; the cache still has it.
    SyncFails,
    /// As before, and the cache has dropped it.
    SyncFailsAndForgets,
    /// Everything fails from here on, until the power is back.
    PowerCut,
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Length(usize),
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                content[*offset..end].copy_from_slice(bytes);
            }
            Self::Length(length) => content.resize(*length, 0),
        }
    }

    /// Cuts a write into the sectors it touches.
    fn pieces(&self) -> Vec<Self> {
        let Self::Write { offset, bytes } = self else {
            return vec![self.clone()];
        };
        let (mut pieces, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let sector_end = ((offset + at) / SECTOR_BYTES + 1) * SECTOR_BYTES;
            let end = (sector_end - offset).min(bytes.len());
            pieces.push(Self::Write {
                offset: offset + at,
                bytes: bytes[at..end].to_vec(),
            });
            at = end;
        }
        pieces
    }
}

#[derive(Debug, Default)]
struct Inode {
    cache: Vec<u8>,
    disk: Vec<u8>,
    unsynced: Vec<Change>,
    /// A sector that cannot be read.
    bad_sector: Option<usize>,
}

impl Inode {
    fn change(&mut self, change: Change) {
        change.apply(&mut self.cache);
        self.unsynced.push(change);
    }
}

#[derive(Clone, Debug)]
enum Naming {
    Add(String, usize),
    Remove(String),
    Rename(String, String, usize),
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Add(name, inode) => {
                names.insert(name.clone(), *inode);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Rename(from, to, inode) => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }
}

/// Everything that was called, for tests that look at the order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Create(String),
    Write(String),
    Sync(String),
    SyncDir,
    Rename(String, String),
    Remove(String),
}

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<String, usize>,
    names_on_disk: BTreeMap<String, usize>,
    unsynced_names: Vec<Naming>,
    calls: Vec<Call>,
    plan: Vec<(usize, Trouble)>,
    /// Calls that count for the plan.
    count: usize,
    is_dead: bool,
    is_locked: bool,
    capacity_bytes: Option<usize>,
    generation: usize,
}

impl State {
    /// Counts a call and returns what is to go wrong with it.
    fn meet(&mut self, kinds: &[Trouble]) -> io::Result<Option<Trouble>> {
        if self.is_dead {
            return Err(io::Error::other("the power is off"));
        }
        self.count += 1;
        let count = self.count;
        let due = self.plan.iter().position(|(at, trouble)| {
            *at <= count && (*trouble == Trouble::PowerCut || kinds.contains(trouble))
        });
        let trouble = due.map(|at| self.plan.remove(at).1);
        if trouble == Some(Trouble::PowerCut) {
            self.is_dead = true;
            return Err(io::Error::other("the power went off"));
        }
        Ok(trouble)
    }

    fn inode(&self, name: &str) -> io::Result<usize> {
        self.names
            .get(name)
            .copied()
            .ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn name_of(&self, inode: usize) -> String {
        let named = self.names.iter().find(|(_, other)| **other == inode);
        named.map_or_else(|| "(no name)".to_owned(), |(name, _)| name.clone())
    }

    fn used_bytes(&self) -> usize {
        self.names
            .values()
            .map(|inode| self.inodes[*inode].cache.len())
            .sum()
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultyStorage(Arc<Mutex<State>>);

impl FaultyStorage {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Lets `trouble` happen at the first call it applies to, from the `calls`-th from now on.
    pub(crate) fn plan(&self, calls: usize, trouble: Trouble) {
        let mut state = self.state();
        let at = state.count + calls;
        state.plan.push((at, trouble));
    }

    /// Says whether something that was planned has not happened.
    pub(crate) fn has_plan(&self) -> bool {
        !self.state().plan.is_empty()
    }

    pub(crate) fn clear_plan(&self) {
        self.state().plan.clear();
    }

    pub(crate) fn set_capacity(&self, bytes: Option<usize>) {
        self.state().capacity_bytes = bytes;
    }

    pub(crate) fn used_bytes(&self) -> usize {
        self.state().used_bytes()
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.state().calls.clone()
    }

    /// Ends the process: what it wrote stays, its lock goes.
    pub(crate) fn kill(&self) {
        let mut state = self.state();
        (state.is_dead, state.is_locked) = (false, false);
        state.plan.clear();
        state.generation += 1;
    }

    /// Cuts the power and gives it back: any part of what was not synced is lost.
    pub(crate) fn cut_power(&self, chance: &mut ChaCha8Rng) {
        self.kill();
        let mut state = self.state();
        for inode in &mut state.inodes {
            for change in std::mem::take(&mut inode.unsynced) {
                for piece in change.pieces() {
                    if chance.random_bool(0.5) {
                        piece.apply(&mut inode.disk);
                    }
                }
            }
            inode.cache = inode.disk.clone();
        }
        let mut names = std::mem::take(&mut state.names_on_disk);
        for naming in std::mem::take(&mut state.unsynced_names) {
            if chance.random_bool(0.5) {
                naming.apply(&mut names);
            }
        }
        state.names = names.clone();
        state.names_on_disk = names;
    }

    /// Cuts the power; everything that was not synced is lost.
    pub(crate) fn lose_unsynced(&self) {
        self.kill();
        let mut state = self.state();
        for inode in &mut state.inodes {
            inode.unsynced.clear();
            inode.cache = inode.disk.clone();
        }
        state.unsynced_names.clear();
        state.names = state.names_on_disk.clone();
    }

    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.inodes[state.inode(name).unwrap()].cache.clone()
    }

    pub(crate) fn set_content(&self, name: &str, content: &[u8]) {
        let mut state = self.state();
        let inode = state.inode(name).unwrap();
        state.inodes[inode] = Inode {
            cache: content.to_vec(),
            disk: content.to_vec(),
            ..Inode::default()
        };
    }

    /// Makes the sector at `offset` unreadable.
    pub(crate) fn spoil(&self, name: &str, offset: usize) {
        let mut state = self.state();
        let inode = state.inode(name).unwrap();
        state.inodes[inode].bad_sector = Some(offset / SECTOR_BYTES);
    }

    pub(crate) fn flip(&self, name: &str, offset: usize) {
        let mut content = self.content(name);
        content[offset] ^= 0x10;
        self.set_content(name, &content);
    }

    /// Copies the directory, as a snapshot of a volume does.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::default();
        for (name, content) in self.image() {
            copy.create(&name, 0).unwrap();
            copy.set_content(&name, &content);
        }
        copy.sync_dir().unwrap();
        copy
    }

    /// Returns everything that is stored, to see whether something was changed.
    pub(crate) fn image(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.state();
        let content = |(name, inode): (&String, &usize)| (name.clone(), state.inodes[*inode].cache.clone());
        state.names.iter().map(content).collect()
    }
}

impl Storage for FaultyStorage {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.state();
        state.meet(&[])?;
        Ok(state.names.keys().cloned().collect())
    }

    fn create(&self, name: &str, len_bytes: u64) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        let trouble = state.meet(&[Trouble::NoRoom])?;
        let length = len_bytes as usize;
        let is_full = state
            .capacity_bytes
            .is_some_and(|most| state.used_bytes() + length > most);
        if trouble.is_some() || is_full {
            return Err(ErrorKind::StorageFull.into());
        }
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let mut inode = Inode::default();
        inode.change(Change::Length(length));
        state.inodes.push(inode);
        let inode = state.inodes.len() - 1;
        let naming = Naming::Add(name.to_owned(), inode);
        naming.apply(&mut state.names);
        state.unsynced_names.push(naming);
        state.calls.push(Call::Create(name.to_owned()));
        drop(state);
        self.open(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.state();
        state.meet(&[])?;
        Ok(Arc::new(FaultyFile {
            storage: self.clone(),
            inode: state.inode(name)?,
            generation: state.generation,
        }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.meet(&[])?;
        let naming = Naming::Rename(from.to_owned(), to.to_owned(), state.inode(from)?);
        naming.apply(&mut state.names);
        state.unsynced_names.push(naming);
        state.calls.push(Call::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.meet(&[])?;
        state.inode(name)?;
        let naming = Naming::Remove(name.to_owned());
        naming.apply(&mut state.names);
        state.unsynced_names.push(naming);
        state.calls.push(Call::Remove(name.to_owned()));
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state();
        let trouble = state.meet(&[Trouble::SyncFails])?;
        if trouble.is_some() {
            return Err(io::Error::other("input/output error"));
        }
        let mut names = std::mem::take(&mut state.names_on_disk);
        for naming in std::mem::take(&mut state.unsynced_names) {
            naming.apply(&mut names);
        }
        state.names_on_disk = names;
        state.calls.push(Call::SyncDir);
        Ok(())
    }

    fn lock(&self) -> Result<Box<dyn StorageLock>, LockFault> {
        let mut state = self.state();
        state.meet(&[]).map_err(LockFault::Io)?;
        if state.is_locked {
            let holder = "pid 1".to_owned();
            return Err(LockFault::Held { holder });
        }
        state.is_locked = true;
        Ok(Box::new(FaultyLock {
            storage: self.clone(),
            generation: state.generation,
        }))
    }

    fn lock_holder(&self) -> io::Result<Option<String>> {
        let mut state = self.state();
        state.meet(&[])?;
        Ok(state.is_locked.then(|| "pid 1".to_owned()))
    }
}

#[derive(Debug)]
struct FaultyLock {
    storage: FaultyStorage,
    generation: usize,
}

impl StorageLock for FaultyLock {}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        let mut state = self.storage.state();
        // One of a process that was killed went with it.
        if state.generation == self.generation {
            state.is_locked = false;
        }
    }
}

#[derive(Debug)]
struct FaultyFile {
    storage: FaultyStorage,
    inode: usize,
    generation: usize,
}

impl FaultyFile {
    fn meet(&self, kinds: &[Trouble]) -> io::Result<(MutexGuard<'_, State>, Option<Trouble>)> {
        let mut state = self.storage.state();
        if state.generation != self.generation {
            return Err(io::Error::other("its process is dead"));
        }
        let trouble = state.meet(kinds)?;
        Ok((state, trouble))
    }
}

impl StorageFile for FaultyFile {
    fn len_bytes(&self) -> io::Result<u64> {
        let (state, _) = self.meet(&[])?;
        Ok(state.inodes[self.inode].cache.len() as u64)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let (state, _) = self.meet(&[])?;
        let inode = &state.inodes[self.inode];
        let (content, offset) = (&inode.cache, offset as usize);
        let readable_end = match inode.bad_sector.map(|sector| sector * SECTOR_BYTES) {
            Some(bad) if (bad..bad + SECTOR_BYTES).contains(&offset) && offset < content.len() => {
                return Err(io::Error::other("input/output error"));
            }
            Some(bad) if offset < bad => bad.min(content.len()),
            _ => content.len(),
        };
        let content = content.get(offset..readable_end).unwrap_or_default();
        let count = content.len().min(buffer.len());
        buffer[..count].copy_from_slice(&content[..count]);
        Ok(count)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], offset: u64) -> io::Result<usize> {
        let kinds = [Trouble::NoRoom, Trouble::ShortWrite, Trouble::WriteFails];
        let (mut state, trouble) = self.meet(&kinds)?;
        let mut bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        if trouble == Some(Trouble::NoRoom) {
            return Err(ErrorKind::StorageFull.into());
        }
        if trouble.is_some() {
            bytes.truncate(bytes.len() / 2 + 1);
        }
        let written = bytes.len();
        let name = state.name_of(self.inode);
        state.calls.push(Call::Write(name));
        state.inodes[self.inode].change(Change::Write {
            offset: offset as usize,
            bytes,
        });
        match trouble {
            Some(Trouble::WriteFails) => Err(io::Error::other("input/output error")),
            Some(_) => {
                let count = state.count;
                state.plan.push((count, Trouble::NoRoom));
                Ok(written)
            }
            None => Ok(written),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let (mut state, trouble) = self.meet(&[Trouble::SyncFails, Trouble::SyncFailsAndForgets])?;
        let name = state.name_of(self.inode);
        state.calls.push(Call::Sync(name));
        let inode = &mut state.inodes[self.inode];
        let changes = std::mem::take(&mut inode.unsynced);
        let Some(trouble) = trouble else {
            changes.iter().for_each(|change| change.apply(&mut inode.disk));
            return Ok(());
        };
        // Lengths are the file system's, which has a journal; the bytes are gone, and the next sync has nothing to do.
        for change in changes
            .iter()
            .filter(|change| matches!(change, Change::Length(_)))
        {
            change.apply(&mut inode.disk);
        }
        if trouble == Trouble::SyncFailsAndForgets {
            inode.cache = inode.disk.clone();
        }
        Err(io::Error::other("input/output error"))
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        let (mut state, _) = self.meet(&[])?;
        state.inodes[self.inode].change(Change::Length(len_bytes as usize));
        Ok(())
    }
}
