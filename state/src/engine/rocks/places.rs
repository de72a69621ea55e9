//! Where a journal has the newest change of each key of a family.
//!
//! ```text
//!  slots:  · (hash, place) (hash, place) · · (hash, place) ·        8 bytes each, in the order of their hashes, nearly
//! ```
//! A key itself is in the journal only, as in the hash table of a Bitcask store. Keys with the same hash have a slot each, the
//! newest of them has the highest place.

/// A place of 0 is none: a journal begins with the header of a block.
#[derive(Clone, Copy, Default)]
struct Slot {
    hash: u32,
    place: u32,
}

/// The places of a family's keys, by the hashes of these.
#[derive(Default)]
pub(super) struct Places {
    slots: Vec<Slot>,
    used: usize,
}

/// Of so many slots one stays empty.
const EMPTY: usize = 5;
const FEWEST: usize = 16;

/// A slot goes by all bits of the hash: this is a bijection (the finalizer of MurmurHash3).
fn spread(hash: u32) -> u32 {
    let hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    let hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

impl Places {
    /// The slots from where those of this hash may be on, up to the next empty one.
    fn run(&self, spread: u32) -> impl Iterator<Item = usize> {
        let count = self.slots.len();
        let home = ((u64::from(spread) * count as u64) >> 32) as usize;
        (home..count).chain(0..home).take_while(|&index| self.slots[index].place != 0)
    }

    fn find(&self, hash: u32, place: u32) -> Option<usize> {
        let hash = spread(hash);
        self.run(hash).find(|&index| self.slots[index].hash == hash && self.slots[index].place == place)
    }

    /// The highest place below `below` of a key with this hash.
    pub(super) fn newest(&self, hash: u32, below: u32) -> Option<u32> {
        let hash = spread(hash);
        let own = self.run(hash).map(|index| self.slots[index]).filter(|slot| slot.hash == hash);
        own.map(|slot| slot.place).filter(|&place| place < below).max()
    }

    /// Whether this is the newest place of its key.
    pub(super) fn has(&self, hash: u32, place: u32) -> bool {
        self.find(hash, place).is_some()
    }

    /// Adds the place of a key that has none yet.
    pub(super) fn add(&mut self, hash: u32, place: u32) {
        if (self.used + 1) * EMPTY > self.slots.len() * (EMPTY - 1) {
            self.grow();
        }
        self.put(Slot { hash: spread(hash), place });
        self.used += 1;
    }

    fn put(&mut self, slot: Slot) {
        let count = self.slots.len();
        let mut index = ((u64::from(slot.hash) * count as u64) >> 32) as usize;
        while self.slots[index].place != 0 {
            index = if index + 1 == count { 0 } else { index + 1 };
        }
        self.slots[index] = slot;
    }

    fn grow(&mut self) {
        let more = (self.slots.len() / 2 * 3).max(FEWEST);
        let slots = std::mem::replace(&mut self.slots, vec![Slot::default(); more]);
        slots.into_iter().filter(|slot| slot.place != 0).for_each(|slot| self.put(slot));
    }

    /// The key that was at `before` is at `now`.
    pub(super) fn replace(&mut self, hash: u32, before: u32, now: u32) {
        match self.find(hash, before) {
            Some(index) => self.slots[index].place = now,
            None => self.add(hash, now),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// How much memory they take.
    pub(super) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// All of them as bytes, for [`Places::of_bytes`].
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let used = self.slots.iter().filter(|slot| slot.place != 0);
        used.flat_map(|slot| [slot.hash.to_le_bytes(), slot.place.to_le_bytes()]).flatten().collect()
    }

    pub(super) fn of_bytes(bytes: &[u8]) -> Self {
        let (pairs, _) = bytes.as_chunks::<8>();
        let mut places =
            Self { slots: vec![Slot::default(); pairs.len() / (EMPTY - 1) * EMPTY + FEWEST], used: pairs.len() };
        for &[a, b, c, d, place @ ..] in pairs {
            places.put(Slot { hash: u32::from_le_bytes([a, b, c, d]), place: u32::from_le_bytes(place) });
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Few hashes for many keys, so that many have the same one.
        #[test]
        fn each_place_is_found_by_its_hash_until_a_newer_one_takes_it(
            steps in proptest::collection::vec((0..50u32, any::<bool>()), 1..300),
        ) {
            let (mut places, mut model) = (Places::default(), BTreeSet::<(u32, u32)>::new());
            for (number, (hash, newer)) in steps.into_iter().enumerate() {
                let place = number as u32 + 1;
                let before = model.iter().find(|(of, _)| newer && *of == hash).copied();
                match before {
                    Some((_, before)) => {
                        places.replace(hash, before, place);
                        model.remove(&(hash, before));
                    }
                    None => places.add(hash, place),
                }
                model.insert((hash, place));
            }
            for places in [&places, &Places::of_bytes(&places.to_bytes())] {
                prop_assert_eq!(places.len(), model.len());
                for hash in 0..60 {
                    let (mut below, mut found) = (u32::MAX, BTreeSet::new());
                    while let Some(place) = places.newest(hash, below) {
                        prop_assert!(place < below && places.has(hash, place));
                        found.insert((hash, place));
                        below = place;
                    }
                    let expected: BTreeSet<_> = model.iter().filter(|(of, _)| *of == hash).copied().collect();
                    prop_assert_eq!(found, expected);
                }
            }
        }
    }
}
