//! The files of a segmented log: making, filling, and removing segments.
//!
//! A segment is made under a temporary name, with its header and sometimes a first batch, synced,
//! renamed, and the directory synced. So a file with a segment's name has a durable header, whatever
//! happened; and no batch is written into a segment whose name is not durable.
//!
//! Zeros are written ahead of the batches, a step at a time, so that most syncs change no metadata.
//! How much that is worth, and why steps of this size, stands at [`LogOptions`].

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::io::{self, IoSlice};

use super::batch::BatchBuilder;
use super::format::{DATA_START, SegmentHeader, align_sector, file_name};
use super::newest::{NEWEST, Newest};
use super::{LogOptions, io_error};
use crate::disk::{Disk, DiskFile};
use crate::log::LogError;
use crate::random::Random;

/// The name a segment has until it is complete.
pub(super) const UNFINISHED: &str = "unfinished.tmp";

/// How many segments may go while one is written: removing one takes as long as many writes, and a
/// purge may free hundreds at once.
const REMOVALS: u64 = 8;

static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// One segment's file.
pub(super) struct Segment<F> {
    pub(super) id: u32,
    pub(super) salt: u64,
    pub(super) file: F,
    /// How long the file is.
    pub(super) bytes: u64,
}

/// All segments, oldest first; the last is being written.
pub(super) struct Files<D: Disk> {
    disk: D,
    options: LogOptions,
    salts: Random,
    segments: VecDeque<Segment<D::File>>,
    /// Where the next batch goes.
    position: u64,
    /// How far the last segment may be written.
    capacity: u64,
    /// The file that says which segment is the last.
    newest: Option<D::File>,
    /// Bytes written since a segment was last removed.
    since_removal: u64,
    pub(super) fsyncs: u64,
}

impl<D: Disk> Files<D> {
    /// The segments found in a directory, oldest first. None of them is written any more.
    pub(super) fn new(
        disk: D,
        options: LogOptions,
        segments: impl IntoIterator<Item = Segment<D::File>>,
    ) -> Self {
        let salt = options
            .salt
            .unwrap_or_else(|| RandomState::new().build_hasher().finish());
        Files {
            disk,
            options,
            salts: Random::new(salt),
            segments: segments.into_iter().collect(),
            position: 0,
            capacity: 0,
            newest: None,
            since_removal: u64::MAX,
            fsyncs: 0,
        }
    }

