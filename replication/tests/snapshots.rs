//! What the driver does with snapshots, event by event, against a protocol that does what the test
//! says. Whole transfers between real groups stand in `transfer.rs`.

mod scripted;

use bytes::Bytes;
use consensus::{Epoch, Index, Membership, Position};
use replication::{InstallFailure, Message, SnapshotEnd, SnapshotId, SnapshotMeta, SnapshotTask};
use scripted::{Bench, ME, OTHER, PEER, Script, Seen};

const MIB: u64 = 1 << 20;

fn meta(index: u64, bytes: u64) -> SnapshotMeta {
    let at = Position {
        index: Index(index),
        epoch: Epoch::term(1),
    };
    SnapshotMeta {
        id: SnapshotId { at, digest: index },
        membership: Membership::of_voters([ME, PEER, OTHER]),
        bytes,
    }
}

fn take(at_least: u64) -> Seen {
    let at_least = Index(at_least);
    Seen::Task(SnapshotTask::Take { at_least })
}

fn want(meta: &SnapshotMeta, offset: u64, upto: u64) -> Message<Script> {
    let (id, again) = (meta.id, false);
    Message::SnapshotWant {
        id,
        offset,
        upto,
        again,
    }
}

fn chunk(meta: &SnapshotMeta, offset: u64, len: usize) -> Message<Script> {
    let bytes = Bytes::from(vec![7; len]);
    let crc = crc32c::crc32c(&bytes);
    Message::SnapshotChunk {
        id: meta.id,
        offset,
        bytes,
        crc,
    }
}

/// A leader that offers `meta` to [`PEER`].
fn offering(meta: &SnapshotMeta) -> Bench {
    let mut bench = Bench::leading();
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [take(0)]);
    bench.replica.snapshot_ready(bench.now, meta);
    assert_eq!(bench.turn(), [Seen::Offer(PEER, meta.id)]);
    bench
}

/// A follower that is ready to receive `meta` from [`PEER`], and has asked for it.
fn receiving(meta: &SnapshotMeta) -> Bench {
    let mut bench = Bench::following();
    bench.hear(PEER, Message::SnapshotOffer { meta: meta.clone() });
    let open = SnapshotTask::Open { meta: meta.clone() };
    assert_eq!(bench.turn(), [Seen::Task(open)]);
    bench.replica.incoming_opened(bench.now, meta.id, 0);
    let upto = meta.bytes.min(MIB);
    assert_eq!(bench.turn(), [Seen::Want(PEER, 0, upto)]);
    bench
}

#[test]
fn a_peer_without_a_link_is_sent_nothing_for_now() {
    let mut bench = Bench::leading();
    bench.replica.link_down(PEER);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.told(), ["sent 0 to n2: Failed"]);
}

#[test]
fn a_host_that_has_no_snapshot_fails_every_peer_that_waits() {
    let mut bench = Bench::leading();
    bench.tell(Script::SendSnapshot(PEER));
    bench.tell(Script::SendSnapshot(OTHER));
    assert_eq!(bench.turn(), [take(0)], "one for both");
    bench.replica.snapshot_failed(bench.now);
    assert_eq!(bench.turn(), []);
    assert_eq!(
        bench.told(),
        ["sent 0 to n2: Failed", "sent 0 to n3: Failed"]
    );
}

#[test]
fn what_fails_is_not_tried_again_with_every_heartbeat() {
    let mut bench = Bench::leading();
    bench.tell(Script::SendSnapshot(PEER));
    bench.turn();
    bench.replica.snapshot_failed(bench.now);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), []);
    bench.pass(2_000);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [take(0)]);
    let meta = meta(9, 100);
    let mut bench = offering(&meta);
    let (id, end) = (meta.id, SnapshotEnd::Failed);
    bench.hear(PEER, Message::SnapshotDone { id, end });
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), []);
    bench.pass(2_000);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [Seen::Offer(PEER, meta.id)]);
}

