//! The books against a naive model, what is asked at the limit, and calls that run at the same moment.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::estimate::{Estimate, OUTPUT_TOKENS_DEFAULT, estimate, usage};
use super::*;
use crate::clock::{Clock, TestClock, Timestamp};
use crate::diagram::{Budget, OnLimit, Script, Service};
use crate::error::Error;
use crate::ids::ExecutionId;
use crate::nodes::output::ChatMessage;
use crate::nodes::ports::models::{Cost, ModelTool, Purpose};
use crate::nodes::ports::{ModelRequest, Usage};
use crate::nodes::report::Reports;

fn limit(figures: Value) -> Limit {
    Limit::default().narrowed(figures.as_object().expect("a map")).expect("a budget")
}

fn ledger(run: Value, person: Value, node: Value) -> Ledger {
    let scopes = [Scope::Run, Scope::Person("Ann".into()), Scope::Node("n".into())];
    Ledger::new(scopes.into_iter().zip([run, person, node].map(limit)))
}

fn call(tokens: u64, usd: f64) -> Estimate {
    Estimate { tokens: Some(tokens), usd: Some(Usd::spent(usd)) }
}

/// One step of a random schedule.
#[derive(Clone, Debug)]
enum Step {
    /// Asks for a call of at most so many tokens and nano-dollars; `by`: the person, `of`: the node.
    Ask { by: bool, of: bool, tokens: u64, nano: u64 },
    /// Settles one of the open calls at a part of what it may take, in percent.
    Settle { nth: usize, percent: u64 },
}

fn step() -> impl Strategy<Value = Step> {
    let ask = (any::<bool>(), any::<bool>(), 0..40_u64, 0..40_u64).prop_map(|(by, of, tokens, nano)| Step::Ask {
        by,
        of,
        tokens,
        nano,
    });
    let settle = (0..20_usize, 0..=100_u64).prop_map(|(nth, percent)| Step::Settle { nth, percent });
    prop_oneof![3 => ask, 2 => settle]
}

/// A call in the naive model: whose it is, and what counts for it now.
struct Counted {
    id: u64,
    scopes: [bool; 3],
    amount: Amount,
    is_open: bool,
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    #[test]
    fn whatever_is_asked_and_settled_in_whatever_order_no_limit_is_passed(
        limits in prop::collection::vec((prop::option::of(1..150_u64), prop::option::of(1..150_u64), prop::option::of(1..12_u64)), 3),
        steps in prop::collection::vec(step(), 0..80),
    ) {
        let limits: Vec<Limit> = limits
            .into_iter()
            .map(|(usd, tokens, calls)| Limit { usd, tokens, calls, ..Limit::default() })
            .collect();
        let scopes = [Scope::Run, Scope::Person("Ann".into()), Scope::Node("n".into())];
        let mut books = Ledger::new(scopes.into_iter().zip(limits.iter().copied()));
        let mut naive: Vec<Counted> = Vec::new();
        for step in steps {
            match step {
                Step::Ask { by, of, tokens, nano } => {
                    let asked = Estimate { tokens: Some(tokens), usd: Some(Usd(nano)) };
                    let concerned = [true, by, of];
                    let sum = |scope: usize, dimension: Dimension, all: bool| -> u64 {
                        let counted = naive.iter().filter(|it| it.scopes[scope] && (all || !it.is_open));
                        counted.map(|it| it.amount.of(dimension)).sum()
                    };
                    let fits = |all: bool| (0..3).filter(|it| concerned[*it]).all(|scope| {
                        [Dimension::Usd, Dimension::Tokens, Dimension::Calls].into_iter().all(|dimension| {
                            let wanted = asked.of(dimension).expect("bounded");
                            limits[scope].get(dimension).is_none_or(|it| sum(scope, dimension, all) + wanted <= it)
                        })
                    });
                    let (node, person) = (if of { "n" } else { "other" }, by.then_some("Ann"));
                    match books.reserve(node, person, &asked, 0) {
                        Reservation::Granted(id) => {
                            prop_assert!(fits(true));
                            naive.push(Counted { id, scopes: concerned, amount: asked.amount(), is_open: true });
                        }
                        Reservation::Later => prop_assert!(!fits(true) && fits(false)),
                        Reservation::Exceeded(_) => prop_assert!(!fits(false)),
                    }
                }
                Step::Settle { nth, percent } => {
                    let Some(counted) = naive.iter_mut().filter(|it| it.is_open).nth(nth) else { continue };
                    counted.is_open = false;
                    counted.amount.tokens = counted.amount.tokens * percent / 100;
                    counted.amount.usd.0 = counted.amount.usd.0 * percent / 100;
                    books.settle(counted.id, counted.amount);
                }
            }
            for (scope, limit) in limits.iter().enumerate() {
                for dimension in Dimension::ALL {
                    let spent: u64 = naive.iter().filter(|it| it.scopes[scope]).map(|it| it.amount.of(dimension)).sum();
                    prop_assert!(limit.get(dimension).is_none_or(|it| spent <= it), "{dimension:?} {spent}");
                }
            }
        }
        // What is read back from the log counts the same.
        let mut again = Ledger::new(books.entries().iter().map(|it| (it.scope.clone(), it.limit)));
        for counted in &naive {
            let (node, person) = (if counted.scopes[2] { "n" } else { "other" }, counted.scopes[1].then_some("Ann"));
            again.restore(counted.id, node, person, counted.amount);
            if !counted.is_open {
                again.settle(counted.id, counted.amount);
            }
        }
        prop_assert_eq!(again.entries(), books.entries());
    }
}

