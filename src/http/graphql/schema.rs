//! The schema: built when somebody first asks, so that a server nobody asks starts without it.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock};

use async_graphql::Schema;
use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{TypeKind, TypeSystemDefinition};

use super::check::Rules;
use super::mutations::Mutation;
use super::queries::Query;
use super::subscription::Subscription;
use crate::handlers::App;

/// Types that variables may have without being declared.
const BUILT_IN: [&str; 5] = ["Int", "Float", "String", "Boolean", "ID"];

/// The schema and what is known about it.
pub struct Built {
    pub schema: Schema<Query, Mutation, Subscription>,
    pub rules: Rules,
}

/// A schema that is there from the first use on.
pub struct Lazy {
    app: Arc<App>,
    /// Tells clients what there is; off in production.
    introspects: bool,
    built: OnceLock<Built>,
}

impl Lazy {
    /// Nothing is built yet.
    pub fn new(app: Arc<App>, introspects: bool) -> Self {
        Self { app, introspects, built: OnceLock::new() }
    }

    /// The schema, built now if it was not yet.
    pub fn built(&self) -> &Built {
        self.built.get_or_init(|| build(Arc::clone(&self.app), self.introspects))
    }
}

fn build(app: Arc<App>, introspects: bool) -> Built {
    let mut builder = Schema::build(Query::default(), Mutation::default(), Subscription).data(app);
    if !introspects {
        // A suggestion would tell what introspection does not.
        builder = builder.disable_introspection().disable_suggestions();
    }
    let schema = builder.finish();
    let rules = Rules { input_types: input_types(&schema.sdl()), introspects };
    Built { schema, rules }
}

/// The names of the types in `sdl` that values may be written for.
fn input_types(sdl: &str) -> HashSet<String> {
    let document = parse_schema(sdl).expect("the library reads what it wrote");
    let declared = document.definitions.into_iter().filter_map(|it| match it {
        TypeSystemDefinition::Type(it) => Some(it.node),
        TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
    });
    let written =
        declared.filter(|it| matches!(it.kind, TypeKind::Scalar | TypeKind::Enum(_) | TypeKind::InputObject(_)));
    let names = written.map(|it| it.name.node.to_string());
    names.chain(BUILT_IN.map(str::to_owned)).collect()
}

/// The schema as a text: `resources/schema.graphql`.
pub fn sdl() -> String {
    Schema::new(Query::default(), Mutation::default(), Subscription).sdl()
}
