//! Opening a log: what a directory holds, what is damaged, and what that means.
//!
//! Two rules of the writer decide everything. A batch is written only after its predecessor's sync
//! returned; and a segment gets its name only after its header is durable. So at most one batch, the
//! highest, can have been under way when the power failed: any part of it may be missing, and nobody
//! was told that it is there. It is kept if it is whole and cut if it is not. Everything before it
//! was durable; where that does not read as it was written, the disk has lost it.
//!
//! Which batch is the highest is found without trusting what is damaged: every sector behind the
//! damage is searched for the start of a batch, and every eight bytes for the header of a record,
//! since those name their batch too. Only where nothing of a higher batch is found was the damaged
//! one the highest. For all segments but the last it is simpler: the next segment's header says up to
//! which batch everything was there.
//!
//! **The highest batch is written again.** After `kill -9` it may stand in the page cache only, and
//! after a failed sync the kernel takes pages for clean that never reached the disk, so that no later
//! sync would write them. Recovery therefore copies it into a fresh segment, which counts from the
//! moment it gets its name, and whose header declares the original void together with whatever a
//! torn batch has left.
//!
//! Opening is refused when a file is missing or a segment's header cannot be read: without them it is
//! not known what else is gone. Nothing is changed then. That the last segment is all there, which no
//! other one says, is known from [`newest`](super::newest): where it is shorter than it was, something
//! acknowledged may have stood in what is cut off, and every group is damaged.

use tracing::warn;

use super::batch::{BatchBuilder, Payload};
use super::files::{Files, Segment, UNFINISHED};
use super::format::{
    BadSegment, DATA_START, RecordHeader, SegmentHeader, VERSION, file_id, file_name, record_bytes,
};
use super::index::Index;
use super::newest::{NEWEST, Newest};
use super::scan::{self, Found, Piece};
use super::{LogOptions, io_error};
use crate::disk::{Disk, DiskFile};
use crate::log::{GroupId, LogError, RecoveredLog};

/// A place where the log does not read as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The segment's file name.
    pub file: String,
    /// Where it starts, in bytes from the file's start.
    pub offset: u64,
    /// How long it is.
    pub bytes: u64,
    /// What is lost there.
    pub loss: Loss,
}

/// What damage has cost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Loss {
    /// Nothing acknowledged: the end of a write that a crash interrupted.
    TornTail,
    /// The payload of one record, whose place in its group's log is known.
    Payload {
        /// Whose record.
        group: GroupId,
        /// Its index; zero for hard state.
        index: u64,
    },
    /// It is not known what stood there. These groups may have written it; `None` means any.
    Unknown {
        /// The known groups that may be concerned.
        groups: Option<Vec<GroupId>>,
    },
}

/// What the segments of a log hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LogReport {
    /// The segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// The groups that have ever written, and what is there of their logs.
    pub groups: Vec<(GroupId, RecoveredLog)>,
    /// Where it does not read as it was written. A torn tail is cut when the log is opened.
    pub damage: Vec<Damage>,
}

/// One segment of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SegmentReport {
    /// Its file's name.
    pub file: String,
    /// How long the file is.
    pub bytes: u64,
    /// The number of the first batch that goes into it.
    pub first_batch: u64,
}

/// What opening came to.
pub(super) struct Recovered<D: Disk> {
    pub(super) files: Files<D>,
    pub(super) index: Index,
    pub(super) batch: BatchBuilder,
    /// The number of the next batch.
    pub(super) next: u64,
    pub(super) damage: Vec<Damage>,
}

/// A segment as found: its file, and what its header says.
struct Old<F> {
    segment: Segment<F>,
    header: SegmentHeader,
}

/// What a directory holds.
struct Directory<F> {
    /// The segments, oldest first.
    old: Vec<Old<F>>,
    /// There is one that was never finished.
    unfinished: bool,
}

/// What stood in the highest batch.
type Records = Vec<(RecordHeader, Vec<u8>)>;

/// What reading every segment came to. Nothing is changed yet.
struct Read<F> {
    /// The segments, oldest first.
    old: Vec<Old<F>>,
    unfinished: bool,
    replay: Replay,
    /// The highest batch, which the index does not know of yet.
    records: Records,
    after: After,
}

