//! The order in which Java's `HashSet<Bytes>` iterates: Kafka Streams writes the changelog records of a suppression's
//! buffer in it, and our changelogs are to be equal record by record.

use std::collections::HashSet;

use rustc_hash::FxBuildHasher;

/// The buckets of an empty Java hash table.
const BUCKETS: usize = 16;

/// Keys, to be taken in the order of a Java hash set that is cleared and used again.
#[derive(Debug)]
pub(crate) struct JavaHashSet {
    keys: Vec<Box<[u8]>>,
    known: HashSet<Box<[u8]>, FxBuildHasher>,
    /// A Java table grows and never shrinks.
    buckets: usize,
}

impl Default for JavaHashSet {
    fn default() -> Self {
        Self { keys: Vec::new(), known: HashSet::default(), buckets: BUCKETS }
    }
}

impl JavaHashSet {
    pub(crate) fn insert(&mut self, key: &[u8]) {
        if self.known.contains(key) {
            return;
        }
        self.known.insert(key.into());
        self.keys.push(key.into());
        while self.keys.len() > self.buckets / 4 * 3 {
            self.buckets *= 2;
        }
    }

    /// Empties the set.
    pub(crate) fn take(&mut self) -> Vec<Box<[u8]>> {
        self.known.clear();
        let mut keys = std::mem::take(&mut self.keys);
        // Growing a table keeps the order within a bucket, so sorting stably by bucket is all there is to it.
        keys.sort_by_key(|key| bucket(key, self.buckets));
        keys
    }
}

fn bucket(key: &[u8], buckets: usize) -> usize {
    let hash = key.iter().fold(1u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(i32::from(*byte as i8) as u32));
    (hash ^ (hash >> 16)) as usize & (buckets - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_in_the_order_of_a_java_hash_set() {
        let mut set = JavaHashSet::default();
        let key = |text: &str| -> Box<[u8]> {
            (0..text.len() / 2).map(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap()).collect()
        };
        // Recorded from Kafka Streams.
        let recorded = [
            "630000000000000000",
            "630000000000000fa0",
            "610000000000000000",
            "620000000000000000",
            "6300000000000007d0",
            "630000000000001770",
        ];
        let mut sorted = recorded.map(key);
        sorted.sort();
        sorted.iter().for_each(|key| set.insert(key));
        assert_eq!(set.take(), recorded.map(key));
    }
}
