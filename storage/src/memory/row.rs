//! A row: neighbouring nodes of a tree, with the first eight bytes of each one's first key.
//!
//! Rows of rows of [`Run`](super::run::Run)s are a search tree of fixed height with wide nodes. The
//! cost of keeping its arrays sorted is a short move of memory, which is cheaper than the cache
//! misses that narrow nodes cost.

use std::iter;
use std::ops::Bound;

/// How many nodes a row holds at most, the topmost row excepted.
const ROW_MAX: usize = 256;

/// A key, with its first eight bytes as a number that sorts as they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key<'a> {
    pub(super) prefix: u64,
    pub(super) bytes: &'a [u8],
}

impl<'a> Key<'a> {
    /// Shorter keys are filled up with zeros; those that become equal so are told apart by their
    /// bytes.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let prefix = match bytes.first_chunk() {
            Some(first) => u64::from_be_bytes(*first),
            None => {
                let mut first = [0; 8];
                first
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(place, byte)| *place = *byte);
                u64::from_be_bytes(first)
            }
        };
        Key { prefix, bytes }
    }
}

/// A part of the tree: a run of keys, or a row of nodes.
pub(super) trait Node: Sized + Default {
    /// The first key, unless it is empty.
    fn first(&self) -> Option<Key<'_>>;

