//! Small diagrams that a seed makes up: loops, branches, merges, persons with `max_iteration`, batches,
//! questions, retries, continued failures, effects that must not be repeated.

use std::sync::Arc;

use dipeo::compile::{Plan, compile};
use dipeo::diagram::Person;
use dipeo::diagram::{Format, Service};
use dipeo::engine::event::{ExecutionStarted, NodeOutline};
use dipeo::nodes::budget::{Entry, Ledger, Limit, Scope};
use dipeo::nodes::ports::classes::Class;
use dipeo::nodes::ports::{CodeFacts, Language, Languages, SyntaxProblem};
use dipeo::nodes::{ChildFile, Origin, Rights, Surroundings};
use serde_json::{Map, Value};

use super::random::Random;
use super::world::watched;

/// Texts that are tried before a seed is given up; about one in twenty does not compile.
const TRIES: u64 = 20;

/// A diagram, ready to run any number of times.
pub struct Sketch {
    pub text: String,
    pub plan: Arc<Plan>,
    pub started: ExecutionStarted,
    /// Whether nothing in it depends on how long something takes: then every run gives the same.
    pub is_timeless: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Person,
    Caller,
    Pure,
    Host,
    List,
    Batch,
    Condition,
    Question,
    Http,
    Endpoint,
}

const KINDS: [Kind; 16] = [
    Kind::Person,
    Kind::Person,
    Kind::Person,
    Kind::Caller,
    Kind::Pure,
    Kind::Pure,
    Kind::Pure,
    Kind::Host,
    Kind::Host,
    Kind::List,
    Kind::Condition,
    Kind::Condition,
    Kind::Condition,
    Kind::Question,
    Kind::Http,
    Kind::Endpoint,
];

/// The diagram of `seed`.
pub fn sketch(seed: u64) -> Sketch {
    for attempt in 0..TRIES {
        let mut draft = Draft::new(Random::new(seed * TRIES + attempt, "diagram"));
        draft.fill();
        let compiled = compile(&draft.text(), Some(Format::Light), &Around(Rights::of(Origin::Local, true, false)));
        if let Some(mut plan) = compiled.plan {
            let started = started(&plan);
            let is_timeless = draft.is_timeless && (draft.n_parallel() == 1 || draft.fires_each_node_once(&plan));
            watched(&mut plan);
            return Sketch { text: draft.text(), plan: Arc::new(plan), started, is_timeless };
        }
    }
    panic!("no diagram of seed {seed} compiles");
}

fn started(plan: &Plan) -> ExecutionStarted {
    let outline = |(idx, node): (usize, &dipeo::compile::PlanNode)| NodeOutline {
        id: node.id.to_string(),
        label: node.label.to_string(),
        kind: node.kind.name().to_owned(),
        is_last: plan.graph.outgoing(idx).is_empty(),
    };
    ExecutionStarted {
        diagram: Some("simulated".to_owned()),
        origin: Origin::Local.name().to_owned(),
        inputs: Map::from_iter([("given".to_owned(), Value::from("x"))]),
        budgets: budgets(plan),
        nodes: plan.nodes.iter().enumerate().map(outline).collect(),
        ..ExecutionStarted::default()
    }
}

fn budgets(plan: &Plan) -> Vec<Entry> {
    let run = plan.settings.budget.as_ref().map(|it| (Scope::Run, Limit::of(it)));
    let person = |it: &Person| Some((Scope::Person(it.id.clone()), Limit::of(it.budget.as_ref()?)));
    Ledger::new(run.into_iter().chain(plan.persons.iter().filter_map(|it| person(it)))).entries().to_vec()
}

struct Draft {
    random: Random,
    kinds: Vec<Kind>,
    continues: Vec<bool>,
    nodes: Vec<String>,
    connections: Vec<String>,
    /// Of the run and of one person.
    budgets: [String; 2],
    is_timeless: bool,
}

impl Draft {
    fn new(random: Random) -> Self {
        Self {
            random,
            kinds: Vec::new(),
            continues: Vec::new(),
            nodes: Vec::new(),
            connections: Vec::new(),
            budgets: Default::default(),
            is_timeless: true,
        }
    }