#[test]
fn asking_again_changes_nothing_while_one_is_under_way() {
    let meta = meta(9, 100);
    let mut bench = offering(&meta);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!((bench.turn(), bench.told()), (vec![], vec![]));
    assert_eq!(bench.replica.snapshots_in_use().count(), 1);
}

#[test]
fn what_is_asked_for_is_sent_and_no_more() {
    let meta = meta(9, MIB);
    let mut bench = offering(&meta);
    bench.hear(PEER, want(&meta, 0, 1_000));
    let read = SnapshotTask::Read {
        to: PEER,
        id: meta.id,
        offset: 0,
        len: 1_000,
    };
    assert_eq!(bench.turn(), [Seen::Task(read)]);
    assert_eq!(bench.turn(), [], "it is being read");
    let read = Some(Bytes::from(vec![1; 1_000]));
    bench
        .replica
        .snapshot_read(bench.now, PEER, meta.id, 0, read);
    assert_eq!(bench.turn(), [Seen::Chunk(PEER, 0, 1_000)]);
    assert_eq!(bench.turn(), [], "no more is asked for");
    let (id, end) = (meta.id, SnapshotEnd::Installed);
    bench.hear(PEER, Message::SnapshotDone { id, end });
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.told(), ["sent 9 to n2: Installed"]);
    assert_eq!(bench.replica.snapshots_in_use().count(), 0);
}

#[test]
fn a_snapshot_that_does_not_help_is_not_offered_twice() {
    let first = meta(9, 100);
    let mut bench = offering(&first);
    let at_least = Index(20);
    let (id, end) = (first.id, SnapshotEnd::Unwanted { at_least });
    bench.hear(PEER, Message::SnapshotDone { id, end });
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [take(20)]);
    bench.replica.snapshot_ready(bench.now, &meta(20, 100));
    assert_eq!(bench.turn(), [Seen::Offer(PEER, meta(20, 100).id)]);
}

#[test]
fn no_snapshot_is_made_for_a_peer_that_wants_what_is_not_written_yet() {
    let first = meta(9, 100);
    let mut bench = offering(&first);
    let at_least = Index(u64::MAX);
    let (id, end) = (first.id, SnapshotEnd::Unwanted { at_least });
    bench.hear(PEER, Message::SnapshotDone { id, end });
    assert_eq!(bench.turn(), []);
    assert_eq!(bench.told(), ["sent 9 to n2: Failed"]);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(
        bench.turn(),
        [],
        "nor is it asked again with every heartbeat"
    );
    bench.pass(2_000);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [take(0)]);
    bench.replica.snapshot_ready(bench.now, &first);
    assert_eq!(bench.turn(), [Seen::Offer(PEER, id)]);
}

#[test]
fn a_broken_link_fails_it_for_now_and_keeps_it_for_a_while() {
    let meta = meta(9, 100);
    let mut bench = offering(&meta);
    bench.replica.link_down(PEER);
    bench.turn();
    assert_eq!(bench.told(), ["sent 9 to n2: Failed"]);
    bench.replica.link_up(PEER);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [Seen::Offer(PEER, meta.id)]);
    bench.replica.link_down(PEER);
    bench.turn();
    bench.pass(60_000);
    bench.turn();
    assert_eq!(bench.replica.snapshots_in_use().count(), 0);
}

#[test]
fn a_receiver_that_is_not_heard_is_given_up_for_now() {
    let mut bench = offering(&meta(9, 100));
    bench.pass(14_999);
    bench.turn();
    assert_eq!(bench.told(), [""; 0]);
    bench.pass(1);
    bench.turn();
    assert_eq!(bench.told(), ["sent 9 to n2: Failed"]);
}