    fn get(&self, key: Key<'_>) -> Option<&[u8]>;

    /// Puts a value; gives back the upper part of itself if it has become too large. Like everything
    /// that changes a node, it keeps `size` up to date.
    fn put(&mut self, key: Key<'_>, value: &[u8], size: &mut usize) -> Option<Self>;

    fn delete(&mut self, key: Key<'_>, size: &mut usize);

    /// Removes the keys from `from` to below `to`, which is not below `from`.
    fn delete_range(&mut self, from: Key<'_>, to: Key<'_>, size: &mut usize);

    /// Takes over everything from the node behind it if both together are small enough.
    fn absorb(&mut self, next: &mut Self) -> bool;

    /// About how many bytes of memory it takes.
    fn size(&self) -> usize;

    /// Its keys and values, from a key on.
    fn rows<'a>(&'a self, from: Bound<Key<'a>>) -> impl Iterator<Item = (Key<'a>, &'a [u8])>;
}

/// Neighbouring nodes, in order, none of them empty.
#[derive(Debug)]
pub(super) struct Row<N> {
    /// The prefix of each node's first key.
    firsts: Vec<u64>,
    nodes: Vec<N>,
}

impl<N> Default for Row<N> {
    fn default() -> Self {
        Row {
            firsts: Vec::new(),
            nodes: Vec::new(),
        }
    }
}

impl<N: Node> Row<N> {
    /// Which node `key` belongs to: the last that begins at or before it, or the first.
    fn find(&self, key: Key<'_>) -> usize {
        let behind = self.firsts.partition_point(|first| *first <= key.prefix);
        let equal_before = |at: usize| self.firsts.get(at) == Some(&key.prefix);
        if behind == 0 || !equal_before(behind - 1) {
            return behind.saturating_sub(1);
        }
        // Nodes that begin with this very prefix: only their whole first keys tell.
        let alike = self.firsts.partition_point(|first| *first < key.prefix);
        let nodes = self.nodes.get(alike..behind).unwrap_or_default();
        let begins_before = |node: &N| node.first().is_some_and(|first| first.bytes <= key.bytes);
        (alike + nodes.partition_point(begins_before)).saturating_sub(1)
    }

    /// The node that a key with this prefix belongs to.
    pub(super) fn node(&self, prefix: u64) -> Option<&N> {
        self.nodes.get(self.find(Key { prefix, bytes: &[] }))
    }

    /// Appends what was split off, whatever the limit: the topmost row has no siblings.
    pub(super) fn take_back(&mut self, upper: &mut Self) {
        self.firsts.append(&mut upper.firsts);
        self.nodes.append(&mut upper.nodes);
    }

    /// Restores what may have changed about the node at `at`.
    fn mend(&mut self, at: usize) {
        match self
            .nodes
            .get(at)
            .map(|node| node.first().map(|first| first.prefix))
        {
            Some(Some(prefix)) => {
                if let Some(first) = self.firsts.get_mut(at) {
                    *first = prefix;
                }
            }
            Some(None) => {
                self.firsts.remove(at);
                self.nodes.remove(at);
            }
            None => {}
        }
    }

    /// Merges the node at `at` into its neighbours if they have become small.
    fn merge(&mut self, at: usize) {
        for left in [at, at.wrapping_sub(1)] {
            if let Some([node, next]) = self
                .nodes
                .get_mut(left..)
                .and_then(|rest| rest.get_mut(..2))
                && node.absorb(next)
            {
                self.mend(left + 1);
            }
        }
    }
}

impl<N: Node> Node for Row<N> {
    fn first(&self) -> Option<Key<'_>> {
        self.nodes.first()?.first()
    }

    fn get(&self, key: Key<'_>) -> Option<&[u8]> {
        self.nodes.get(self.find(key))?.get(key)
    }

    fn put(&mut self, key: Key<'_>, value: &[u8], size: &mut usize) -> Option<Self> {
        if self.nodes.is_empty() {
            self.nodes.push(N::default());
            self.firsts.push(key.prefix);
        }
        let at = self.find(key);
        let upper = self.nodes.get_mut(at)?.put(key, value, size);
        if let Some(first) = self.firsts.get_mut(at) {
            *first = key.prefix.min(*first);
        }
        let upper = upper?;
        let prefix = upper.first().map_or(key.prefix, |first| first.prefix);
        self.firsts.insert(at + 1, prefix);
        self.nodes.insert(at + 1, upper);
        (self.nodes.len() > ROW_MAX).then(|| {
            let keep = if at + 1 == ROW_MAX {
                ROW_MAX
            } else {
                ROW_MAX / 2
            };
            Row {
                firsts: self.firsts.split_off(keep),
                nodes: self.nodes.split_off(keep),
            }
        })
    }

    fn delete(&mut self, key: Key<'_>, size: &mut usize) {
        let at = self.find(key);
        if let Some(node) = self.nodes.get_mut(at) {
            node.delete(key, size);
            self.mend(at);
            self.merge(at);
        }
    }

    fn delete_range(&mut self, from: Key<'_>, to: Key<'_>, size: &mut usize) {
        let (low, high) = (self.find(from), self.find(to));
        if high > low + 1 {
            self.firsts.drain(low + 1..high);
            *size -= self
                .nodes
                .drain(low + 1..high)
                .map(|node| node.size())
                .sum::<usize>();
        }
        // The upper end first: mending it may remove it, which must not move the lower.
        for at in [low + 1, low] {
            if let Some(node) = self.nodes.get_mut(at).filter(|_| at <= high) {
                node.delete_range(from, to, size);
                self.mend(at);
            }
        }
        self.merge(low);
    }

    fn absorb(&mut self, next: &mut Self) -> bool {
        let fits = self.nodes.len() + next.nodes.len() <= ROW_MAX * 3 / 4;
        if fits {
            self.firsts.append(&mut next.firsts);
            self.nodes.append(&mut next.nodes);
        }
        fits
    }

    fn size(&self) -> usize {
        self.nodes.iter().map(Node::size).sum()
    }

    fn rows<'a>(&'a self, from: Bound<Key<'a>>) -> impl Iterator<Item = (Key<'a>, &'a [u8])> {
        let start = match from {
            Bound::Included(key) | Bound::Excluded(key) => self.find(key),
            Bound::Unbounded => 0,
        };
        let nodes = self.nodes.get(start..).unwrap_or_default();
        let from = iter::once(from).chain(iter::repeat(Bound::Unbounded));
        nodes
            .iter()
            .zip(from)
            .flat_map(|(node, from)| node.rows(from))
    }
}
