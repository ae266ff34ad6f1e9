//! The gate that keeps at most one record per key unacknowledged.
//!
//! Responsible for serial delivery per key where the sink asks for it: one request in flight, or a webhook. Refuses
//! nothing; records wait. Invariant: of the records of one key, at most one is with the sink, and they pass in
//! hand-out order.

use std::collections::{HashMap, VecDeque};

/// Keys with a record on its way, and the records that wait behind it.
#[derive(Debug, Default)]
pub(super) struct KeyGate {
    busy: HashMap<u64, VecDeque<u64>>,
}

impl KeyGate {
    /// Lets a record pass, or makes it wait behind the one of the same key; key 0 is no key and always passes.
    pub(super) fn admit(&mut self, key: u64, number: u64) -> bool {
        if key == 0 {
            return true;
        }
        match self.busy.get_mut(&key) {
            Some(waiting) => {
                waiting.push_back(number);
                false
            }
            None => {
                self.busy.insert(key, VecDeque::new());
                true
            }
        }
    }

    /// Notes that the record of a key is acknowledged and returns the one that may pass now.
    pub(super) fn release(&mut self, key: u64) -> Option<u64> {
        let waiting = self.busy.get_mut(&key)?;
        let next = waiting.pop_front();
        if next.is_none() {
            self.busy.remove(&key);
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_of_one_key_pass_one_at_a_time_and_in_order() {
        let mut gate = KeyGate::default();
        assert!(gate.admit(7, 0));
        assert!(!gate.admit(7, 1));
        assert!(gate.admit(8, 2));
        assert!(!gate.admit(7, 3));
        assert!(gate.admit(0, 4) && gate.admit(0, 5));
        assert_eq!(gate.release(7), Some(1));
        assert_eq!(gate.release(7), Some(3));
        assert_eq!(gate.release(7), None);
        assert!(gate.admit(7, 6));
        assert_eq!(gate.release(8), None);
        assert_eq!(gate.release(8), None);
    }
}
