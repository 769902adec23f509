//! How a test wants its cluster.

/// Settings of a cluster; the default is the product's.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    /// Whether clients see a Redis cluster.
    pub(crate) cluster_enabled: bool,
    /// What clients must AUTH with.
    pub(crate) requirepass: Option<String>,
    /// Logs are kept as short as can be.
    pub(crate) short_log: bool,
}

impl Options {
    /// Clients see one server, and any node forwards.
    pub(crate) fn plain() -> Self {
        Self::default()
    }

    /// Clients see a Redis cluster.
    pub(crate) fn cluster() -> Self {
        Self {
            cluster_enabled: true,
            ..Self::default()
        }
    }

    /// Whoever lags by more than a megabyte gets a snapshot.
    pub(crate) fn short_log(mut self) -> Self {
        self.short_log = true;
        self
    }

    /// Clients must AUTH.
    pub(crate) fn password(mut self, password: &str) -> Self {
        self.requirepass = Some(password.to_owned());
        self
    }
}
