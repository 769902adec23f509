//! The node and its cluster as INFO, CLUSTER, ROLE and MOVED describe them.

/// A picture of the node, taken when somebody asks. Owned, so that a node may put it together
/// from wherever its parts live.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Overview {
    /// This node's id.
    pub node: u64,
    /// Forty hex digits, new at every start of the process.
    pub run_id: String,
    /// The release of Lockstep.
    pub version: String,
    /// The process id.
    pub process_id: u32,
    /// The operating system, as INFO shows it.
    pub os: String,
    /// The port clients connect to.
    pub port: u16,
    /// Which engine holds the data, and which protocol keeps it in step.
    pub engine: String,
    /// How copies are kept in step: `raft`, `paxos`, ….
    pub mode: String,
    /// Everybody in the cluster, this node included.
    pub members: Vec<MemberInfo>,
    /// Who leads, if known.
    pub leader: Option<u64>,
    /// The reign: Raft's term, or a ballot's round.
    pub epoch: u64,
    /// The last committed log index.
    pub committed: u64,
    /// The last log index applied here.
    pub applied: u64,
    /// Whether this node is still catching up and cannot serve.
    pub loading: bool,
    /// Since the process started, in seconds.
    pub uptime_s: u64,
    /// Resident memory, in bytes.
    pub used_memory: u64,
    /// The most it has been, in bytes.
    pub used_memory_peak: u64,
    /// The machine's memory, in bytes.
    pub total_system_memory: u64,
    /// CPU spent in the kernel, in seconds.
    pub cpu_system_s: f64,
    /// CPU spent outside it, in seconds.
    pub cpu_user_s: f64,
    /// Connections open now.
    pub connected_clients: u64,
    /// Connections waiting in WAIT or WAITAOF.
    pub blocked_clients: u64,
    /// What has been counted since the start, or since CONFIG RESETSTAT.
    pub counters: Counters,
}

/// A node of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberInfo {
    /// Its id.
    pub id: u64,
    /// Forty hex digits that name it in CLUSTER: unique, and the same as long as it is a member.
    pub name: String,
    /// Where clients reach it: host, without the port.
    pub host: String,
    /// Where clients reach it: port.
    pub port: u16,
    /// Where its peers reach it: port.
    pub peer_port: u16,
    /// The log index it holds durably, as far as this node knows.
    pub index: u64,
    /// Whether it is connected and has answered lately; true of this node itself.
    pub online: bool,
    /// When it last answered, in seconds ago.
    pub silent_s: u64,
}

/// What a node counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections accepted.
    pub connections_received: u64,
    /// Connections refused because of `maxclients`.
    pub connections_rejected: u64,
    /// Commands handled: sum what [`Session::take_counters`](crate::Session::take_counters) says.
    pub commands: u64,
    /// Error replies, from the same source.
    pub errors: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Keys removed because their time had come.
    pub expired_keys: u64,
    /// Commands in the last second.
    pub commands_per_s: u64,
}

/// How full a database is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatabaseStatistics {
    /// Which.
    pub database: u16,
    /// Its keys that have not expired by group time.
    pub keys: u64,
    /// Those of them that will.
    pub expires: u64,
    /// How long those have left on average, in milliseconds.
    pub average_ttl_ms: u64,
}

impl DatabaseStatistics {
    /// How the machine tells its session; nobody else sees it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let fields = [
            u64::from(self.database),
            self.keys,
            self.expires,
            self.average_ttl_ms,
        ];
        fields
            .iter()
            .for_each(|field| out.extend_from_slice(&field.to_be_bytes()));
    }

    /// What [`write`](DatabaseStatistics::write) has written, several times over.
    pub(crate) fn read_all(bytes: &[u8]) -> Vec<DatabaseStatistics> {
        let (fields, _) = bytes.as_chunks::<8>();
        let fields: Vec<u64> = fields.iter().map(|f| u64::from_be_bytes(*f)).collect();
        let (all, _) = fields.as_chunks::<4>();
        all.iter()
            .map(
                |&[database, keys, expires, average_ttl_ms]| DatabaseStatistics {
                    database: u16::try_from(database).unwrap_or(u16::MAX),
                    keys,
                    expires,
                    average_ttl_ms,
                },
            )
            .collect()
    }
}

impl Overview {
    /// The member with this id.
    #[must_use]
    pub fn member(&self, id: u64) -> Option<&MemberInfo> {
        self.members.iter().find(|member| member.id == id)
    }

    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.leader == Some(self.node)
    }
}