    fn fill(&mut self) {
        let n_nodes = 2 + self.random.index(8);
        while self.kinds.len() < n_nodes {
            let kind = self.random.pick(&KINDS);
            self.add(kind);
            if kind == Kind::List {
                self.add(Kind::Batch);
            }
        }
        self.add(Kind::Endpoint);
        for to in 0..self.kinds.len() {
            self.connect_forward(to);
        }
        for _ in 0..self.kinds.len() / 2 {
            let to = self.random.index(self.kinds.len());
            self.connect_forward(to);
        }
        self.close_loops();
        self.budgets = [self.budget(), self.budget()];
    }

    fn add(&mut self, kind: Kind) {
        let idx = self.kinds.len();
        let mut fields = self.fields(kind, idx);
        let may_fail = !matches!(kind, Kind::Endpoint | Kind::Question);
        let continues = may_fail && self.random.chance(20);
        if continues {
            fields.push_str(", on_error: continue");
        }
        if may_fail && self.random.chance(30) {
            let (attempts, delay_ms) = (2 + self.random.below(3), self.random.pick(&[0, 10, 500, 2_000]));
            fields.push_str(&format!(", retry: {{max_attempts: {attempts}, delay_ms: {delay_ms}, backoff: fixed}}"));
        }
        if matches!(kind, Kind::Person | Kind::Host | Kind::Http) && self.random.chance(20) {
            fields.push_str(", at_most_once: true");
        }
        if matches!(kind, Kind::Person | Kind::Host | Kind::Batch) && self.random.chance(4) {
            self.is_timeless = false;
            fields.push_str(", timeout: 0.2");
        }
        self.nodes.push(format!("- {{label: n{idx}, {fields}}}"));
        self.kinds.push(kind);
        self.continues.push(continues);
    }

    fn fields(&mut self, kind: Kind, idx: usize) -> String {
        let rounds = 1 + self.random.below(4);
        let person = self.random.pick(&["P", "Q"]);
        match kind {
            Kind::Person => {
                let first = if self.random.chance(20) { ", first_only_prompt: \"first {{default}}\"" } else { "" };
                format!(
                    "type: person_job, person: {person}, default_prompt: \"n{idx} {{{{default}}}} {{{{a}}}} {{{{b}}}}\"{first}, \
                     max_iteration: {rounds}"
                )
            }
            Kind::Caller => {
                format!(
                    "type: person_job, person: C, default_prompt: \"n{idx} {{{{default}}}}\", max_iteration: {rounds}"
                )
            }
            Kind::Pure => format!("type: code_job, code: \"pure {idx}\""),
            Kind::Host => format!("type: code_job, language: bash, code: \"host {idx}\""),
            Kind::List => format!("type: code_job, code: \"list {idx}\""),
            Kind::Batch => {
                let (person, n_concurrent) = (self.random.pick(&["P", "Q", "C"]), 1 + self.random.below(3));
                let on_item_error = self.random.pick(&["fail", "continue"]);
                format!(
                    "type: person_job, person: {person}, batch: true, max_concurrent: {n_concurrent}, on_item_error: \
                     {on_item_error}, default_prompt: \"n{idx} item={{{{item}}}} {{{{a}}}}\", max_iteration: {rounds}"
                )
            }
            Kind::Condition => format!("type: condition, expression: \"c{idx}\""),
            Kind::Question => self.question(idx),
            Kind::Http => {
                let method = self.random.pick(&["GET", "POST"]);
                format!(
                    "type: api_job, url: \"http://simulated.example/n{idx}\", method: {method}, body: {{a: \"{{{{default}}}}\"}}"
                )
            }
            Kind::Endpoint => "type: endpoint".to_owned(),
        }
    }

    fn question(&mut self, idx: usize) -> String {
        let approval = if self.random.chance(30) { ", approval: true" } else { "" };
        let timeout = match self.random.below(10) {
            0 => ", timeout: 20, default: \"yes\"",
            1 => ", timeout: 20",
            _ => "",
        };
        self.is_timeless &= timeout.is_empty();
        format!("type: user_response, prompt: \"ask n{idx} {{{{default}}}}\"{approval}{timeout}")
    }

