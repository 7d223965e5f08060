//! The order of installation, in rounds as the specification has it: of the features whose requirements are
//! installed, those of the highest priority go next, sorted among themselves.

use super::graph::{Graph, GraphNode};

/// The indices of the graph's nodes in the order of installation; else a circle of features that wait for
/// each other, as written, with the first again at the end.
pub(super) fn order(graph: &Graph) -> Result<Vec<usize>, Vec<String>> {
    let nodes = &graph.nodes;
    let mut installed: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut is_installed = vec![false; nodes.len()];
    while installed.len() < nodes.len() {
        let ready =
            (0..nodes.len()).filter(|&index| !is_installed[index] && is_ready(&nodes[index], &is_installed));
        let ready: Vec<usize> = ready.collect();
        let Some(priority) = ready.iter().map(|&index| nodes[index].priority).max() else {
            return Err(circle(graph, &is_installed));
        };
        let mut round: Vec<usize> =
            ready.into_iter().filter(|&index| nodes[index].priority == priority).collect();
        round.sort_by(|&left, &right| nodes[left].rank.compare(&nodes[right].rank));
        for &index in &round {
            is_installed[index] = true;
        }
        installed.extend(round);
    }
    Ok(installed)
}

fn is_ready(node: &GraphNode, is_installed: &[bool]) -> bool {
    waits_for(node, is_installed).next().is_none()
}

/// What a node still waits for. Of several that are meant by one soft requirement the first stands for all.
fn waits_for<'a>(node: &'a GraphNode, is_installed: &'a [bool]) -> impl Iterator<Item = usize> + 'a {
    let hard = node.depends_on.iter().copied().filter(|&index| !is_installed[index]);
    let soft = node
        .installs_after
        .iter()
        .filter(|meant| !meant.iter().any(|&index| is_installed[index]))
        .filter_map(|meant| meant.first().copied());
    hard.chain(soft)
}

/// Everything left waits for something left, so that going from one to what it waits for must come back to
/// where it was.
fn circle(graph: &Graph, is_installed: &[bool]) -> Vec<String> {
    let mut left: Vec<usize> = (0..graph.nodes.len()).filter(|&index| !is_installed[index]).collect();
    left.sort_by(|&a, &b| graph.nodes[a].rank.compare(&graph.nodes[b].rank));
    let mut path: Vec<usize> = left.into_iter().take(1).collect();
    while let Some(next) = path.last().and_then(|&last| waits_for(&graph.nodes[last], is_installed).next()) {
        let start = path.iter().position(|&index| index == next);
        path.push(next);
        if let Some(start) = start {
            path.drain(..start);
            break;
        }
    }
    path.into_iter().map(|index| graph.nodes[index].written.clone()).collect()
}
