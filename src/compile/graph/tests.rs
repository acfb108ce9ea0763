//! Loops, headers and reachability of small graphs. Nodes are numbers; node 0 is the start.

use super::*;

fn graph(n_nodes: usize, conditions: &[NodeIdx], edges: &[(NodeIdx, NodeIdx)]) -> Graph {
    let rank = |node| match node {
        0 => Rank::Start,
        _ if conditions.contains(&node) => Rank::Condition,
        _ => Rank::Other,
    };
    let node = |it| GraphNode {
        rank: rank(it),
        is_endpoint: false,
        max_iteration: None,
        skippable: false,
        is_hook_start: false,
    };
    let edge = |&(from, to)| GraphEdge { from, output: Handle::Default, to, input: Handle::Default };
    Graph::new((0..n_nodes).map(node).collect(), edges.iter().map(edge).collect())
}

/// Checks the loops: header, members, and the nodes its back edges come from.
#[track_caller]
fn check(graph: &Graph, expected: &[(NodeIdx, &[NodeIdx], &[NodeIdx])]) {
    let sources = |it: &Loop| it.back_edges.iter().map(|&edge| graph.edges[edge].from).collect::<Vec<_>>();
    let found: Vec<_> = graph.loops().iter().map(|it| (it.header, it.members.clone(), sources(it))).collect();
    let expected: Vec<_> =
        expected.iter().map(|&(header, members, from)| (header, members.to_vec(), from.to_vec())).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_graph_without_cycles_has_no_loops() {
    check(&graph(4, &[], &[(0, 1), (0, 2), (1, 3), (2, 3)]), &[]);
}

#[test]
fn the_header_is_the_entry_nearest_to_a_start() {
    // 2 and 3 are both entered from outside, 2 directly from the start.
    check(&graph(4, &[], &[(0, 1), (1, 3), (0, 2), (2, 3), (3, 2)]), &[(2, &[2, 3], &[3])]);
}

#[test]
fn of_entries_equally_near_the_header_is_no_condition_and_then_the_first_in_the_file() {
    check(&graph(3, &[1], &[(0, 1), (0, 2), (1, 2), (2, 1)]), &[(2, &[1, 2], &[1])]);
    check(&graph(3, &[], &[(0, 1), (0, 2), (1, 2), (2, 1)]), &[(1, &[1, 2], &[2])]);
}

#[test]
fn a_loop_that_nothing_enters_has_a_header_too() {
    check(&graph(3, &[1], &[(1, 2), (2, 1)]), &[(2, &[1, 2], &[1])]);
}

#[test]
fn a_node_that_feeds_itself_is_a_loop() {
    check(&graph(2, &[], &[(0, 1), (1, 1)]), &[(1, &[1], &[1])]);
}

#[test]
fn loops_inside_loops_are_found_after_the_loops_around_them() {
    let nested = graph(5, &[], &[(0, 1), (1, 2), (2, 3), (3, 2), (3, 4), (4, 1)]);
    check(&nested, &[(1, &[1, 2, 3, 4], &[4]), (2, &[2, 3], &[3])]);
    assert_eq!(nested.innermost_loop(3).map(|it| it.header), Some(2));
    assert_eq!(nested.innermost_loop(4).map(|it| it.header), Some(1));
    assert_eq!(nested.headed_loop(2).map(|it| it.members.len()), Some(2));
    assert!(nested.begins_round_of(5, 2) && !nested.begins_round_of(3, 4));
    assert!(nested.is_back_edge(3) && nested.is_back_edge(5) && !nested.is_back_edge(2));
}

#[test]
fn components_come_before_what_they_lead_to() {
    let found = graph(5, &[], &[(0, 3), (3, 4), (4, 3), (4, 1), (1, 2)]);
    assert_eq!(found.strongly_connected(), [vec![0], vec![3, 4], vec![1], vec![2]]);
}

#[test]
fn a_node_reaches_itself_and_what_lies_behind_it() {
    let found = graph(4, &[], &[(0, 1), (1, 2), (2, 1), (0, 3)]);
    assert!(found.reaches(2, 1) && found.reaches(1, 1) && found.reaches(3, 3));
    assert!(!found.reaches(3, 1) && !found.reaches(1, 0));
}

#[test]
fn a_loop_is_named_by_the_shortest_way_round_from_its_header() {
    let found = graph(6, &[], &[(0, 1), (1, 2), (2, 3), (3, 4), (2, 4), (4, 1), (4, 5), (5, 5)]);
    assert_eq!(found.cycle_through(4), [1, 2, 4]);
    assert_eq!(found.cycle_through(3), [1, 2, 3, 4]);
    assert_eq!(found.cycle_through(5), [5]);
    assert_eq!(found.cycle_through(0), [0; 0]);
}

#[test]
fn what_brings_a_token_lies_before_the_edge_in_the_same_round() {
    // 0 -> 1 -> 2 -> 3 -> 1 and 2 -> 4, 0 -> 4.
    let found = graph(5, &[], &[(0, 1), (1, 2), (2, 3), (3, 1), (2, 4), (0, 4)]);
    let bringers = |edge: EdgeIdx| found.bringers(edge).iter().collect::<Vec<_>>();
    assert_eq!(bringers(0), [0], "into the header: the loop's back edge is the next round");
    assert_eq!(bringers(3), [2, 3], "never through the header itself");
    assert_eq!(bringers(4), [0, 1, 2, 3], "behind the loop every round counts");
}

#[test]
fn a_chain_of_the_largest_diagram_and_a_tower_of_loops_are_analysed() {
    let (n_nodes, n_loops) = (1_000, 50);
    let chain = (1..n_nodes).map(|it| (it - 1, it));
    let back = (2..2 + n_loops).map(|it| (n_nodes - it, it));
    let found = graph(n_nodes, &[], &chain.chain(back).collect::<Vec<_>>());
    assert_eq!(found.loops().len(), n_loops);
    assert!(found.reaches(0, n_nodes - 1));
}