    /// The segment being written.
    ///
    /// # Panics
    /// Before the first was made, which opening does.
    pub(super) fn active(&self) -> &Segment<D::File> {
        match self.segments.back() {
            Some(segment) => segment,
            None => panic!("a log that is open has a segment"),
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&Segment<D::File>> {
        let at = id.checked_sub(self.segments.front()?.id)?;
        self.segments.get(at as usize)
    }

    /// The oldest segment, unless it is the one being written.
    pub(super) fn oldest_closed(&self) -> Option<u32> {
        let oldest = self.segments.front()?;
        (self.segments.len() > 1).then_some(oldest.id)
    }

    /// How much of the disk all segments take.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Where the next batch goes.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Whether a batch of this length fits into the segment being written.
    pub(super) fn fits(&self, batch: u64) -> bool {
        self.position + batch <= self.capacity
    }

    /// A salt for segment `id`.
    pub(super) fn salt(&mut self, id: u32) -> u64 {
        // The id, so that segments differ though every start begins with the same number.
        self.salts.next() ^ (u64::from(id) << 32)
    }

    /// Makes a segment and goes on in it. `first`, if given, is in it from the start; else there is
    /// room for a batch of `room` bytes.
    pub(super) fn make(
        &mut self,
        header: SegmentHeader,
        first: Option<&BatchBuilder>,
        room: u64,
    ) -> Result<(), LogError> {
        let name = file_name(header.id);
        let data_end = first.map_or(DATA_START, |batch| align_sector(batch.end()));
        let capacity = self.options.segment_bytes.max(data_end + room);
        let bytes = capacity.min(data_end + room.max(self.options.step_bytes));
        let file = self
            .disk
            .create(UNFINISHED)
            .map_err(|error| io_error("create", UNFINISHED, error))?;
        let filled = (|| {
            file.write_at(&mut [IoSlice::new(&header.encode())], 0)?;
            if let Some(batch) = first {
                file.write_at(&mut batch.pieces(), batch.start())?;
            }
            write_zeros(&file, data_end, bytes)
        })();
        filled.map_err(|error| io_error("write", UNFINISHED, error))?;
        self.fsyncs += 1;
        file.sync_data()
            .map_err(|error| io_error("sync", UNFINISHED, error))?;
        self.disk
            .rename(UNFINISHED, &name)
            .map_err(|error| io_error("rename", &name, error))?;
        self.sync_names()?;
        self.position = data_end;
        self.capacity = capacity;
        self.segments.push_back(Segment {
            id: header.id,
            salt: header.salt,
            file,
            bytes,
        });
        self.mark_newest(true)
    }

    /// Says how far the log reaches: durably, or when the kernel comes to it.
    fn mark_newest(&mut self, durably: bool) -> Result<(), LogError> {
        let Segment { id, bytes, .. } = *self.active();
        let failed = |error| io_error("write", NEWEST, error);
        let is_new = self.newest.is_none();
        let file = match self.newest.take() {
            Some(file) => file,
            None => Newest::file(&self.disk).map_err(failed)?,
        };
        let file = self.newest.insert(file);
        Newest { id, bytes }.write(file).map_err(failed)?;
        if durably {
            self.fsyncs += 1;
            file.sync_data()
                .map_err(|error| io_error("sync", NEWEST, error))?;
        }
        match is_new {
            true => self.sync_names(),
            false => Ok(()),
        }
    }

    /// Makes the names durable that are there.
    pub(super) fn sync_names(&mut self) -> Result<(), LogError> {
        self.fsyncs += 1;
        self.disk
            .sync_dir()
            .map_err(|error| io_error("sync", "", error))
    }

    /// Removes a segment that never got its name: nothing acknowledged is in it.
    pub(super) fn discard_unfinished(&self) -> Result<(), LogError> {
        self.disk
            .remove(UNFINISHED)
            .map_err(|error| io_error("remove", UNFINISHED, error))
    }

    /// Writes a batch at [`position`](Self::position), where it must fit, and syncs it.
    pub(super) fn append(&mut self, batch: &BatchBuilder) -> Result<(), LogError> {
        assert!(batch.start() == self.position, "batches follow each other");
        assert!(batch.end() <= self.capacity, "a batch lies in one segment");
        let Some(segment) = self.segments.back_mut() else {
            panic!("a log that is open has a segment")
        };
        let end = align_sector(batch.end());
        let grows = end > segment.bytes;
        let written = (|| {
            if grows {
                let filled = self.capacity.min(end + self.options.step_bytes).max(end);
                write_zeros(&segment.file, end.max(segment.bytes), filled)?;
                segment.bytes = filled;
            }
            segment.file.write_at(&mut batch.pieces(), batch.start())
        })();
        written.map_err(|error| io_error("write", &file_name(segment.id), error))?;
        self.fsyncs += 1;
        segment
            .file
            .sync_data()
            .map_err(|error| io_error("sync", &file_name(segment.id), error))?;
        self.since_removal = self.since_removal.saturating_add(end - self.position);
        self.position = end;
        if grows {
            self.mark_newest(false)?;
        }
        Ok(())
    }

    /// Whether there are segments below `floor`.
    pub(super) fn any_below(&self, floor: u32) -> bool {
        self.segments
            .front()
            .is_some_and(|oldest| oldest.id < floor)
    }

    /// Whether enough was written since a segment was removed that removing another one delays nobody
    /// much, and the log shrinks all the same.
    pub(super) fn may_remove(&self) -> bool {
        self.since_removal >= self.options.segment_bytes / REMOVALS
    }

    /// Removes the oldest segment, if it is below `floor`: durably before the next goes, so that those
    /// that a crash leaves behind have no gap among them.
    pub(super) fn remove_one_below(&mut self, floor: u32) -> Result<(), LogError> {
        if let Some(segment) = self.segments.pop_front_if(|segment| segment.id < floor) {
            self.since_removal = 0;
            let name = file_name(segment.id);
            self.disk
                .remove(&name)
                .map_err(|error| io_error("remove", &name, error))?;
            self.sync_names()?;
        }
        Ok(())
    }
}

fn write_zeros(file: &impl DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let mut pieces = [IoSlice::new(&ZEROS); 16];
        let mut left = to - at;
        let mut used = 0;
        for piece in &mut pieces {
            let bytes = left.min(ZEROS.len() as u64);
            if bytes == 0 {
                break;
            }
            *piece = IoSlice::new(ZEROS.get(..bytes as usize).unwrap_or_default());
            left -= bytes;
            used += 1;
        }
        let (now, _) = pieces.split_at_mut(used);
        file.write_at(now, at)?;
        at = to - left;
    }
    Ok(())
}
