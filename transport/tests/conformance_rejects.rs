//! The suite is itself tested: for each of its cases, a transport that breaks just that
//! promise, and is rejected by that case.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;

use async_trait::async_trait;
use bytes::Bytes;
use transport::conformance::{self, Network, Violation};
use transport::memory::{MemoryNetwork, MemoryTransport};
use transport::{Channel, Event, Identity, NodeId, SendError, Stats, Transport};

/// How a transport is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Defect {
    None,
    TellsNothingOfBulk,
    SwapsNeighbours,
    DropsOneInTenThousand,
    RepeatsOneInTenThousand,
    CutsLargeFrames,
    DamagesLargeFrames,
    SendsControlBehindBulk,
    LosesWhatIsCancelled,
    ReportsTheFirstBoot,
    RepeatsDisconnected,
    SwallowsDisconnected,
    QueuesWithoutBound,
    DropsOneInAHundred,
    DeliversAfterReplacement,
    KeepsRemovedPeers,
    AcceptsWithoutConnection,
    AcceptsForItself,
}

struct Broken {
    defect: Defect,
    me: NodeId,
    inner: MemoryTransport,
    frames: u64,
    first: BTreeMap<NodeId, Identity>,
    last: BTreeMap<(NodeId, Channel), Bytes>,
}

impl Broken {
    /// What this transport makes of the events of an honest one.
    fn distort(&mut self, honest: Vec<Event>) -> Vec<Event> {
        let mut events: VecDeque<Event> = honest.into();
        let mut distorted = Vec::new();
        while let Some(event) = events.pop_front() {
            match (self.defect, event) {
                (
                    Defect::TellsNothingOfBulk,
                    Event::Connected {
                        channel: Channel::Bulk,
                        ..
                    },
                )
                | (Defect::SwallowsDisconnected, Event::Disconnected { .. }) => {}
                (Defect::RepeatsDisconnected, event @ Event::Disconnected { .. }) => {
                    distorted.extend([event.clone(), event]);
                }
                (Defect::ReportsTheFirstBoot, Event::Connected { peer, channel }) => {
                    let peer = *self.first.entry(peer.node).or_insert(peer);
                    distorted.push(Event::Connected { peer, channel });
                }
                (Defect::SwapsNeighbours, event @ Event::Frame { .. }) => {
                    if matches!(events.front(), Some(Event::Frame { .. })) {
                        distorted.extend(events.pop_front());
                    }
                    distorted.push(event);
                }
                (Defect::DeliversAfterReplacement, event) => {
                    self.deliver_late(event, &mut distorted)
                }
                (Defect::SendsControlBehindBulk, Event::Frame { from, payload, .. }) => {
                    let channel = match payload.first() {
                        Some(0) => Channel::Control,
                        _ => Channel::Bulk,
                    };
                    let payload = payload.slice(1..);
                    distorted.push(Event::Frame {
                        from,
                        channel,
                        payload,
                    });
                }
                (_, event) => distorted.push(event),
            }
        }
        distorted
    }

    /// The last frame of an old connection comes again after the new one's Connected.
    fn deliver_late(&mut self, event: Event, distorted: &mut Vec<Event>) {
        match &event {
            Event::Frame {
                from,
                channel,
                payload,
            } => {
                self.last.insert((*from, *channel), payload.clone());
                distorted.push(event);
            }
            Event::Connected { peer, channel } => {
                let (from, channel) = (peer.node, *channel);
                distorted.push(event);
                if let Some(payload) = self.last.remove(&(from, channel)) {
                    distorted.push(Event::Frame {
                        from,
                        channel,
                        payload,
                    });
                }
            }
            Event::Disconnected { .. } => distorted.push(event),
        }
    }
}

#[async_trait]
impl Transport for Broken {
    fn send(&mut self, to: NodeId, channel: Channel, payload: Bytes) -> Result<(), SendError> {
        self.frames += 1;
        let large = payload.len() > 1 << 20;
        match self.defect {
            Defect::DropsOneInTenThousand if self.frames.is_multiple_of(10_000) => Ok(()),
            Defect::DropsOneInAHundred if self.frames.is_multiple_of(100) => Ok(()),
            Defect::RepeatsOneInTenThousand if self.frames.is_multiple_of(10_000) => {
                self.inner.send(to, channel, payload.clone())?;
                self.inner.send(to, channel, payload)
            }
            Defect::CutsLargeFrames if large => {
                self.inner.send(to, channel, payload.slice(..1 << 20))
            }
            Defect::DamagesLargeFrames if large => {
                let mut damaged = payload.to_vec();
                damaged[1 << 20] ^= 1;
                self.inner.send(to, channel, damaged.into())
            }
            Defect::SendsControlBehindBulk => {
                let marked = [&[channel as u8], &payload[..]].concat();
                self.inner.send(to, Channel::Bulk, marked.into())
            }
            Defect::AcceptsWithoutConnection => match self.inner.send(to, channel, payload) {
                Err(SendError::NotConnected { .. }) => Ok(()),
                sent => sent,
            },
            Defect::AcceptsForItself if to == self.me => Ok(()),
            _ => self.inner.send(to, channel, payload),
        }
    }

