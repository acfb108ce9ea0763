//! What depends on what: the chain of runs that made the execution take as long as it did, and the nodes that need
//! nothing from each other. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::runs::Ran;

/// Returns the longest chain of runs by dependency: each needed the one before it. Its length is the sum of their
/// times; of equally long chains the one with more runs, then the one that ended later.
pub(super) fn critical_path(runs: &[Ran]) -> Vec<usize> {
    // Of the best chain that ends with a run: its time, its runs, and the run before.
    let mut best: Vec<(i64, usize, Option<usize>)> = Vec::with_capacity(runs.len());
    for run in runs {
        let before = run.needs.iter().copied().max_by_key(|it| (best[*it].0, best[*it].1, runs[*it].ended_at));
        let (ms, n_runs) = before.map_or((0, 0), |it| (best[it].0, best[it].1));
        best.push((ms.saturating_add(run.duration_ms), n_runs + 1, before));
    }
    let mut at = (0..runs.len()).max_by_key(|it| (best[*it].0, best[*it].1, runs[*it].ended_at));
    let mut path = Vec::new();
    while let Some(run) = at {
        path.push(run);
        at = best[run].2;
    }
    path.reverse();
    path
}

/// Returns the groups of nodes that may run at the same time: as many steps away from the beginning, so none of
/// them needs another. Each group once, by position, however often a loop comes to it.
pub(super) fn parallel_groups(runs: &[Ran]) -> Vec<Vec<usize>> {
    let mut levels: Vec<usize> = Vec::with_capacity(runs.len());
    let mut by_level: BTreeMap<usize, BTreeSet<usize>> = BTreeMap::new();
    for run in runs {
        let level = run.needs.iter().map(|it| levels[*it] + 1).max().unwrap_or(0);
        levels.push(level);
        by_level.entry(level).or_default().insert(run.node);
    }
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for group in by_level.into_values().filter(|it| it.len() > 1) {
        let group = group.into_iter().collect();
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of nodes 0, 1, 2 …: how long each took and which it needed.
    fn runs(sketch: &[(i64, &[usize])]) -> Vec<Ran> {
        let run = |(node, (duration_ms, needs)): (usize, &(i64, &[usize]))| Ran {
            node,
            duration_ms: *duration_ms,
            needs: needs.to_vec(),
            ..Ran::default()
        };
        sketch.iter().enumerate().map(run).collect()
    }

    #[test]
    fn the_critical_path_is_the_longest_chain_by_dependency() {
        for (what, sketch, path) in [
            ("nothing ran", &[][..], &[][..]),
            ("a chain", &[(1, &[][..]), (2, &[0]), (3, &[1])], &[0, 1, 2]),
            ("the slow side of a fork", &[(0, &[]), (50, &[0]), (10, &[0]), (1, &[1, 2])], &[0, 1, 3]),
            ("a long node alone beats a chain of short ones", &[(1, &[]), (1, &[0]), (9, &[])], &[2]),
            ("what started later is not longer for that", &[(9, &[]), (1, &[]), (1, &[1])], &[0]),
            (
                "when nothing took time, the chain with most runs",
                &[(0, &[]), (0, &[]), (0, &[1]), (0, &[0, 2])],
                &[1, 2, 3],
            ),
        ] {
            assert_eq!(critical_path(&runs(sketch)), path, "{what}");
        }
    }

    #[test]
    fn nodes_that_need_nothing_from_each_other_form_a_group() {
        for (what, sketch, groups) in [
            ("a chain", &[(1, &[][..]), (2, &[0]), (3, &[1])][..], vec![]),
            ("a fork", &[(0, &[]), (5, &[0]), (1, &[0]), (1, &[1, 2])], vec![vec![1, 2]]),
            ("two starts with a node each", &[(0, &[]), (0, &[]), (1, &[0]), (1, &[1])], vec![vec![0, 1], vec![2, 3]]),
        ] {
            assert_eq!(parallel_groups(&runs(sketch)), groups, "{what}");
        }
    }

    #[test]
    fn a_loop_names_its_group_once() {
        let mut sketch = runs(&[(0, &[]), (1, &[0]), (1, &[0]), (1, &[1, 2]), (1, &[3]), (1, &[3])]);
        (sketch[4].node, sketch[5].node) = (1, 2);
        assert_eq!(parallel_groups(&sketch), [[1, 2]]);
    }
}
