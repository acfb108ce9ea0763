//! Looks at a document before the library does: how large, how deep and how costly it is, with fragments counted
//! as often as they are spread. The library walks through every spread, so a small text could keep it busy for
//! ever; here each fragment is looked at once.

use std::collections::{HashMap, HashSet};

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{
    BaseType, ExecutableDocument, Field, OperationDefinition, OperationType, Selection, SelectionSet, Type,
};
use async_graphql::{Name, Pos, Positioned, Request, ServerError, Value, Variables};

use super::answer::problem;
use super::order::Order;
use super::parameters::Parameters;
use super::tokens;
use crate::error::Error;
use crate::limits;

/// What one use case costs, besides its fields: each may read files and the store.
const OPERATION_COST: usize = 50;
/// Deepest nesting of selections with fragments in place of their spreads: the library refuses more as well.
const NESTING_MAX: usize = 30;
/// Fields of the introspection that lead from a type to many others.
const LISTS: [&str; 4] = ["fields", "interfaces", "possibleTypes", "inputFields"];
/// How often those may stand inside one another: the usual query of tools needs one.
const LISTS_MAX: usize = 2;

/// What the schema has to say about documents before the library looks at them.
pub struct Rules {
    /// The names of the types that variables may have.
    pub input_types: HashSet<String>,
    /// Whether anybody is told what there is.
    pub introspects: bool,
}

/// A document that may be carried out.
pub struct Checked {
    pub request: Request,
    pub operation: OperationType,
    /// How its answer is written.
    pub order: Order,
}

/// Reads the document and checks everything that the library would stumble over or pass over.
///
/// # Errors
///
/// One problem with code `INVALID_QUERY` or `QUERY_TOO_COMPLEX`.
pub fn check(parameters: Parameters, rules: &Rules) -> Result<Checked, ServerError> {
    let Parameters { query, operation_name, variables } = parameters;
    // An empty name is none: several clients send it.
    let operation_name = operation_name.filter(|it| !it.is_empty());
    bounded(&query)?;
    let document = parse_query(&query).map_err(unreadable)?;
    let operation = chosen(&document, operation_name.as_deref())?;
    measure(&document, rules.introspects)?;
    known_types(&document, &rules.input_types)?;
    let kind = operation.node.ty;
    let order = Order::of(&document, &operation.node.selection_set.node);
    if kind == OperationType::Subscription {
        one_field(&document, operation)?;
    }
    provided(operation, &variables)?;
    let mut request = Request::new(query).variables(variables);
    request.operation_name = operation_name;
    request.set_parsed_query(document);
    Ok(Checked { request, operation: kind, order })
}

/// A text so long or nested that it would not be read safely is not read.
fn bounded(query: &str) -> Result<(), ServerError> {
    if query.len() > limits::GRAPHQL_DOCUMENT_BYTES_MAX {
        let message = format!("the document has more than {} bytes", limits::GRAPHQL_DOCUMENT_BYTES_MAX);
        return Err(too_much(message, "send long values as `variables`", None));
    }
    let counted = tokens::count(query);
    if counted.depth > limits::GRAPHQL_BRACKETS_MAX {
        let message = format!("brackets are nested more than {} deep", limits::GRAPHQL_BRACKETS_MAX);
        return Err(too_much(message, "ask for less at once", None));
    }
    if counted.tokens > limits::GRAPHQL_TOKENS_MAX {
        let message = format!("the document has more than {} words and signs", limits::GRAPHQL_TOKENS_MAX);
        return Err(too_much(message, "ask for less at once, and send long values as `variables`", None));
    }
    Ok(())
}

fn unreadable(error: async_graphql::parser::Error) -> ServerError {
    let positions: Vec<Pos> = error.positions().collect();
    // The parser draws a picture over several lines; where it is follows from the position.
    let text = error.to_string();
    let said = text.lines().rev().find_map(|it| it.trim().strip_prefix("= ")).unwrap_or(text.trim()).to_owned();
    let mut found = invalid(format!("the document cannot be read: {said}"), None);
    found.locations = positions;
    found
}

fn invalid(message: String, at: Option<Pos>) -> ServerError {
    let error = Error::invalid("INVALID_QUERY", message).hint("`resources/schema.graphql` has every operation");
    problem(error, at)
}

fn too_much(message: String, hint: &str, at: Option<Pos>) -> ServerError {
    problem(Error::limit("QUERY_TOO_COMPLEX", message).hint(hint), at)
}

