//! The cluster.

use super::flags::*;
use super::{Command, Group, Id, help};

pub(super) const ROWS: &[Command] = &[
    Command::new("cluster", Id::Cluster, -2)
        .docs(
            Group::Cluster,
            "3.0.0",
            "Depends on subcommand.",
            "A container for cluster commands.",
        )
        .subcommands(&[
            Command::new("cluster|info", Id::ClusterInfo, 2)
                .flags(STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "3.0.0",
                    "O(1)",
                    "Provides info about Redis Cluster node state.",
                ),
            Command::new("cluster|myid", Id::ClusterMyId, 2)
                .flags(STALE)
                .docs(Group::Cluster, "3.0.0", "O(1)", "Return the node id."),
            Command::new("cluster|nodes", Id::ClusterNodes, 2)
                .flags(STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "3.0.0",
                    "O(N) where N is the total number of Cluster nodes",
                    "Get Cluster config for the node.",
                ),
            Command::new("cluster|slots", Id::ClusterSlots, 2)
                .flags(STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "3.0.0",
                    "O(N) where N is the total number of Cluster nodes",
                    "Get array of Cluster slot to node mappings.",
                ),
            Command::new("cluster|shards", Id::ClusterShards, 2)
                .flags(STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "7.0.0",
                    "O(N) where N is the total number of cluster nodes",
                    "Get array of cluster slots to node mappings.",
                ),
            Command::new("cluster|keyslot", Id::ClusterKeySlot, 3)
                .flags(STALE)
                .docs(
                    Group::Cluster,
                    "3.0.0",
                    "O(N) where N is the number of bytes in the key",
                    "Returns the hash slot of the specified key.",
                )
                .arguments("key:string"),
            Command::new("cluster|countkeysinslot", Id::ClusterCountKeysInSlot, 3)
                .flags(STALE)
                .docs(
                    Group::Cluster,
                    "3.0.0",
                    "O(1)",
                    "Return the number of local keys in the specified hash slot.",
                )
                .arguments("slot:integer"),
            Command::new("cluster|getkeysinslot", Id::ClusterGetKeysInSlot, 4)
                .flags(STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "3.0.0",
                    "O(log(N)) where N is the number of requested keys",
                    "Return local key names in the specified hash slot.",
                )
                .arguments("slot:integer count:integer"),
            Command::new("cluster|replicas", Id::ClusterReplicas, 3)
                .flags(ADMIN | STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "5.0.0",
                    "O(1)",
                    "List replica nodes of the specified master node.",
                )
                .arguments("node-id:string"),
            Command::new("cluster|myshardid", Id::ClusterMyShardId, 2)
                .flags(LOADING | STALE)
                .tips(&["nondeterministic_output"])
                .docs(
                    Group::Cluster,
                    "7.2.0",
                    "O(1)",
                    "Returns the shard ID of a node.",
                ),
            help("cluster|help", Id::ClusterHelp, Group::Cluster),
        ]),
    Command::new("readonly", Id::ReadOnly, 1)
        .flags(LOADING | STALE | FAST)
        .categories(&["@connection"])
        .docs(
            Group::Cluster,
            "3.0.0",
            "O(1)",
            "Enables read queries for a connection to a cluster replica node.",
        ),
    Command::new("readwrite", Id::ReadWrite, 1)
        .flags(LOADING | STALE | FAST)
        .categories(&["@connection"])
        .docs(
            Group::Cluster,
            "3.0.0",
            "O(1)",
            "Disables read queries for a connection to a cluster replica node.",
        ),
];