#[test]
fn a_call_that_does_not_fit_waits_for_others_and_is_refused_when_they_cannot_help() {
    let mut books = ledger(json!({"tokens": 100, "usd": 1.0}), json!({"calls": 2}), json!({}));
    assert_eq!(books.reserve("n", Some("Ann"), &call(60, 0.1), 0), Reservation::Granted(1));
    assert_eq!(books.reserve("n", Some("Ben"), &call(60, 0.1), 0), Reservation::Later);
    books.settle(1, Amount { calls: 1, tokens: 50, usd: Usd::spent(0.05), ms: 7 });
    let Reservation::Exceeded(exceeded) = books.reserve("n", Some("Ben"), &call(60, 0.1), 0) else { panic!("it fits") };
    assert_eq!(
        (exceeded.dimension, exceeded.limit, exceeded.spent, exceeded.wanted),
        (Dimension::Tokens, 100, 50, Some(60))
    );
    assert_eq!(books.reserve("n", Some("Ann"), &call(40, 0.1), 0), Reservation::Granted(2));
    assert_eq!(books.reserve("n", Some("Ann"), &call(0, 0.0), 0), Reservation::Later);
    books.settle(2, Amount { calls: 1, ..Amount::default() });
    let Reservation::Exceeded(exceeded) = books.reserve("n", Some("Ann"), &call(0, 0.0), 0) else { panic!("it fits") };
    assert_eq!((exceeded.scope, exceeded.dimension), (Scope::Person("Ann".into()), Dimension::Calls));
}

#[test]
fn what_nobody_can_bound_is_refused_where_that_is_limited() {
    let unpriced = Estimate { tokens: Some(5), usd: None };
    for (run, is_refused) in [(json!({"usd": 1.0}), true), (json!({"tokens": 10}), false), (json!({"calls": 1}), false)]
    {
        let refusal = ledger(run.clone(), json!({}), json!({})).refusal("n", None, &unpriced, 0);
        assert_eq!(refusal.is_some(), is_refused, "{run}");
    }
}

#[test]
fn time_is_checked_before_a_call_and_not_promised() {
    let mut books = ledger(json!({"seconds": 2}), json!({"seconds": 1}), json!({}));
    assert!(matches!(books.reserve("n", Some("Ann"), &call(0, 0.0), 1_999), Reservation::Granted(1)));
    assert!(matches!(books.reserve("n", Some("Ben"), &call(0, 0.0), 2_000), Reservation::Exceeded(_)));
    books.settle(1, Amount { ms: 1_000, ..Amount::default() });
    assert!(matches!(books.reserve("n", Some("Ann"), &call(0, 0.0), 0), Reservation::Exceeded(_)));
    assert!(books.out_of_time(1_999).is_none() && books.out_of_time(2_000).is_some());
}