#[test]
fn who_leads_no_more_goes_on_with_what_it_sends_and_begins_nothing() {
    let meta = meta(9, 100);
    let mut bench = offering(&meta);
    bench.tell(Script::SendSnapshot(OTHER));
    assert_eq!(bench.turn(), [take(0)]);
    bench.tell(Script::Lead(2, Some(OTHER)));
    assert_eq!(bench.turn(), []);
    bench.replica.snapshot_ready(bench.now, &meta);
    assert_eq!(bench.turn(), []);
    bench.hear(PEER, want(&meta, 0, 100));
    let read = SnapshotTask::Read {
        to: PEER,
        id: meta.id,
        offset: 0,
        len: 100,
    };
    assert_eq!(bench.turn(), [Seen::Task(read)]);
    bench.hear(OTHER, want(&meta, 0, 100));
    assert_eq!(bench.turn(), [Seen::Gone(OTHER, meta.id)]);
    // Nor for ever to one that asks for nothing.
    bench.pass(15_000);
    bench.turn();
    bench.pass(60_000);
    bench.turn();
    assert_eq!(bench.replica.snapshots_in_use().count(), 0);
}

#[test]
fn a_file_that_cannot_be_read_any_more_is_gone() {
    let meta = meta(9, 100);
    let mut bench = offering(&meta);
    bench.hear(PEER, want(&meta, 0, 100));
    bench.turn();
    bench
        .replica
        .snapshot_read(bench.now, PEER, meta.id, 0, None);
    let suspect = SnapshotTask::Suspect { id: meta.id };
    assert_eq!(
        bench.turn(),
        [Seen::Gone(PEER, meta.id), Seen::Task(suspect)]
    );
    assert_eq!(bench.told(), ["sent 9 to n2: Failed"]);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [], "the host looks at it first");
    bench.pass(2_000);
    bench.tell(Script::SendSnapshot(PEER));
    assert_eq!(bench.turn(), [take(0)]);
}

#[test]
fn a_piece_that_was_sent_corrupt_is_asked_for_once_more_and_then_complained_of() {
    let meta = meta(9, 10 * MIB);
    let mut bench = receiving(&meta);
    bench.hear(PEER, chunk(&meta, 0, 1_000));
    bench.hear(PEER, chunk(&meta, 1_000, 1_000));
    bench.turn();
    bench.replica.incoming_corrupt(bench.now, meta.id, 500);
    assert_eq!(bench.turn(), [Seen::Want(PEER, 500, 500 + MIB)]);
    bench.hear(PEER, chunk(&meta, 2_000, 1_000));
    bench.hear(PEER, chunk(&meta, 500, 500));
    assert!(matches!(
        bench.turn()[..],
        [
            Seen::Want(PEER, 500, _),
            Seen::Task(SnapshotTask::Store { offset: 500, .. })
        ]
    ));
    bench.replica.incoming_corrupt(bench.now, meta.id, 500);
    assert_eq!(bench.turn(), [Seen::Done(PEER, SnapshotEnd::Corrupt)]);
    bench.hear(PEER, chunk(&meta, 500, 500));
    assert_eq!(bench.turn(), [], "it is received no more");
}

#[test]
fn an_older_snapshot_than_what_is_here_is_unwanted() {
    let mut bench = Bench::new();
    bench.tell(Script::CommitOther(9, 1));
    assert_eq!(bench.turn(), [Seen::Applied(9)]);
    let at_least = Index(10);
    for index in [8, 9] {
        let meta = meta(index, 100);
        bench.hear(PEER, Message::SnapshotOffer { meta });
        let unwanted = SnapshotEnd::Unwanted { at_least };
        assert_eq!(bench.turn(), [Seen::Done(PEER, unwanted)]);
    }
}

#[test]
fn offers_that_make_no_sense_are_refused() {
    let mut bench = Bench::following();
    let mut nobody = meta(9, 100);
    nobody.membership = Membership::default();
    for meta in [meta(9, 0), nobody] {
        bench.hear(OTHER, Message::SnapshotOffer { meta });
        assert_eq!(bench.turn(), [Seen::Done(OTHER, SnapshotEnd::Failed)]);
    }
    let mut leader = Bench::leading();
    let meta = meta(9, 100);
    leader.hear(OTHER, Message::SnapshotOffer { meta });
    assert_eq!(leader.turn(), [Seen::Done(OTHER, SnapshotEnd::Failed)]);
}