fn read<D: Disk>(disk: &D) -> Result<Read<D::File>, LogError> {
    let Directory { old, unfinished } = find(disk)?;
    let newest = Newest::read(disk).map_err(|error| io_error("read", NEWEST, error))?;
    let last = old.last().map_or(0, |old| old.segment.id);
    if let Some(newest) = newest.filter(|newest| newest.id > last) {
        let first = if last == 0 { newest.id } else { last + 1 };
        return Err(LogError::MissingSegment {
            file: file_name(first),
        });
    }
    let whole = newest.filter(|newest| newest.id == last);
    let whole = whole.map_or(0, |newest| newest.bytes);
    let mut floor = old.iter().map(|old| old.header.floor).max().unwrap_or(1);
    loop {
        let (replay, records, after) = replay(&old, floor, whole)?;
        if replay.damage.is_empty() || replay.index.floor == floor {
            return Ok(Read {
                old,
                unfinished,
                replay,
                records,
                after,
            });
        }
        // Some of it may stand where nothing is needed, which then counts for nothing.
        floor = replay.index.floor;
    }
}

/// Replays the segments from `floor` on. The last was `whole` bytes long once.
fn replay<F: DiskFile>(
    old: &[Old<F>],
    floor: u32,
    whole: u64,
) -> Result<(Replay, Records, After), LogError> {
    let mut replay = Replay::default();
    replay.index.floor = floor;
    let mut records = Records::new();
    let mut after = After {
        required: 0,
        first: 1,
    };
    let mut bytes = Vec::new();
    for (at, this) in old.iter().enumerate() {
        let next = old.get(at + 1);
        if this.segment.id < floor && next.is_some() {
            continue;
        }
        read_all(&this.segment, &mut bytes)?;
        match next {
            Some(next) => replay.closed(this.header, &bytes, next.header.required),
            None if (bytes.len() as u64) < whole => {
                after = replay.cut_off(this.header, &bytes, whole);
            }
            None => (records, after) = replay.last(this.header, &bytes),
        }
    }
    Ok((replay, records, after))
}

/// What a log's segments hold, for people: nothing is locked, and nothing changed.
pub(super) fn inspect<D: Disk>(disk: &D) -> Result<LogReport, LogError> {
    let Read {
        old,
        mut replay,
        records,
        after,
        ..
    } = read(disk)?;
    let segments = old.iter().map(|old| SegmentReport {
        file: file_name(old.segment.id),
        bytes: old.segment.bytes,
        first_batch: old.header.first,
    });
    let segments = segments.collect();
    let mut batch = BatchBuilder::default();
    batch.begin(after.first, 0, DATA_START);
    let id = old.last().map_or(1, |old| old.segment.id + 1);
    for (record, payload) in &records {
        let record = batch.add(*record, &Payload::Borrowed(payload));
        replay.index.apply(id, &record, Some(payload));
    }
    check_floor(&replay.index, old.first().map_or(id, |old| old.segment.id))?;
    let groups = replay.index.ids().into_iter();
    Ok(LogReport {
        segments,
        groups: groups
            .map(|group| (group, replay.index.recovered(group.0)))
            .collect(),
        damage: replay.damage,
    })
}

/// Opens the log in `disk`, which the caller has locked.
pub(super) fn recover<D: Disk>(disk: D, options: LogOptions) -> Result<Recovered<D>, LogError> {
    let Read {
        old,
        unfinished,
        replay,
        records,
        after,
    } = read(&disk)?;
    let id = old.last().map_or(1, |old| old.segment.id + 1);
    let oldest = old.first().map_or(id, |old| old.segment.id);
    let segments = old.into_iter().map(|old| old.segment);
    let mut files = Files::new(disk, options, segments);
    let header = SegmentHeader {
        id,
        salt: files.salt(id),
        required: after.required,
        first: after.first,
        floor: 0,
    };
    let mut recovered = Recovered {
        files,
        index: replay.index,
        batch: BatchBuilder::default(),
        next: header.first + u64::from(!records.is_empty()),
        damage: replay.damage,
    };
    recovered.go_on_in(header, &records, oldest, unfinished)?;
    Ok(recovered)
}

impl<D: Disk> Recovered<D> {
    /// Makes the fresh segment, with the highest batch copied into it, and then removes what is not
    /// needed any more. Nothing is changed before this.
    fn go_on_in(
        &mut self,
        mut header: SegmentHeader,
        records: &Records,
        oldest: u32,
        unfinished: bool,
    ) -> Result<(), LogError> {
        self.batch.begin(header.first, header.salt, DATA_START);
        for (record, payload) in records {
            let record = self.batch.add(*record, &Payload::Borrowed(payload));
            self.index.apply(header.id, &record, Some(payload));
        }
        self.batch.finish();
        check_floor(&self.index, oldest)?;
        header.floor = self.index.floor;
        // A name that was found may still be lost: after a failed sync of the directory a crash could
        // keep the new segment's and lose that of the one before.
        self.files.sync_names()?;
        if unfinished {
            self.files.discard_unfinished()?;
        }
        let first = (!records.is_empty()).then_some(&self.batch);
        self.files.make(header, first, 0)?;
        self.batch.clear();
        self.index.floor = removable(&self.index, &self.files);
        // A log that is being opened keeps nobody waiting yet.
        while self.files.any_below(self.index.floor) {
            self.files.remove_one_below(self.index.floor)?;
        }
        self.index.ledger.release_below(self.index.floor);
        Ok(())
    }
}