/// The operation that is asked for.
fn chosen<'d>(
    document: &'d ExecutableDocument,
    name: Option<&str>,
) -> Result<&'d Positioned<OperationDefinition>, ServerError> {
    let mut operations = document.operations.iter();
    match name {
        Some(name) => operations
            .find(|(it, _)| it.is_some_and(|it| it == name))
            .map(|(_, operation)| operation)
            .ok_or_else(|| invalid(format!("the document has no operation `{}`", cut(name)), None)),
        None => match (operations.next(), operations.next()) {
            (Some((_, only)), None) => Ok(only),
            _ => Err(invalid("the document has several operations; `operationName` must say which".to_owned(), None)),
        },
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}

/// Variables are of types that there are. The library looks a type up in the belief that it is there.
fn known_types(document: &ExecutableDocument, input_types: &HashSet<String>) -> Result<(), ServerError> {
    let definitions = document.operations.iter().flat_map(|(_, it)| &it.node.variable_definitions);
    for definition in definitions {
        let name = innermost(&definition.node.var_type.node);
        if !input_types.contains(name.as_str()) {
            return Err(invalid(format!("there is no input type `{}`", cut(name)), Some(definition.pos)));
        }
    }
    Ok(())
}

fn innermost(kind: &Type) -> &Name {
    match &kind.base {
        BaseType::Named(name) => name,
        BaseType::List(inner) => innermost(inner),
    }
}

/// Every variable that must have a value has one: then nothing of the operation happens without it.
fn provided(operation: &Positioned<OperationDefinition>, variables: &Variables) -> Result<(), ServerError> {
    for definition in &operation.node.variable_definitions {
        let name = &definition.node.name.node;
        let kind = &definition.node.var_type.node;
        let given = variables.get(name);
        let is_missing = match given {
            None => definition.node.default_value.is_none(),
            Some(value) => *value == Value::Null,
        };
        if !kind.nullable && is_missing {
            let what = if given.is_some() { "is null" } else { "has no value" };
            return Err(invalid(format!("the variable `${name}` of type `{kind}` {what}"), Some(definition.pos)));
        }
    }
    Ok(())
}

/// A subscription follows one thing.
fn one_field(document: &ExecutableDocument, operation: &Positioned<OperationDefinition>) -> Result<(), ServerError> {
    let n_fields = n_root_fields(document, &operation.node.selection_set.node);
    if n_fields == 1 {
        return Ok(());
    }
    Err(invalid(format!("a subscription has one field, not {n_fields}"), Some(operation.pos)))
}

fn n_root_fields(document: &ExecutableDocument, set: &SelectionSet) -> usize {
    let of = |selection: &Positioned<Selection>| match &selection.node {
        Selection::Field(_) => 1,
        Selection::InlineFragment(it) => n_root_fields(document, &it.node.selection_set.node),
        Selection::FragmentSpread(it) => document
            .fragments
            .get(&it.node.fragment_name.node)
            .map_or(0, |it| n_root_fields(document, &it.node.selection_set.node)),
    };
    set.items.iter().map(of).fold(0, usize::saturating_add)
}

/// Refuses what is too deep or too costly, and fragments that spread themselves. Fragments that nobody spreads
/// count as well: they are checked like all others.
fn measure(document: &ExecutableDocument, introspects: bool) -> Result<(), ServerError> {
    let mut measuring = Measuring { document, introspects, known: HashMap::new(), open: Vec::new() };
    let mut total = 0_usize;
    for name in document.fragments.keys() {
        total = total.saturating_add(measuring.fragment(name)?.cost);
    }
    for (_, operation) in document.operations.iter() {
        let set = &operation.node.selection_set.node;
        nested(measuring.set(set)?, operation.pos)?;
        total = total.saturating_add(measuring.root(set)?);
    }
    // Alone each of them may be small enough.
    if total > 4 * limits::GRAPHQL_COMPLEXITY_MAX {
        return Err(too_costly(total, None));
    }
    Ok(())
}

fn too_costly(cost: usize, at: Option<Pos>) -> ServerError {
    let most = limits::GRAPHQL_COMPLEXITY_MAX;
    let message = format!("the document has a complexity of {cost} or more, the most is {most}");
    too_much(message, "a field counts 1, an operation 50; ask for less at once", at)
}