#[test]
fn a_higher_budget_is_read_and_anything_else_refused() {
    let books = ledger(json!({"usd": 0.05, "tokens": 100}), json!({}), json!({}));
    let entry = books.entry(&Scope::Run).expect("limited");
    for (value, expected) in [
        (json!({"usd": 0.1}), Ok(json!({"usd": 0.1}))),
        (json!({"usd": 0.05, "tokens": 200}), Ok(json!({"usd": 0.05, "tokens": 200}))),
        (json!("{\"usd\": 0.1}"), Ok(json!({"usd": 0.1}))),
        (json!({"usd": 0.04}), Err("`usd: 0.04` is below the present $0.05")),
        (json!({"calls": 5}), Err("the budget of the run does not limit `calls`")),
        (json!({"euro": 5}), Err("a budget has no `euro`")),
        (json!({"usd": "much"}), Err("`usd` is \"much\"")),
        (json!({"tokens": 1.5}), Err("`tokens` is 1.5")),
        (json!({}), Err("`{}` is no budget")),
        (json!(5), Err("`5` is no budget")),
    ] {
        let read = Raise::read(entry, &value).map(|it| Value::Object(it.limit.figures()));
        assert_eq!(read.as_ref().map_err(Error::message), expected.as_ref().map_err(|it| *it), "{value}");
    }
}

#[test]
fn of_two_budgets_the_smaller_figures_hold() {
    let own = Limit::of(&Budget { usd: Some(1.0), calls: Some(5), on_limit: Some(OnLimit::Fail), ..Budget::default() });
    for (asked, figures, fails) in [
        (json!({}), json!({"usd": 1.0, "calls": 5}), true),
        (json!({"usd": 2, "calls": 3, "seconds": 1.5}), json!({"usd": 1.0, "calls": 3, "seconds": 1.5}), true),
        (json!({"usd": 0.5, "on_limit": "pause"}), json!({"usd": 0.5, "calls": 5}), false),
    ] {
        let narrowed = own.narrowed(asked.as_object().expect("a map")).expect("a budget");
        assert_eq!((Value::Object(narrowed.figures()), narrowed.fails), (figures, fails), "{asked}");
    }
    for asked in [json!({"usd": 0}), json!({"euro": 1}), json!({"on_limit": "stop"}), json!({"calls": -1})] {
        let refused = own.narrowed(asked.as_object().expect("a map")).expect_err("no budget");
        assert_eq!(refused.code(), "INVALID_INPUT", "{asked}");
    }
}

fn request(service: Service, texts: &[&str]) -> ModelRequest {
    let name = service.name();
    let text = format!("version: light\npersons: {{Ann: {{service: {name}}}}}\nnodes: [{{label: s, type: start}}]\n");
    let person = crate::diagram::parse(&text, None).diagram.expect("a diagram").persons.remove(0);
    let messages = texts.iter().map(|it| ChatMessage::new("user", *it)).collect();
    ModelRequest::new(Arc::new(person), service, messages)
}

#[test]
fn a_bound_is_bytes_and_the_limit_of_the_reply_or_the_words_of_a_script() {
    let of = |it: &ModelRequest| usage(it).map(|it| (it.input, it.output));
    let mut asked = request(Service::OpenAi, &["zwölf", "ok"]);
    assert_eq!(of(&asked), Some((6 + 2 + 3 * 16, OUTPUT_TOKENS_DEFAULT)));
    asked.max_tokens = Some(9);
    asked.schema = Some(json!({}));
    assert_eq!(of(&asked), Some((6 + 2 + 3 * 16 + 2, 9)));
    asked.tools = vec![ModelTool::WebSearch];
    assert_eq!(of(&asked), None, "what is searched and found has no bound");
    assert_eq!(of(&request(Service::ClaudeCode, &["a"])), None, "a program calls as often as it likes");

    let mut scripted = request(Service::Scripted, &["one two", "three"]);
    assert_eq!(of(&scripted), Some((3, 1)), "without replies it echoes its prompt");
    let replies = vec![json!("a b"), json!({"text": "a\nb\nc d"}), json!({"json": [1, 2]})];
    let mut person = crate::diagram::Person::clone(&scripted.person);
    person.script = Script { replies: Some(replies), ..Script::default() };
    scripted.person = Arc::new(person);
    assert_eq!(of(&scripted), Some((3, 4)), "the longest entry");
    scripted.purpose = Purpose::Selection { n_candidates: 7 };
    assert_eq!(of(&scripted), Some((3, 7)));
}

