//! What people do to an execution. They answer what it asks; in some scenarios they also pause it, let it go on, step,
//! set breakpoints, give values, complete or abort it, and open it again after it failed. What they ask for is stored
//! before anybody carries it out, and whoever takes the execution over finds it again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dipeo::compile::Plan;
use dipeo::diagram::NodeKind;
use dipeo::engine::event::Status;
use dipeo::engine::run::Control;
use dipeo::engine::state::WaitingNode;
use dipeo::error::Error;
use dipeo::nodes::PauseReason;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::journal::{Kept, Round, SimulatedJournal};
use super::random::{Random, hash};
use super::world::World;

/// How often an execution that failed is opened again.
const REOPENINGS_MAX: u32 = 2;

/// A way to meddle.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Pause,
    Resume,
    Step,
    Breakpoints,
    Value,
    Complete,
    Abort,
}

const DEEDS: [Deed; 18] = [
    Deed::Pause,
    Deed::Pause,
    Deed::Pause,
    Deed::Pause,
    Deed::Pause,
    Deed::Pause,
    Deed::Resume,
    Deed::Resume,
    Deed::Resume,
    Deed::Step,
    Deed::Step,
    Deed::Breakpoints,
    Deed::Breakpoints,
    Deed::Breakpoints,
    Deed::Value,
    Deed::Value,
    Deed::Complete,
    Deed::Abort,
];

/// Something that somebody has to do something about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Matter {
    /// A question, by its exact name.
    Question(String),
    /// The execution is paused by an operator since this event.
    Pause(u64),
}

/// Somebody will do something.
struct Intent {
    at: Instant,
    what: What,
    about: Option<Matter>,
}

enum What {
    /// What exactly is decided when the time has come.
    Meddle(Deed),
    Ask(Wish),
}

/// What somebody asks for.
struct Wish {
    control: Control,
    /// The round that is to begin, or to begin again.
    round: Option<Round>,
    /// The question whose effect may happen once more.
    repeats: Option<u32>,
}

impl Wish {
    fn new(control: Control) -> Self {
        Self { control, round: None, repeats: None }
    }

    /// That the node with this question goes on.
    fn goes_on(node_id: &str, waiting: &WaitingNode) -> Self {
        let control = Control::Resume { node: Some(waiting.name(node_id)), value: Value::Null };
        let repeats = (waiting.question.reason == PauseReason::Operator).then_some(waiting.number);
        Self { control, round: Some((node_id.to_owned(), waiting.iteration)), repeats }
    }
}

/// A request whose answer somebody waits for.
struct Asked {
    by: String,
    control: Control,
    about: Option<Matter>,
    round: Option<Round>,
}

impl Asked {
    /// Whether what was asked for holds in what is durable. Where it held already nothing new is in the log.
    fn is_durable(&self, kept: &Kept) -> bool {
        let is_recorded = kept.actors.contains(&self.by);
        match &self.control {
            Control::Abort { .. } => is_recorded && kept.reader.status == Status::Aborted,
            Control::Complete { .. } => is_recorded && kept.reader.status == Status::Completed,
            Control::Pause => is_recorded || kept.reader.is_held,
            Control::Resume { node: None, .. } => is_recorded || kept.runs_freely(),
            Control::Resume { .. } => is_recorded || self.round.as_ref().is_some_and(|it| kept.goes_on(it)),
            Control::SetBreakpoints { nodes } => is_recorded || kept.reader.breakpoints.as_ref() == Some(nodes),
            Control::Answer { .. } | Control::SetOutput { .. } | Control::Step => is_recorded,
        }
    }
}

/// Everybody who has to do with one execution.
pub struct People {
    random: Random,
    is_wild: bool,
    /// The nodes, and whether each is a condition.
    nodes: Vec<(String, bool)>,
    intents: Vec<Intent>,
    /// What somebody takes care of already.
    taken_up: BTreeSet<Matter>,
    asked: BTreeMap<i64, Asked>,
    seen_commits: u64,
    n_reopenings: u32,
    pub n_requests: u64,
    /// Whether somebody changed what comes out: an end, a value given by hand.
    pub is_meddled: bool,
}

impl People {
    /// Those of a scenario; with `is_wild` some of them meddle.
    pub fn new(random: Random, is_wild: bool, plan: &Plan) -> Self {
        let node = |it: &dipeo::compile::PlanNode| (it.id.to_string(), it.kind == NodeKind::Condition);
        let mut people = Self {
            random,
            is_wild,
            nodes: plan.nodes.iter().map(node).collect(),
            intents: Vec::new(),
            taken_up: BTreeSet::new(),
            asked: BTreeMap::new(),
            seen_commits: u64::MAX,
            n_reopenings: 0,
            n_requests: 0,
            is_meddled: false,
        };
        if people.is_wild && people.random.chance(50) {
            people.intend_to_meddle();
        }
        people
    }

