//! A set of node positions as bits. It knows nothing of graphs; it exists because asking whether two
//! sets meet is what the schedule does most.

use super::NodeIdx;

const WORD_BITS: usize = u64::BITS as usize;

/// A set of nodes of a graph whose size was named when the set was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeSet {
    words: Box<[u64]>,
}

impl NodeSet {
    /// Makes an empty set for a graph of `n_nodes` nodes.
    pub fn new(n_nodes: usize) -> Self {
        Self { words: vec![0; n_nodes.div_ceil(WORD_BITS)].into_boxed_slice() }
    }

    /// Adds `node` and says whether it was missing.
    pub fn insert(&mut self, node: NodeIdx) -> bool {
        let (word, bit) = place(node);
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Takes `node` out.
    pub fn remove(&mut self, node: NodeIdx) {
        let (word, bit) = place(node);
        self.words[word] &= !bit;
    }

    /// Adds `node` or takes it out.
    pub fn set(&mut self, node: NodeIdx, is_in: bool) {
        if is_in {
            self.insert(node);
        } else {
            self.remove(node);
        }
    }

    /// Whether `node` is in the set.
    pub fn contains(&self, node: NodeIdx) -> bool {
        let (word, bit) = place(node);
        self.words[word] & bit != 0
    }

    /// Whether the two sets have a node in common.
    pub fn meets(&self, other: &Self) -> bool {
        self.words.iter().zip(&other.words).any(|(a, b)| a & b != 0)
    }

    /// The first node in file order that both sets have.
    pub fn first_common(&self, other: &Self) -> Option<NodeIdx> {
        let mut words = self.words.iter().zip(&other.words).map(|(a, b)| a & b).enumerate();
        let (index, common) = words.find(|&(_, word)| word != 0)?;
        Some(index * WORD_BITS + common.trailing_zeros() as usize)
    }

    /// The nodes in file order.
    pub fn iter(&self) -> impl Iterator<Item = NodeIdx> + '_ {
        self.words.iter().enumerate().flat_map(|(index, &word)| ones(word).map(move |bit| index * WORD_BITS + bit))
    }
}

fn place(node: NodeIdx) -> (usize, u64) {
    (node / WORD_BITS, 1 << (node % WORD_BITS))
}

/// The positions of the bits of `word` that are set, lowest first.
fn ones(mut word: u64) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros() as usize)?;
        word &= word - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(nodes: &[NodeIdx]) -> NodeSet {
        let mut set = NodeSet::new(130);
        for &node in nodes {
            set.insert(node);
        }
        set
    }

    #[test]
    fn nodes_come_back_in_file_order_whatever_word_they_are_in() {
        assert_eq!(set(&[129, 0, 64, 63]).iter().collect::<Vec<_>>(), [0, 63, 64, 129]);
        assert_eq!(NodeSet::new(0).iter().count(), 0);
    }

    #[test]
    fn sets_meet_when_they_share_a_node() {
        assert!(set(&[1, 128]).meets(&set(&[2, 128])));
        assert!(!set(&[1, 64]).meets(&set(&[0, 65])));
        assert_eq!(set(&[1, 70, 128]).first_common(&set(&[2, 70, 128])), Some(70));
        assert_eq!(set(&[1]).first_common(&set(&[2])), None);
    }

    #[test]
    fn a_node_taken_out_is_new_again() {
        let mut nodes = set(&[70]);
        assert!(!nodes.insert(70));
        nodes.set(70, false);
        assert!(!nodes.contains(70) && nodes.insert(70));
    }
}