/// Opens every segment and reads its header.
fn find<D: Disk>(disk: &D) -> Result<Directory<D::File>, LogError> {
    let names = disk.list().map_err(|error| io_error("list", "", error))?;
    let mut ids: Vec<u32> = names.iter().filter_map(|name| file_id(name)).collect();
    ids.sort_unstable();
    if let Some((before, _)) = ids
        .iter()
        .zip(ids.iter().skip(1))
        .find(|(id, next)| *id + 1 != **next)
    {
        return Err(LogError::MissingSegment {
            file: file_name(before + 1),
        });
    }
    let old = ids.into_iter().map(|id| open_segment(disk, id));
    let old = old.collect::<Result<Vec<_>, _>>()?;
    let unfinished = names.iter().any(|name| name == UNFINISHED);
    Ok(Directory { old, unfinished })
}

fn open_segment<D: Disk>(disk: &D, id: u32) -> Result<Old<D::File>, LogError> {
    let name = file_name(id);
    let opened = (|| {
        let file = disk.open(&name)?;
        let bytes = file.len()?;
        let mut block = vec![0; DATA_START as usize];
        let read = file.read_at(&mut block, 0)?;
        block.truncate(read);
        Ok((file, bytes, block))
    })();
    let (file, bytes, block) = opened.map_err(|error| io_error("read", &name, error))?;
    let header = SegmentHeader::decode(&block, id).map_err(|bad| match bad {
        BadSegment::Version(found) => LogError::Version {
            file: name.clone(),
            found,
            supported: VERSION,
        },
        BadSegment::Damaged(what) => LogError::Corrupt {
            file: name.clone(),
            offset: 0,
            what,
        },
    })?;
    Ok(Old {
        segment: Segment {
            id,
            salt: header.salt,
            file,
            bytes,
        },
        header,
    })
}

fn read_all<F: DiskFile>(segment: &Segment<F>, bytes: &mut Vec<u8>) -> Result<(), LogError> {
    bytes.clear();
    bytes.resize(segment.bytes as usize, 0);
    let read = segment
        .file
        .read_at(bytes, 0)
        .map_err(|error| io_error("read", &file_name(segment.id), error))?;
    bytes.truncate(read);
    Ok(())
}

/// Refuses a log whose oldest segments are gone though nothing says that they may be.
fn check_floor(index: &Index, oldest: u32) -> Result<(), LogError> {
    // Where anything may be lost, so may be the record that allowed their removal; and then every
    // group is known to be damaged.
    if oldest > index.floor && !index.anything_lost() {
        return Err(LogError::MissingSegment {
            file: file_name(index.floor),
        });
    }
    Ok(())
}

/// The first segment that must stay: the others were released before the crash, or hold nothing.
fn removable<D: Disk>(index: &Index, files: &Files<D>) -> u32 {
    let Some(oldest) = files.oldest_closed() else {
        return files.active().id;
    };
    let floor = index.floor.max(oldest);
    (oldest..floor)
        .find(|id| index.ledger.live(*id) > 0)
        .unwrap_or(floor)
}

/// How a log goes on after its last segment.
#[derive(Clone, Copy)]
struct After {
    /// The last batch in it that counts.
    required: u64,
    /// The first number that no trace of a batch can have.
    first: u64,
}

/// Feeds what it finds to the index.
#[derive(Default)]
struct Replay {
    index: Index,
    damage: Vec<Damage>,
}

impl Replay {
    /// A segment that another one follows, which says up to which batch this one was intact.
    fn closed(&mut self, header: SegmentHeader, bytes: &[u8], required: u64) {
        let pieces = scan::survey(bytes, header.salt, header.first);
        let seen = self.pieces(header, bytes, &pieces, required);
        if seen < required && required >= header.first {
            self.gap(header.id, bytes.len() as u64, bytes.len() as u64, u64::MAX);
        }
    }