#[test]
fn no_more_is_asked_for_than_a_window_beyond_what_is_stored() {
    let meta = meta(9, 10 * MIB);
    let mut bench = receiving(&meta);
    bench.hear(PEER, chunk(&meta, 0, 1_000));
    assert!(matches!(
        bench.turn()[..],
        [Seen::Task(SnapshotTask::Store { offset: 0, .. })]
    ));
    bench.replica.chunk_stored(bench.now, meta.id, 1_000);
    assert_eq!(bench.turn(), [Seen::Want(PEER, 1_000, 1_000 + MIB)]);
}

#[test]
fn pieces_that_do_not_fit_are_not_stored() {
    let meta = meta(9, 10 * MIB);
    let mut bench = receiving(&meta);
    let other = SnapshotMeta {
        id: SnapshotId {
            digest: 1,
            ..meta.id
        },
        ..meta.clone()
    };
    bench.hear(OTHER, chunk(&meta, 0, 10));
    bench.hear(PEER, chunk(&other, 0, 10));
    bench.hear(PEER, chunk(&meta, 0, 0));
    assert_eq!(bench.turn(), [], "another's, of another, of nothing");
    let mut damaged = chunk(&meta, 0, 10);
    if let Message::SnapshotChunk { crc, .. } = &mut damaged {
        *crc ^= 1;
    }
    let (beyond, huge) = (chunk(&meta, 5, 10), chunk(&meta, 0, MIB as usize + 1));
    for message in [damaged, beyond, huge, chunk(&meta, u64::MAX, 10)] {
        let mut bench = receiving(&meta);
        bench.hear(PEER, message);
        assert_eq!(bench.turn(), [Seen::Want(PEER, 0, MIB)], "asked for again");
        bench.hear(PEER, chunk(&meta, 20, 10));
        assert_eq!(bench.turn(), [], "that was on its way, and is asked for");
    }
}

#[test]
fn silence_is_answered_by_asking_again() {
    let mut bench = receiving(&meta(9, 100));
    bench.pass(1_999);
    assert_eq!(bench.turn(), []);
    bench.pass(1);
    assert_eq!(bench.turn(), [Seen::Want(PEER, 0, 100)]);
}

/// All of `meta` is here, and the protocol has been asked.
fn complete(meta: &SnapshotMeta, wants: bool) -> (Bench, Vec<Seen>) {
    let mut bench = receiving(meta);
    bench.tell(Script::Want(wants));
    bench.hear(PEER, chunk(meta, 0, 100));
    bench.turn();
    bench.replica.chunk_stored(bench.now, meta.id, 100);
    let seen = bench.turn();
    assert_eq!(bench.told(), ["offered 9@1 by n2"], "and not before");
    (bench, seen)
}

#[test]
fn the_protocol_has_the_last_word() {
    let meta = meta(9, 100);
    let (mut bench, seen) = complete(&meta, false);
    let at_least = Index(1);
    assert_eq!(
        seen,
        [
            Seen::Task(SnapshotTask::Discard { id: meta.id }),
            Seen::Done(PEER, SnapshotEnd::Unwanted { at_least }),
        ]
    );
    assert_eq!(bench.turn(), []);
}