fn nested(measured: Measure, at: Pos) -> Result<(), ServerError> {
    if measured.nesting <= NESTING_MAX {
        return Ok(());
    }
    let message = format!("selections and fragments are nested more than {NESTING_MAX} deep");
    Err(too_much(message, "ask for the inner part by itself", Some(at)))
}

/// How large a selection is, with everything below it.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// Fields and spreads.
    cost: usize,
    /// Fields inside one another.
    depth: usize,
    /// Selections of any kind inside one another.
    nesting: usize,
    /// Lists of the introspection inside one another.
    lists: usize,
}

impl Measure {
    fn beside(self, other: Self) -> Self {
        Self {
            cost: self.cost.saturating_add(other.cost),
            depth: self.depth.max(other.depth),
            nesting: self.nesting.max(other.nesting),
            lists: self.lists.max(other.lists),
        }
    }
}

struct Measuring<'d> {
    document: &'d ExecutableDocument,
    introspects: bool,
    known: HashMap<&'d Name, Measure>,
    /// Fragments that are being looked at: to meet one of them again is to go round in a circle.
    open: Vec<&'d Name>,
}

impl<'d> Measuring<'d> {
    /// The cost of the fields at the root, each of which is an operation; checks how deep they are. What it walks
    /// through was measured before: it is no circle.
    fn root(&mut self, set: &'d SelectionSet) -> Result<usize, ServerError> {
        let mut cost = 0_usize;
        for selection in &set.items {
            let own = match &selection.node {
                Selection::Field(field) => self.operation(field)?,
                Selection::InlineFragment(it) => self.root(&it.node.selection_set.node)?,
                Selection::FragmentSpread(it) => match self.document.fragments.get(&it.node.fragment_name.node) {
                    Some(it) => self.root(&it.node.selection_set.node)?.saturating_add(1),
                    None => 1,
                },
            };
            cost = cost.saturating_add(own);
            if cost > limits::GRAPHQL_COMPLEXITY_MAX {
                return Err(too_costly(cost, Some(selection.pos)));
            }
        }
        Ok(cost)
    }

    fn operation(&mut self, field: &'d Positioned<Field>) -> Result<usize, ServerError> {
        let measured = self.field(field)?;
        let name = &field.node.name.node;
        if !self.introspects && matches!(name.as_str(), "__schema" | "__type") {
            return Err(invalid(format!("`{name}` is not answered in production"), Some(field.pos)));
        }
        if !name.starts_with("__") && measured.depth > limits::GRAPHQL_DEPTH_MAX {
            let (depth, most) = (measured.depth, limits::GRAPHQL_DEPTH_MAX);
            let message = format!("`{name}` is {depth} fields deep, the most is {most}");
            return Err(too_much(message, "ask for the inner part by itself", Some(field.pos)));
        }
        if measured.lists > LISTS_MAX {
            let message = "the introspection goes from types to types too often".to_owned();
            return Err(too_much(message, "ask for types by name, one after the other", Some(field.pos)));
        }
        Ok(measured.cost.saturating_add(OPERATION_COST - 1))
    }

    fn field(&mut self, field: &'d Positioned<Field>) -> Result<Measure, ServerError> {
        let inner = self.set(&field.node.selection_set.node)?;
        let is_list = LISTS.contains(&field.node.name.node.as_str());
        Ok(Measure {
            cost: inner.cost.saturating_add(1),
            depth: inner.depth + 1,
            lists: inner.lists + usize::from(is_list),
            ..inner
        })
    }

    fn set(&mut self, set: &'d SelectionSet) -> Result<Measure, ServerError> {
        let mut whole = Measure::default();
        for selection in &set.items {
            let own = match &selection.node {
                Selection::Field(field) => self.field(field)?,
                Selection::InlineFragment(it) => self.set(&it.node.selection_set.node)?,
                Selection::FragmentSpread(it) => {
                    let inner = self.fragment(&it.node.fragment_name.node)?;
                    Measure { cost: inner.cost.saturating_add(1), ..inner }
                }
            };
            whole = whole.beside(Measure { nesting: own.nesting + 1, ..own });
        }
        Ok(whole)
    }