    /// Connects something earlier to the node at `to`.
    fn connect_forward(&mut self, to: usize) {
        let is_fed = to > 0 && self.kinds[to] == Kind::Batch;
        let from = match self.random.index(to + 1) {
            _ if is_fed => Some(to - 1),
            0 => None,
            it => Some(it - 1),
        };
        match from.filter(|it| self.kinds[*it] != Kind::Endpoint) {
            Some(from) => self.connect(from, to, is_fed),
            None => self.push_connection("s".to_owned(), to, is_fed),
        }
    }

    fn connect(&mut self, from: usize, to: usize, is_plain: bool) {
        let handle = match self.kinds[from] {
            Kind::Condition => self.random.pick(&["[condtrue]", "[condfalse]"]),
            _ if self.continues[from] && self.random.chance(40) => "[error]",
            _ => "",
        };
        self.push_connection(format!("n{from}{handle}"), to, is_plain);
    }

    fn push_connection(&mut self, from: String, to: usize, is_plain: bool) {
        let label = match self.random.below(6) {
            _ if is_plain => "",
            0 => ", label: a",
            1 => ", label: b",
            _ => "",
        };
        let first = if self.kinds[to] == Kind::Person && self.random.chance(15) { "[first]" } else { "" };
        self.connections.push(format!("- {{from: \"{from}\", to: \"n{to}{first}\"{label}}}"));
    }

    fn close_loops(&mut self) {
        for from in 1..self.kinds.len() {
            if self.kinds[from] == Kind::Condition && self.random.chance(60) {
                let to = self.random.index(from + 1);
                if self.kinds[to] != Kind::Batch {
                    self.push_connection(format!("n{from}[condfalse]"), to, false);
                }
            }
        }
    }

    fn n_parallel(&self) -> u32 {
        [1, 2, 20][self.nodes.len() % 3]
    }

    /// Whoever fires again may do so before or after others have used what it gave first.
    fn fires_each_node_once(&self, plan: &Plan) -> bool {
        plan.graph.loops().is_empty() && !self.connections.iter().any(|it| it.contains("[first]"))
    }

    /// A limit of model calls, now and then.
    fn budget(&mut self) -> String {
        match self.random.below(10) {
            0 => format!(", budget: {{calls: {}}}", 1 + self.random.below(4)),
            _ => String::new(),
        }
    }

    fn text(&self) -> String {
        let (parallel, [budget, of_person]) = (self.n_parallel(), &self.budgets);
        format!(
            "version: light\npersons:\n  P: {{service: openai, model: m{of_person}}}\n  Q: {{service: anthropic, model: m}}\n  \
             C: {{service: caller}}\nsettings: {{max_node_executions: 60, max_node_iterations: 12, max_parallel: \
             {parallel}{budget}}}\nnodes:\n- {{label: s, type: start, custom_data: {{k: v}}}}\n{}\nconnections:\n{}\n",
            self.nodes.join("\n"),
            self.connections.join("\n")
        )
    }
}

/// What compiling sees: everything is there, every code parses and runs in the sandbox.
struct Around(Rights);

impl Surroundings for Around {
    fn structure_only(&self) -> bool {
        false
    }

    fn rights(&self) -> &Rights {
        &self.0
    }

    fn languages(&self) -> &dyn Languages {
        &AnyText
    }

    fn prompt_file(&self, _: &str) -> Result<String, Vec<String>> {
        Err(Vec::new())
    }

    fn file(&self, _: &str) -> Option<String> {
        None
    }

    fn child_diagram(&self, _: &str, _: Option<Format>) -> ChildFile {
        ChildFile::NotFound { places: Vec::new(), near: None }
    }

    fn has_key(&self, _: Service, _: Option<&str>) -> bool {
        true
    }

    fn default_model(&self, _: Service) -> Option<String> {
        Some("m".to_owned())
    }
}

/// Languages in which every text is right.
pub struct AnyText;

impl Languages for AnyText {
    fn check_expression(&self, _: &str) -> Result<(), SyntaxProblem> {
        Ok(())
    }

    fn check_code(&self, _: Language, _: &str) -> Result<CodeFacts, SyntaxProblem> {
        Ok(CodeFacts::default())
    }

    fn read_classes(&self, _: &str) -> Result<Vec<Class>, SyntaxProblem> {
        Ok(Vec::new())
    }
}
