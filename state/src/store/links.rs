//! Doubly linked lists through the slots of a vector, by index.

/// No slot.
pub(super) const NONE: u32 = u32::MAX;

/// The neighbours of a slot in one list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) previous: u32,
    pub(super) next: u32,
}

impl Default for Links {
    fn default() -> Self {
        Self { previous: NONE, next: NONE }
    }
}

/// The ends of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub(super) first: u32,
    pub(super) last: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl List {
    /// Adds a slot, which must not be in the list, at the end.
    pub(super) fn push<S>(&mut self, slots: &mut [S], index: u32, links: impl Fn(&mut S) -> &mut Links) {
        *links(&mut slots[index as usize]) = Links { previous: self.last, next: NONE };
        match self.last {
            NONE => self.first = index,
            last => links(&mut slots[last as usize]).next = index,
        }
        self.last = index;
    }

    /// Removes a slot, which must be in the list.
    pub(super) fn remove<S>(&mut self, slots: &mut [S], index: u32, links: impl Fn(&mut S) -> &mut Links) {
        let Links { previous, next } = std::mem::take(links(&mut slots[index as usize]));
        match previous {
            NONE => self.first = next,
            previous => links(&mut slots[previous as usize]).next = next,
        }
        match next {
            NONE => self.last = previous,
            next => links(&mut slots[next as usize]).previous = previous,
        }
    }
}
