//! placeholder until the module is written

use futures_util::future::BoxFuture;

use super::{Fields, Node, NodeContext, NodeType, Outcome};
use crate::diagram::NodeKind;
use crate::error::Error;

pub(super) static TYPE: NodeType = NodeType { kind: NodeKind::TemplateJob, summary: "", read };

struct Todo;

fn read(_fields: &mut Fields<'_>) -> Box<dyn Node> {
    Box::new(Todo)
}

impl Node for Todo {
    fn run<'a>(&'a self, _cx: &'a NodeContext) -> BoxFuture<'a, Result<Outcome, Error>> {
        Box::pin(async move { Err(Error::internal("not written")) })
    }
}