#[test]
fn what_is_stored_once_its_sender_is_gone_counts() {
    let whole = meta(9, 100);
    let mut bench = receiving(&whole);
    bench.hear(PEER, chunk(&whole, 0, 100));
    bench.hear(PEER, Message::SnapshotGone { id: whole.id });
    bench.turn();
    bench.replica.chunk_stored(bench.now, whole.id, 100);
    bench.turn();
    assert_eq!(
        bench.told(),
        ["offered 9@1 by n2"],
        "nobody else need send it"
    );

    let part = meta(9, 10 * MIB);
    let mut bench = receiving(&part);
    bench.hear(PEER, chunk(&part, 0, 1_000));
    bench.hear(PEER, Message::SnapshotGone { id: part.id });
    bench.turn();
    bench.replica.chunk_stored(bench.now, part.id, 1_000);
    assert_eq!(bench.turn(), [], "there is nobody to be asked");
    bench.hear(OTHER, Message::SnapshotOffer { meta: part.clone() });
    assert_eq!(bench.turn(), [Seen::Want(OTHER, 1_000, 1_000 + MIB)]);
}

#[test]
fn a_piece_that_is_found_to_be_corrupt_once_its_sender_is_gone_is_asked_for_elsewhere() {
    let meta = meta(9, 10 * MIB);
    let mut bench = receiving(&meta);
    bench.hear(PEER, chunk(&meta, 0, 1_000));
    bench.hear(PEER, Message::SnapshotGone { id: meta.id });
    bench.turn();
    bench.replica.incoming_corrupt(bench.now, meta.id, 500);
    assert_eq!(bench.turn(), []);
    bench.hear(OTHER, Message::SnapshotOffer { meta: meta.clone() });
    assert_eq!(bench.turn(), [Seen::Want(OTHER, 500, 500 + MIB)]);
}

#[test]
fn an_install_that_the_disk_refuses_is_abandoned_and_said() {
    let meta = meta(9, 100);
    let (mut bench, seen) = complete(&meta, true);
    let install = SnapshotTask::Install { meta: meta.clone() };
    assert_eq!(seen, [Seen::Task(install)]);
    let why = InstallFailure::Environment;
    bench.replica.install_failed(bench.now, meta.id, why);
    assert_eq!(bench.turn(), [Seen::Done(PEER, SnapshotEnd::Failed)]);
    assert_eq!(bench.told(), ["abandoned 9@1"]);
}

#[test]
fn a_corrupt_snapshot_is_fetched_once_more_and_then_complained_of() {
    let meta = meta(9, 100);
    let (mut bench, _) = complete(&meta, true);
    let why = InstallFailure::Corrupt;
    bench.replica.install_failed(bench.now, meta.id, why);
    let discard = Seen::Task(SnapshotTask::Discard { id: meta.id });
    let open = Seen::Task(SnapshotTask::Open { meta: meta.clone() });
    assert_eq!(bench.turn(), [discard, open]);
    bench.replica.incoming_opened(bench.now, meta.id, 100);
    bench.turn();
    bench.replica.install_failed(bench.now, meta.id, why);
    let seen = bench.turn();
    assert_eq!(seen.last(), Some(&Seen::Done(PEER, SnapshotEnd::Corrupt)));
    let mut sender = offering(&meta);
    let (id, end) = (meta.id, SnapshotEnd::Corrupt);
    sender.hear(PEER, Message::SnapshotDone { id, end });
    assert_eq!(sender.turn(), [Seen::Task(SnapshotTask::Suspect { id })]);
}

#[test]
fn while_one_is_installed_another_is_refused_and_the_sender_hears_that_it_goes_on() {
    let first = meta(9, 100);
    let (mut bench, _) = complete(&first, true);
    let second = meta(20, 100);
    bench.hear(OTHER, Message::SnapshotOffer { meta: second });
    assert_eq!(bench.turn(), [Seen::Done(OTHER, SnapshotEnd::Failed)]);
    bench.pass(2_000);
    assert_eq!(bench.turn(), [Seen::Want(PEER, 100, 100)]);
}

#[test]
fn what_is_half_here_and_needed_no_more_is_thrown_away() {
    let meta = meta(9, 100);
    let mut bench = receiving(&meta);
    bench.tell(Script::CommitOther(9, 1));
    bench.turn();
    let discard = SnapshotTask::Discard { id: meta.id };
    assert_eq!(bench.turn(), [Seen::Task(discard)]);
}
