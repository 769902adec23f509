//! Both implementations keep the contract.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use async_trait::async_trait;
use transport::conformance::Network;
use transport::memory::{MemoryNetwork, MemoryTransport};
use transport::{Identity, NodeId};

mod tcp {
    use super::*;
    use std::collections::BTreeMap;
    use transport::Config;
    use transport::tcp::TcpTransport;

    /// Loopback. A node's first start takes any free port, later ones the same.
    #[derive(Default)]
    struct Loopback(BTreeMap<NodeId, String>);

    #[async_trait]
    impl Network for Loopback {
        type Transport = TcpTransport;

        async fn start(&mut self, identity: Identity) -> TcpTransport {
            let address = self.0.get(&identity.node).map_or("127.0.0.1:0", |a| a);
            let transport = TcpTransport::bind(address, Config::new(identity, |_| Ok(())))
                .await
                .unwrap();
            let address = transport.local_addr().to_string();
            self.0.insert(identity.node, address);
            transport
        }

        async fn stop(&mut self, transport: TcpTransport) {
            transport.close().await;
        }

        fn address(&self, node: NodeId) -> String {
            self.0.get(&node).cloned().unwrap()
        }
    }

    transport::conformance!(Loopback::default());
}

mod memory {
    use super::*;

    struct Memory(MemoryNetwork);

    #[async_trait]
    impl Network for Memory {
        type Transport = MemoryTransport;

        async fn start(&mut self, identity: Identity) -> MemoryTransport {
            self.0.transport(identity)
        }

        async fn stop(&mut self, transport: MemoryTransport) {
            drop(transport);
        }

        fn address(&self, node: NodeId) -> String {
            node.to_string()
        }
    }

    transport::conformance!(Memory(MemoryNetwork::default()));
}
