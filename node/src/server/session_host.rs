//! What a session asks of the node, answered by the event loop.

use std::time::Duration;

use consensus::{Index, Micros};
use keyspace::{
    Access, ClientInfo, Host, KillFilter, Leadership, Overview, SettingError, Settings, Slot, Wait,
};
use storage::Engine;

use super::connections::Token;
use super::event_loop::Loop;

/// The loop, as the session of one connection sees it.
pub(super) struct SessionHost<'a, E> {
    node: &'a mut Loop<E>,
    key: usize,
    id: u64,
}

impl<'a, E: Engine> SessionHost<'a, E> {
    pub(super) fn new(node: &'a mut Loop<E>, key: usize, id: u64) -> Self {
        SessionHost { node, key, id }
    }

    fn token(&self, slot: Slot) -> Token {
        Token {
            key: self.key,
            id: self.id,
            slot,
        }
    }
}

impl<E: Engine> Host for SessionHost<'_, E> {
    fn submit(&mut self, slot: Slot, access: Access, command: &[u8]) {
        let (token, now) = (self.token(slot), self.node.now());
        let totals = &mut self.node.totals;
        match access {
            Access::Read | Access::Local => totals.reads += 1,
            Access::Write => totals.writes += 1,
        }
        if let Some(group) = self.node.data_group() {
            match access {
                Access::Read => group.replica().read(now, token, command),
                Access::Write => group.replica().submit(now, token, command),
                Access::Local => group.look(token, command),
            }
        }
    }

    fn wait(&mut self, slot: Slot, wait: Wait) {
        let (token, now) = (self.token(slot), self.node.now());
        let asked = replication::Wait {
            // A connection that has written nothing asks who is there at all.
            index: Index(wait.index.unwrap_or(0)),
            replicas: wait.replicas,
            timeout: wait
                .timeout
                .map(|timeout| Micros(u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX))),
        };
        if let Some(group) = self.node.data_group() {
            group.replica().wait(now, token, asked);
        }
    }

    fn leader(&self) -> Leadership {
        let me = self.node.facts.node;
        let group = self.node.hosting.groups().next();
        match group.and_then(|(_, group)| group.view().leadership().1) {
            Some(leader) if leader == me => Leadership::Me,
            Some(leader) => Leadership::Other(leader.0),
            None => Leadership::None,
        }
    }

    fn settings(&self) -> &Settings {
        &self.node.settings
    }

    fn set_setting(&mut self, name: &str, value: &str) -> Result<(), SettingError> {
        self.node.settings.set(name, value)
    }

    fn overview(&self) -> Overview {
        self.node.overview()
    }

    fn clients(&self) -> Vec<ClientInfo> {
        let now = self.now();
        let connections = self.node.connections.all.iter();
        connections
            .filter_map(|(_, connection)| Some(connection.session.as_ref()?.info(now)))
            .collect()
    }

    fn kill(&mut self, filter: &KillFilter) -> usize {
        let now = self.now();
        let mut killed = 0;
        for (_, connection) in &mut self.node.connections.all {
            let session = connection.session.as_ref();
            if session.is_some_and(|session| filter.matches(&session.info(now))) {
                connection.killed = true;
                connection.wake();
                killed += 1;
            }
        }
        killed
    }

    fn reset_statistics(&mut self) {
        self.node.totals = super::view::Totals::default();
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.node.wall().0)
    }
}
