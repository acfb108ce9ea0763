//! The order of fields in an answer: that of the document. The library carries fields out beside one another and
//! writes each down when it is done, so the same request would be answered now one way, now the other.

use async_graphql::indexmap::IndexMap;
use async_graphql::parser::types::{ExecutableDocument, Selection, SelectionSet};
use async_graphql::{Name, Value};

/// The keys of an answer, and below each those of its own fields.
#[derive(Debug, Default)]
pub struct Order(IndexMap<Name, Order>);

impl Order {
    /// The order in which an operation asks. Its document was measured before: it is small, and no fragment spreads
    /// itself.
    pub fn of(document: &ExecutableDocument, set: &SelectionSet) -> Self {
        let mut order = Self::default();
        order.add(document, set);
        order
    }

    /// Which types a fragment is for does not matter: what it does not add is not there to be sorted.
    fn add(&mut self, document: &ExecutableDocument, set: &SelectionSet) {
        for selection in &set.items {
            match &selection.node {
                Selection::Field(field) => {
                    let key = field.node.response_key().node.clone();
                    self.0.entry(key).or_default().add(document, &field.node.selection_set.node);
                }
                Selection::InlineFragment(it) => self.add(document, &it.node.selection_set.node),
                Selection::FragmentSpread(it) => {
                    if let Some(fragment) = document.fragments.get(&it.node.fragment_name.node) {
                        self.add(document, &fragment.node.selection_set.node);
                    }
                }
            }
        }
    }

    /// Puts the fields of an answer in order. Values that nothing is selected of stay as they are.
    pub fn sort(&self, answer: &mut Value) {
        match answer {
            Value::List(items) => items.iter_mut().for_each(|it| self.sort(it)),
            Value::Object(fields) if !self.0.is_empty() => {
                let mut found = std::mem::take(fields);
                for (key, below) in &self.0 {
                    if let Some(mut value) = found.swap_remove(key) {
                        below.sort(&mut value);
                        fields.insert(key.clone(), value);
                    }
                }
                fields.extend(found);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_answer_is_in_the_order_of_the_document() {
        let document = parse_query(
            "{ b { ...Two x } a: other { y ... on A { z } y } json b { last } } fragment Two on B { two one }",
        )
        .expect("a document");
        let (_, operation) = document.operations.iter().next().expect("an operation");
        let order = Order::of(&document, &operation.node.selection_set.node);
        let answer = json!({
            "json": {"q": 1, "p": 2},
            "a": null,
            "b": [{"last": 4, "x": 3, "one": 1, "two": 2}, null, {"one": 5, "x": 6}],
        });
        let mut answer = Value::from_json(answer).expect("a value");
        order.sort(&mut answer);
        let expected = "{\"b\":[{\"two\":2,\"one\":1,\"x\":3,\"last\":4},null,{\"one\":5,\"x\":6}],\"a\":null,\"json\":{\"q\":1,\"p\":2}}";
        assert_eq!(serde_json::to_string(&answer).expect("JSON"), expected);
        let mut nothing = Value::Null;
        order.sort(&mut nothing);
        assert_eq!(nothing, Value::Null);
    }
}