    fn fragment(&mut self, name: &Name) -> Result<Measure, ServerError> {
        // One that is not there is the library's to name.
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else { return Ok(Measure::default()) };
        if let Some(known) = self.known.get(name) {
            return Ok(*known);
        }
        if self.open.contains(&name) {
            return Err(invalid(format!("the fragment `{}` spreads itself", cut(name)), Some(fragment.pos)));
        }
        // Also so that this ends before the stack does.
        nested(Measure { nesting: self.open.len(), ..Measure::default() }, fragment.pos)?;
        self.open.push(name);
        let measured = self.set(&fragment.node.selection_set.node)?;
        self.open.pop();
        nested(measured, fragment.pos)?;
        self.known.insert(name, measured);
        Ok(measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> Rules {
        Rules { input_types: ["Int", "String"].map(str::to_owned).into(), introspects: true }
    }

    /// The code and the message, or `fine`.
    fn said(query: &str) -> String {
        let parameters = Parameters { query: query.to_owned(), ..Parameters::default() };
        match check(parameters, &rules()) {
            Ok(_) => "fine".to_owned(),
            Err(error) => {
                let code = error.source::<Error>().map_or("none", Error::code);
                format!("{code}: {}", error.message)
            }
        }
    }

    fn chain(n: usize, inside: &str) -> String {
        let fragments: Vec<String> =
            (0..n).map(|it| format!("fragment F{it} on Query {{ ...F{} {inside} }}", it + 1)).collect();
        format!("{} fragment F{n} on Query {{ a }}", fragments.join("\n"))
    }

    fn deep(n: usize) -> String {
        format!("{{ {} a {} }}", "a { ".repeat(n - 1), "}".repeat(n - 1))
    }

    #[test]
    fn depth_is_counted_in_fields_with_fragments_in_place() {
        let fine = "fine";
        assert_eq!(said(&deep(12)), fine);
        assert_eq!(said(&deep(13)), "QUERY_TOO_COMPLEX: `a` is 13 fields deep, the most is 12");
        let split =
            "{ a { a { ...F } } } fragment F on A { a { a { a { a { a { a { a { a { a { a { a } } } } } } } } } } }";
        assert_eq!(said(split), "QUERY_TOO_COMPLEX: `a` is 13 fields deep, the most is 12");
        assert_eq!(said("{ ...F } fragment F on Query { a }"), fine);
        // Introspection is deeper by its nature, and limited in how far it spreads out.
        let names = "ofType { ".repeat(9);
        let standard =
            format!("{{ __schema {{ types {{ fields {{ type {{ {names} name {} }} }} }} }} }}", "}".repeat(9));
        assert_eq!(said(&standard), fine);
        let wide = "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
        assert!(said(wide).starts_with("QUERY_TOO_COMPLEX: the introspection"), "{}", said(wide));
    }

    #[test]
    fn nobody_is_told_what_there_is_unless_it_is_told() {
        let closed = Rules { introspects: false, ..rules() };
        for (query, is_fine) in [
            ("{ __typename }", true),
            ("{ __schema { types { name } } }", false),
            ("{ x: __type(name: \"A\") { name } }", false),
            ("{ ...F } fragment F on Query { __schema { types { name } } }", false),
        ] {
            let parameters = || Parameters { query: query.to_owned(), ..Parameters::default() };
            assert!(check(parameters(), &rules()).is_ok(), "{query}");
            assert_eq!(check(parameters(), &closed).is_ok(), is_fine, "{query}");
        }
    }

    #[test]
    fn cost_is_counted_as_often_as_a_fragment_is_spread() {
        let operations = |n: usize| format!("{{ {} }}", (0..n).map(|it| format!("a{it}: a ")).collect::<String>());
        assert_eq!(said(&operations(100)), "fine");
        assert!(said(&operations(101)).starts_with("QUERY_TOO_COMPLEX: the document has a complexity of 5050"));
        let fields = format!("{{ a {{ {} }} }}", "b ".repeat(4_951));
        assert!(said(&fields).starts_with("QUERY_TOO_COMPLEX"), "{}", said(&fields));
        // Twenty fragments, each spread twice by the one before: a million fields in a short text.
        let twice: String = (0..20).map(|it| format!("fragment F{it} on A {{ ...F{0} ...F{0} }}\n", it + 1)).collect();
        for document in [
            format!("{{ a {{ ...F0 }} }} {twice} fragment F20 on A {{ a }}"),
            format!("{{ ...F0 }} {twice} fragment F20 on A {{ a }}"),
            format!("{{ a }} {twice} fragment F20 on A {{ a }}"),
            format!("{{ ...F0 }} {twice} fragment F20 on A {{ ...Missing }}"),
        ] {
            assert!(said(&document).starts_with("QUERY_TOO_COMPLEX: the document has a complexity"), "{document}");
        }
    }

    #[test]
    fn circles_and_long_chains_of_fragments_are_refused() {
        for circle in [
            "{ ...A } fragment A on Query { ...A }",
            "{ a } fragment A on Query { ...B } fragment B on Query { a { ...A } }",
            "{ a { ... on X { ...A } } } fragment A on X { b { ...B } } fragment B on X { ...A }",
        ] {
            assert!(said(circle).starts_with("INVALID_QUERY: the fragment `"), "{}", said(circle));
        }
        assert_eq!(said(&format!("{{ ...F0 }} {}", chain(20, ""))), "fine");
        for n in [40, 400, 2_000] {
            let refused = "QUERY_TOO_COMPLEX: selections and fragments are nested more than 30 deep";
            assert_eq!(said(&format!("{{ ...F0 }} {}", chain(n, ""))), refused, "{n}");
            assert_eq!(said(&format!("{{ a }} {}", chain(n, ""))), refused, "{n} that nobody spreads");
        }
    }

    #[test]
    fn what_would_not_be_read_safely_is_not_read() {
        for text in ["{a".repeat(100_000), "{a(b:".to_owned() + &"[".repeat(100_000), "[".repeat(100_000)] {
            assert!(said(&text).starts_with("QUERY_TOO_COMPLEX: brackets are nested"), "{}", said(&text));
        }
        let list = format!("query($a: {}Int{}) {{ a }}", "[".repeat(5_000), "]".repeat(5_000));
        assert!(said(&list).starts_with("QUERY_TOO_COMPLEX: brackets are nested"));
        assert!(
            said(&format!("{{ {} }}", "a ".repeat(30_000))).starts_with("QUERY_TOO_COMPLEX: the document has more")
        );
        assert!(said(&"#".repeat(3 * 1024 * 1024)).starts_with("QUERY_TOO_COMPLEX: the document has more"));
        for text in
            ["", " ", "{", "{}", "}", "query", "{ a(b: \"\\uD800\") }", "{ a(b: 1e400) }", "\u{0}", "type A { b: C }"]
        {
            assert!(said(text).starts_with("INVALID_QUERY: the document cannot be read"), "{text}: {}", said(text));
        }
    }

    #[test]
    fn the_operation_and_its_variables_are_there() {
        let asked = |query: &str, name: Option<&str>, variables: serde_json::Value| {
            let variables = Variables::from_json(variables);
            let operation_name = name.map(str::to_owned);
            check(Parameters { query: query.to_owned(), operation_name, variables }, &rules())
                .map_or_else(|it| it.message, |it| format!("{:?}", it.operation))
        };
        let nothing = || serde_json::json!({});
        let two = "query A { a } mutation B { b }";
        for (query, name, variables, expected) in [
            ("{ a }", None, nothing(), "Query"),
            ("{ a }", Some(""), nothing(), "Query"),
            ("{ a }", Some("A"), nothing(), "the document has no operation `A`"),
            (two, Some("B"), nothing(), "Mutation"),
            (two, None, nothing(), "the document has several operations; `operationName` must say which"),
            ("query($a: Int!) { a }", None, nothing(), "the variable `$a` of type `Int!` has no value"),
            ("query($a: Int!) { a }", None, serde_json::json!({"a": null}), "the variable `$a` of type `Int!` is null"),
            ("query($a: Int! = 1) { a }", None, nothing(), "Query"),
            ("query($a: Int) { a }", None, nothing(), "Query"),
            ("query($a: Inet) { a }", None, nothing(), "there is no input type `Inet`"),
            ("query($a: [[Query!]]! = [1]) { a }", None, nothing(), "there is no input type `Query`"),
            ("query A { a } query B($a: X = 1) { a }", Some("A"), nothing(), "there is no input type `X`"),
            ("subscription { a }", None, nothing(), "Subscription"),
            ("subscription { a b }", None, nothing(), "a subscription has one field, not 2"),
            ("subscription { ...F } fragment F on S { a b }", None, nothing(), "a subscription has one field, not 2"),
        ] {
            assert_eq!(asked(query, name, variables), expected, "{query}");
        }
    }
}