    fn intend_to_meddle(&mut self) {
        let within_ms = self.random.pick(&[100, 1_000, 8_000]);
        for _ in 0..1 + self.random.below(6) {
            let (at, deed) = (self.soon(within_ms), self.random.pick(&DEEDS));
            self.intents.push(Intent { at, what: What::Meddle(deed), about: None });
        }
    }

    fn soon(&mut self, ms_max: u64) -> Instant {
        Instant::now() + Duration::from_millis(self.random.below(ms_max))
    }

    /// When somebody does something next.
    pub fn next_at(&self) -> Option<Instant> {
        self.intents.iter().map(|it| it.at).min()
    }

    /// Asks for what is due; says whether anything was.
    pub fn act(&mut self, journal: &SimulatedJournal, world: &World) -> bool {
        let now = Instant::now();
        if self.next_at().is_none_or(|it| now < it) {
            return false;
        }
        let (due, later) = std::mem::take(&mut self.intents).into_iter().partition(|it| it.at <= now);
        self.intents = later;
        let due: Vec<Intent> = due;
        for intent in due {
            self.ask(intent, journal, world);
        }
        true
    }

    fn ask(&mut self, intent: Intent, journal: &SimulatedJournal, world: &World) {
        let wish = match intent.what {
            What::Ask(wish) => wish,
            What::Meddle(deed) => journal.read(|kept| self.wish(deed, kept)),
        };
        self.n_requests += 1;
        let by = format!("somebody {}", self.n_requests);
        if let (Some(round), Some(number)) = (&wish.round, wish.repeats) {
            world.allow_repetition(round.clone(), number);
        }
        let ends = matches!(wish.control, Control::Abort { .. } | Control::Complete { .. });
        self.is_meddled |= ends || matches!(wish.control, Control::SetOutput { .. });
        // Whoever comes after the end is told so.
        if let Some(id) = journal.ask(wish.control.clone(), by.clone()) {
            self.asked.insert(id, Asked { by, control: wish.control, about: intent.about, round: wish.round });
        }
    }

    fn wish(&mut self, deed: Deed, kept: &Kept) -> Wish {
        Wish::new(match deed {
            Deed::Pause => Control::Pause,
            Deed::Resume => return plain_resume(kept),
            Deed::Step => Control::Step,
            Deed::Breakpoints => Control::SetBreakpoints {
                nodes: (0..self.random.below(4)).map(|_| self.any_node().0.clone()).collect(),
            },
            Deed::Value => {
                let (id, is_condition) = self.any_node().clone();
                // A request is for what waits when it is made, should that be for an operator to decide.
                let waiting = kept.decisions().find(|(node, _)| *node == id).map(|(_, it)| it.name(&id));
                Control::SetOutput { node: Some(waiting.unwrap_or(id)), value: by_hand(is_condition) }
            }
            Deed::Complete => Control::Complete { reason: None },
            Deed::Abort => Control::Abort { reason: None },
        })
    }

    fn any_node(&mut self) -> &(String, bool) {
        let idx = self.random.index(self.nodes.len());
        &self.nodes[idx]
    }

    /// Hears what became of a request; says what is wrong with that.
    pub fn hear(&mut self, id: i64, outcome: &Result<(), Error>, kept: &Kept) -> Option<String> {
        let asked = self.asked.remove(&id)?;
        if outcome.is_ok() {
            let is_true = asked.is_durable(kept);
            return (!is_true)
                .then(|| format!("`{}` was told that {:?} is done, and it is not", asked.by, asked.control));
        }
        if let Some(matter) = asked.about {
            // Should it be open still, somebody looks at it again.
            self.taken_up.remove(&matter);
            self.seen_commits = u64::MAX;
        }
        None
    }

    /// Looks at what has become durable, and takes up what waits for somebody. Says whether there was anything new.
    pub fn read(&mut self, kept: &Kept) -> bool {
        if kept.n_commits == self.seen_commits {
            return false;
        }
        self.seen_commits = kept.n_commits;
        if kept.is_paused() && kept.reader.is_held {
            let matter = Matter::Pause(kept.log.last().map_or(0, |it| it.seq));
            if self.taken_up.insert(matter.clone()) {
                let deed = match self.random.below(10) {
                    0..=2 => Deed::Step,
                    3 => Deed::Value,
                    _ => Deed::Resume,
                };
                self.intend(What::Meddle(deed), matter.clone());
                // A value alone lets nothing go.
                self.intend(What::Meddle(Deed::Resume), matter);
            }
        }
        for (idx, waiting) in kept.reader.open_questions() {
            let node_id = &kept.reader.nodes[idx].outline.id;
            if self.taken_up.insert(Matter::Question(waiting.name(node_id))) {
                self.intend_to_reply(kept, idx, waiting);
            }
        }
        true
    }