#[test]
fn money_is_rounded_so_that_a_budget_is_never_passed() {
    let bound = |cost| estimate(Some(Usage { input: 1, output: 1, cached: 0 }), |_| cost).usd;
    assert_eq!(bound(Cost::Usd(0.05)), Some(Usd(50_000_000)));
    assert_eq!(bound(Cost::Usd(1.1e-9)), Some(Usd(2)));
    assert_eq!(bound(Cost::NotBilled), Some(Usd(0)));
    assert_eq!(bound(Cost::Unpriced), None);
    assert_eq!((Usd::limit(0.05), Usd::limit(1.9e-9)), (Usd(50_000_000), Usd(1)));
    let written = serde_json::to_string(&Usd(123_456_789_012_345)).expect("a number");
    assert_eq!(serde_json::from_str::<Usd>(&written).expect("reads"), Usd(123_456_789_012_345));
}

fn purse(books: Ledger) -> (Arc<Account>, Purse) {
    let id = ExecutionId::parse(&format!("exec_{}", "0".repeat(32))).expect("an id");
    let clock: Arc<dyn Clock> = Arc::new(TestClock::new(Timestamp(0)));
    let account = Arc::new(Account::new(id, books));
    let purse = Purse::new(&account, ("n".into(), Reports::default()), &clock, None).expect("limited");
    (account, purse)
}

#[tokio::test]
async fn calls_at_the_same_moment_wait_for_each_other_and_never_pass_the_budget_together() {
    let (account, purse) = purse(ledger(json!({"tokens": 100}), json!({}), json!({})));
    let calls = (0..10).map(|n: u64| {
        let purse = purse.of_item();
        async move {
            let mut grant = purse.reserve("Ann", "it", &call(30, 0.0)).await?;
            grant.sent();
            for _ in 0..=n {
                tokio::task::yield_now().await;
            }
            grant.settle(Amount { calls: 1, tokens: 10, ..Amount::default() });
            Ok::<(), Error>(())
        }
    });
    let outcomes = futures_util::future::join_all(calls).await;
    let spent = account.look(Timestamp(0), |it, _| it.entries()[0].clone());
    // Eight at 10 each; what would come then may take 30 more, and 80 + 30 do not fit.
    assert_eq!(outcomes.iter().filter(|it| it.is_ok()).count(), 8);
    assert_eq!((spent.spent.tokens, spent.reserved), (80, Amount::default()));
    let refusals: Vec<_> = outcomes.into_iter().filter_map(Result::err).collect();
    assert!(refusals.iter().all(|it| it.code() == "BUDGET_EXCEEDED"));
    let question = question_of(&refusals[0]).expect("the budget pauses");
    assert_eq!(
        question.prompt,
        "`it` may not go on: the budget of the run is 100 tokens, with 80 tokens spent, and the next call may take \
         30 tokens. `resume` with `{\"tokens\": 110}` or more goes on, `abort` ends the run"
    );
}

#[tokio::test]
async fn a_call_given_up_before_it_was_sent_costs_nothing_and_after_that_all_it_might_have() {
    let (account, purse) = purse(ledger(json!({"tokens": 100}), json!({}), json!({})));
    let spent = || account.look(Timestamp(0), |it, _| it.entries()[0].spent.tokens);
    drop(purse.reserve("Ann", "it", &call(30, 0.0)).await.expect("fits"));
    assert_eq!(spent(), 0);
    let mut grant = purse.reserve("Ann", "it", &call(30, 0.0)).await.expect("fits");
    grant.sent();
    drop(grant);
    assert_eq!(spent(), 30);
}

#[tokio::test]
async fn time_spent_waiting_for_others_is_not_the_attempts_own() {
    let (_, purse) = purse(ledger(json!({"tokens": 30}), json!({}), json!({})));
    let first = purse.of_item().reserve("Ann", "it", &call(30, 0.0)).await.expect("fits");
    let second = purse.of_item();
    // No time at all of its own, and still it waits as long as it takes.
    let waiting =
        within(Duration::ZERO, Some(&second), async { second.reserve("Ann", "it", &call(30, 0.0)).await.is_ok() });
    let settle = async {
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        first.settle(Amount::default());
    };
    let (outcome, ()) = tokio::join!(waiting, settle);
    assert_eq!(outcome, Some(true));
    assert_eq!(within(Duration::ZERO, Some(&purse), std::future::pending::<()>()).await, None);
}