    async fn receive(&mut self, events: &mut Vec<Event>) {
        let mut honest = Vec::new();
        self.inner.receive(&mut honest).await;
        if self.defect == Defect::LosesWhatIsCancelled {
            tokio::task::yield_now().await;
        }
        events.extend(self.distort(honest));
    }

    fn set_peers(&mut self, peers: BTreeMap<NodeId, String>) {
        if self.defect != Defect::KeepsRemovedPeers || !peers.is_empty() {
            self.inner.set_peers(peers);
        }
    }

    fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

struct BrokenNetwork(Defect, MemoryNetwork);

impl BrokenNetwork {
    fn new(defect: Defect) -> Self {
        let network = match defect {
            Defect::QueuesWithoutBound => MemoryNetwork::with_limits(64 << 20, usize::MAX),
            _ => MemoryNetwork::default(),
        };
        BrokenNetwork(defect, network)
    }
}

#[async_trait]
impl Network for BrokenNetwork {
    type Transport = Broken;

    async fn start(&mut self, identity: Identity) -> Broken {
        Broken {
            defect: self.0,
            me: identity.node,
            inner: self.1.transport(identity),
            frames: 0,
            first: BTreeMap::new(),
            last: BTreeMap::new(),
        }
    }

    async fn stop(&mut self, transport: Broken) {
        drop(transport);
    }

    fn address(&self, node: NodeId) -> String {
        node.to_string()
    }
}

/// The verdict on a paused clock: patience costs no time where nothing else can happen.
fn verdict(case: impl Future<Output = Result<(), Violation>>) -> Result<(), Violation> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(case)
}

/// One test per defect, naming the case that must notice and a word of what it must say.
macro_rules! rejected {
    ($($test:ident: $defect:ident by $case:ident saying $word:literal;)*) => {
        $(
            #[test]
            fn $test() {
                let network = BrokenNetwork::new(Defect::$defect);
                let violation = verdict(conformance::$case(network)).unwrap_err();
                assert!(violation.0.contains($word), "{violation}");
            }
        )*

        const REJECTING: &[&str] = &[$(stringify!($case)),*];
    };
}

rejected! {
    a_channel_that_never_connects: TellsNothingOfBulk by connects_on_both_channels saying "see each other";
    swapped_neighbours: SwapsNeighbours by keeps_order_within_a_channel saying "was due";
    a_lost_frame: DropsOneInTenThousand by delivers_many_small_frames saying "was due";
    a_repeated_frame: RepeatsOneInTenThousand by delivers_many_small_frames saying "was due";
    a_large_frame_cut_short: CutsLargeFrames by delivers_large_frames saying "others arrived";
    a_large_frame_damaged: DamagesLargeFrames by delivers_large_frames saying "others arrived";
    control_behind_bulk: SendsControlBehindBulk by keeps_channels_independent saying "waits behind bulk";
    frames_lost_to_cancellation: LosesWhatIsCancelled by loses_nothing_to_cancelled_receives saying "waited";
    the_old_boot_of_a_lower_node: ReportsTheFirstBoot by meets_a_restarted_lower_node saying "see each other";
    the_old_boot_of_a_greater_node: ReportsTheFirstBoot by meets_a_restarted_greater_node saying "see each other";
    an_end_told_twice: RepeatsDisconnected by tells_of_each_end_once saying "was not connected";
    an_end_not_told: SwallowsDisconnected by tells_of_each_end_once saying "twice";
    a_queue_without_bound: QueuesWithoutBound by leaves_no_gap_within_a_connection saying "no bound";
    a_gap: DropsOneInAHundred by leaves_no_gap_within_a_connection saying "was due";
    a_frame_after_replacement: DeliversAfterReplacement by delivers_nothing_of_an_old_connection_after_the_new saying "next boot";
    a_removed_peer_kept: KeepsRemovedPeers by disconnects_a_removed_peer saying "miss each other";
    a_send_without_connection: AcceptsWithoutConnection by refuses_to_send_without_a_connection saying "not connected";
    a_send_to_itself: AcceptsForItself by refuses_to_send_to_itself saying "to itself";
}

macro_rules! every_case {
    ([] $($case:ident)*) => {
        #[test]
        fn every_case_rejects_something() {
            for case in [$(stringify!($case)),*] {
                assert!(REJECTING.contains(&case), "nothing shows that {case} can fail");
            }
        }

        /// The wrapper itself is honest: without a defect it passes everything.
        #[test]
        fn no_defect_no_rejection() {
            $(verdict(conformance::$case(BrokenNetwork::new(Defect::None))).unwrap();)*
        }
    };
}

transport::for_each_conformance_case!(every_case => []);