    fn intend(&mut self, what: What, matter: Matter) {
        let within_ms = self.random.pick(&[1, 50, 5_000]);
        let at = self.soon(within_ms);
        self.intents.push(Intent { at, what, about: Some(matter) });
    }

    fn intend_to_reply(&mut self, kept: &Kept, idx: usize, waiting: &WaitingNode) {
        let node_id = &kept.reader.nodes[idx].outline.id;
        if waiting.question.deadline.is_some() && self.random.chance(30) {
            return;
        }
        let name = waiting.name(node_id);
        let matter = Matter::Question(name.clone());
        let (reason, is_condition) = (waiting.question.reason, self.nodes[idx].1);
        let set_output = Wish::new(Control::SetOutput { node: Some(name.clone()), value: by_hand(is_condition) });
        let what = match reason {
            PauseReason::Operator if self.is_wild && self.random.chance(30) => What::Ask(set_output),
            PauseReason::Breakpoint => match self.random.below(10) {
                0..=2 => What::Meddle(Deed::Step),
                3..=4 => What::Meddle(Deed::Resume),
                5 if self.is_wild => What::Ask(set_output),
                _ => What::Ask(Wish::goes_on(node_id, waiting)),
            },
            PauseReason::Operator => What::Ask(Wish::goes_on(node_id, waiting)),
            PauseReason::Budget => What::Ask(self.higher_budget(kept, &name, waiting)),
            PauseReason::Input | PauseReason::Approval | PauseReason::Model => {
                What::Ask(Wish::new(Control::Answer { node: Some(name.clone()), value: answer(waiting) }))
            }
        };
        if matches!(reason, PauseReason::Input | PauseReason::Approval | PauseReason::Model) && self.random.chance(20) {
            // Too early, too late, or nonsense: the first valid answer to this question wins all the same.
            let is_nonsense = reason != PauseReason::Model && self.random.chance(50);
            let value = if is_nonsense { json!([1]) } else { answer(waiting) };
            let again_at = self.soon(6_000);
            let again = What::Ask(Wish::new(Control::Answer { node: Some(name), value }));
            self.intents.push(Intent { at: again_at, what: again, about: None });
        }
        self.intend(what, matter);
    }

    /// Now and then too little.
    fn higher_budget(&mut self, kept: &Kept, name: &str, waiting: &WaitingNode) -> Wish {
        let asked = waiting.question.budget.as_ref();
        let entry = asked.and_then(|it| kept.reader.budgets.entry(&it.scope));
        let calls = entry.and_then(|it| it.limit.calls).unwrap_or(1) + self.random.below(4);
        Wish::new(Control::Resume { node: Some(name.to_owned()), value: json!({"calls": calls}) })
    }

    /// Whether somebody opens the execution again that ended like this.
    pub fn opens_again(&mut self, status: Status) -> bool {
        let may = self.is_wild && matches!(status, Status::Failed | Status::Aborted);
        let opens = may && self.n_reopenings < REOPENINGS_MAX && self.random.chance(30);
        self.n_reopenings += u32::from(opens);
        self.n_requests += u64::from(opens);
        self.is_meddled |= opens;
        if opens {
            // What was asked for came to nothing with the end, and what waits is looked at afresh.
            self.asked.clear();
            self.taken_up.clear();
        }
        opens
    }
}

/// `resume` without particulars: for everything that is held, or else for the one thing that waits for a decision
/// when it is asked for.
fn plain_resume(kept: &Kept) -> Wish {
    let mut decisions: Vec<_> = kept.decisions().collect();
    let is_held = kept.reader.is_held || decisions.iter().any(|(_, it)| it.question.reason == PauseReason::Breakpoint);
    match (is_held, decisions.pop()) {
        (false, Some((node_id, waiting))) if decisions.is_empty() => Wish::goes_on(node_id, waiting),
        _ => Wish::new(Control::Resume { node: None, value: Value::Null }),
    }
}

fn by_hand(is_condition: bool) -> Value {
    if is_condition { json!(true) } else { json!("by hand") }
}

/// The same question gets the same answer.
fn answer(waiting: &WaitingNode) -> Value {
    let sum = hash(&[&waiting.question.prompt]);
    match waiting.question.reason {
        PauseReason::Approval => json!(sum.is_multiple_of(2)),
        _ => json!(format!("a{:x}", sum % 0xFFFF)),
    }
}