    /// The segment that was being written last. Its highest batch is not fed to the index but
    /// handed out, to be written again, if it is whole.
    fn last(&mut self, header: SegmentHeader, bytes: &[u8]) -> (Records, After) {
        let pieces = scan::survey(bytes, header.salt, header.first);
        let before = header.first - 1;
        let highest = scan::highest(bytes, header.salt, header.first, &pieces);
        let highest = highest.unwrap_or(before);
        let required = highest.max(header.first) - 1;
        self.pieces(header, bytes, &pieces, required);
        let mut records = Records::new();
        let whole = pieces
            .iter()
            .find(|piece| number(piece) == highest && scan::is_whole(bytes, header.salt, **piece));
        if let Some(piece) = whole {
            scan::walk(
                bytes,
                header.salt,
                *piece,
                |_| false,
                |found| {
                    if let Found::Record(record, Some(payload)) = found {
                        records.push((record.header, payload.to_vec()));
                    }
                },
            );
        }
        let kept = if whole.is_some() { highest } else { required };
        self.torn(header.id, bytes, &pieces, kept);
        let after = After {
            required,
            first: highest + 2,
        };
        (records, after)
    }

    /// The last segment, which was `whole` bytes long once. What is cut off may have held batches that
    /// were acknowledged; one is taken to be missing, so that the next opening finds a gap here too.
    fn cut_off(&mut self, header: SegmentHeader, bytes: &[u8], whole: u64) -> After {
        let pieces = scan::survey(bytes, header.salt, header.first);
        let highest = scan::highest(bytes, header.salt, header.first, &pieces);
        let required = highest.unwrap_or(header.first - 1) + 1;
        self.pieces(header, bytes, &pieces, required - 1);
        self.gap(header.id, bytes.len() as u64, whole, u64::MAX);
        After {
            required,
            first: required + 2,
        }
    }

    /// Feeds the batches up to `required`, which must be there, and says how far they reached.
    fn pieces(
        &mut self,
        header: SegmentHeader,
        bytes: &[u8],
        pieces: &[Piece],
        required: u64,
    ) -> u64 {
        let mut seen = header.first - 1;
        for (at, piece) in pieces.iter().enumerate() {
            let next = match piece {
                Piece::Batch { .. } => number(piece),
                Piece::Rubble { .. } => pieces.get(at + 1).map_or(u64::MAX, number),
            };
            let missing = seen + 1..next.min(required + 1);
            match piece {
                Piece::Batch { .. } if next > required => return seen,
                Piece::Rubble { .. } if missing.is_empty() => continue,
                Piece::Batch { .. } => seen = next,
                // What can be salvaged is; the gap stays on record all the same.
                Piece::Rubble { .. } => seen = missing.end - 1,
            }
            let wanted = |number| missing.contains(&number);
            scan::walk(bytes, header.salt, *piece, wanted, |found| {
                self.found(header.id, found);
            });
        }
        seen
    }

    fn found(&mut self, segment: u32, found: Found<'_>) {
        match found {
            Found::Gap { from, to, groups } => self.gap(segment, from, to, groups),
            Found::Record(record, payload) => {
                if payload.is_none() {
                    self.report(Damage {
                        file: file_name(segment),
                        offset: record.at,
                        bytes: record_bytes(record.length as usize),
                        loss: Loss::Payload {
                            group: GroupId(record.header.group),
                            index: record.header.index,
                        },
                    });
                }
                self.index.apply(segment, &record, payload);
            }
        }
    }

    fn gap(&mut self, segment: u32, from: u64, to: u64, groups: u64) {
        self.index.gap(segment, groups);
        let known = self.index.known(groups);
        self.report(Damage {
            file: file_name(segment),
            offset: from,
            bytes: to - from,
            loss: Loss::Unknown {
                groups: (groups != u64::MAX).then_some(known),
            },
        });
    }

    /// Says where the tail was cut, if anything stands behind the last batch that counts.
    fn torn(&mut self, segment: u32, bytes: &[u8], pieces: &[Piece], kept: u64) {
        let counts = |piece: &Piece| number(piece) <= kept;
        let behind = pieces.iter().rposition(counts).map_or(0, |at| at + 1);
        let tail = pieces.get(behind).map(|piece| match piece {
            Piece::Batch { at, .. } => *at,
            Piece::Rubble { from, .. } => *from,
        });
        if let Some(offset) = tail {
            self.report(Damage {
                file: file_name(segment),
                offset,
                bytes: bytes.len() as u64 - offset,
                loss: Loss::TornTail,
            });
        }
    }

    fn report(&mut self, damage: Damage) {
        let Damage {
            file,
            offset,
            bytes,
            loss,
        } = &damage;
        warn!(
            file,
            offset,
            bytes,
            ?loss,
            "the log does not read as it was written"
        );
        self.damage.push(damage);
    }
}

/// A batch's number; rubble is above every batch.
fn number(piece: &Piece) -> u64 {
    match piece {
        Piece::Batch { header, .. } => header.number,
        Piece::Rubble { .. } => u64::MAX,
    }
}
