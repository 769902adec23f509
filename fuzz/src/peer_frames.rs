//! What other nodes send, or whoever pretends to be one: the stream of frames, the handshake, and the
//! messages within the frames.
//!
//! Checked: where a stream is cut does not matter, and what comes out of a damaged one was put in;
//! room is asked for only within the limit; nobody is let in who does not belong here; a message
//! encoded again is the same message; no message, whoever sends it and whenever, makes a node panic,
//! go back in time, or hold more memory than what it was sent.

use std::ops::ControlFlow;

use bytes::Bytes;
use consensus::NodeId;
use replication::Frame;
use transport::fuzzing::{self, Outcome};
use transport::{ClusterId, Config, DiskId, Identity};

use crate::node::{ME, Node};
use crate::script::Script;
use crate::{messages, within};

/// The longest payload that is let through.
const LIMIT: u32 = 4096;
/// More steps are no other story.
const STEPS_MAX: usize = 200;

/// The cluster of the node that is spoken to.
pub(crate) const CLUSTER: ClusterId = ClusterId(0x10c5_7e90);

/// The first byte chooses which part is spoken to.
pub(crate) fn run(data: &[u8]) {
    let Some((first, input)) = data.split_first() else {
        return;
    };
    match first % 5 {
        0 => stream(input),
        1 => damaged_stream(Script(input)),
        2 => handshake(input),
        3 => encoded_messages(Script(input)),
        _ => made_up_messages(Script(input)),
    }
}

/// Decodes a stream in one piece and in others.
fn decode(input: &[u8]) -> Outcome {
    let whole = within(8192 + 8 * input.len(), || fuzzing::frames([input], LIMIT));
    for size in [1, 5, 16, 33] {
        let cut = fuzzing::frames(input.chunks(size), LIMIT);
        let same = (&cut.frames, &cut.error) == (&whole.frames, &whole.error);
        assert!(same && cut.left == whole.left, "cut at every {size} bytes");
        assert!(cut.wanted <= 16 + LIMIT as usize);
    }
    if let Some((label, text)) = &whole.error {
        assert!(!label.is_empty() && text.len() > 10, "{label}: {text}");
    }
    whole
}

fn stream(input: &[u8]) {
    let outcome = decode(input);
    let mut again = Vec::new();
    for (kind, payload) in &outcome.frames {
        again.extend_from_slice(&fuzzing::encode(*kind, payload));
    }
    assert!(input.starts_with(&again), "frames that nobody sent");
}

fn damaged_stream(mut script: Script<'_>) {
    let mut sent = Vec::new();
    let mut bytes = Vec::new();
    for _ in 0..=script.below(4) {
        let (kind, payload) = (script.byte() % 5, script.bytes(200));
        bytes.extend_from_slice(&fuzzing::encode(kind, payload));
        sent.push((kind, Bytes::copy_from_slice(payload)));
    }
    assert_eq!(decode(&bytes).frames, sent);
    while !script.is_empty() && !bytes.is_empty() {
        script.damage(&mut bytes);
    }
    for frame in decode(&bytes).frames {
        assert!(sent.contains(&frame), "a frame that was not sent");
    }
}

/// What the node that is spoken to is.
pub(crate) fn config() -> Config {
    let identity = Identity {
        cluster: CLUSTER,
        node: transport::NodeId(ME.0),
        disk: DiskId(7),
        boot: 3,
    };
    Config::new(identity, |peer| match peer.node.0 {
        1..=3 => Ok(()),
        _ => Err(transport::Refusal::UnknownNode(peer.node)),
    })
}

fn handshake(input: &[u8]) {
    let config = config();
    let allowed = 64 << 10;
    let (accepted, answer) = within(allowed, || fuzzing::accept(&config, input));
    match accepted {
        Ok(admitted) => {
            assert_eq!(admitted.peer.cluster, CLUSTER);
            let (peer, me) = (admitted.peer.node.0, ME.0);
            assert!(me < peer && peer <= 3, "n{peer} was let in by n{me}");
        }
        Err((label, text)) => assert!(!label.is_empty() && text.len() > 10, "{label}: {text}"),
    }
    let answered = fuzzing::frames([&answer[..]], LIMIT);
    assert_eq!((answered.left, answered.error), (0, None), "our own answer");

    let target = transport::NodeId(2);
    let (dialed, _) = within(allowed, || fuzzing::dial(&config, target, input));
    if let Ok(admitted) = dialed {
        assert_eq!(
            (admitted.peer.cluster, admitted.peer.node),
            (CLUSTER, target)
        );
    }
}

/// Who says something to the node. One of them is no member.
fn sender(script: &mut Script<'_>) -> NodeId {
    [NodeId(2), NodeId(3), NodeId(2), NodeId(9)][script.below(4)]
}

/// Frames as bytes. Most will not be ones; those of the corpus are.
fn encoded_messages(mut script: Script<'_>) {
    let mut node = Node::new();
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            return;
        }
        let (from, pause) = (sender(&mut script), script.byte());
        let bytes = script.bytes(4096);
        let frame = match within((4 << 20) + 64 * bytes.len(), || {
            Frame::<consensus_raft::Message>::decode(bytes)
        }) {
            Ok(frame) => frame,
            Err(error) => {
                assert!(error.to_string().contains("not one of ours"), "{error}");
                continue;
            }
        };
        let once = frame.encode();
        let again = Frame::<consensus_raft::Message>::decode(&once);
        assert_eq!(again.map(|again| again.encode()).ok(), Some(once));
        if node.hear(from, frame, pause).is_break() {
            return;
        }
    }
}

/// Messages of every kind with numbers of every kind.
fn made_up_messages(mut script: Script<'_>) {
    let mut node = Node::new();
    for _ in 0..STEPS_MAX {
        if script.is_empty() {
            return;
        }
        let (from, pause) = (sender(&mut script), script.byte());
        if let ControlFlow::Break(()) = match pause % 8 {
            0 => node.act(&mut script),
            _ => node.hear(from, messages::frame(&mut script), pause),
        } {
            return;
        }
    }
}
