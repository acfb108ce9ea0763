//! Paying for a call: what is taken before it, and what it turns out to have spent.

use super::estimate::{self, Estimate, OUTPUT_TOKENS_DEFAULT};
use super::purse::Grant;
use super::{Amount, Purse, Usd};
use crate::diagram::Service;
use crate::error::Error;
use crate::nodes::NodeContext;
use crate::nodes::ports::models::Cost;
use crate::nodes::ports::{ModelReply, ModelRequest};

/// A call that is paid for.
pub struct Paid {
    grant: Grant,
    estimate: Estimate,
}

/// Takes what `request` can cost at most. Where tokens count, a reply without a limit gets one.
///
/// # Errors
///
/// `BUDGET_EXCEEDED`.
pub async fn reserve(cx: &NodeContext, purse: &Purse, request: &mut ModelRequest) -> Result<Paid, Error> {
    if request.max_tokens.is_none()
        && request.service != Service::Scripted
        && purse.limits_tokens(Some(&request.person.id))
    {
        request.max_tokens = Some(OUTPUT_TOKENS_DEFAULT);
    }
    let usage = estimate::usage(request);
    let estimate = estimate::estimate(usage, |it| cx.ports.models.price(request, it));
    let mut grant = purse.reserve(&request.person.id, &request.node_label, &estimate).await?;
    grant.sent();
    Ok(Paid { grant, estimate })
}

/// Settles a call by what came of it.
pub fn settle(cx: &NodeContext, paid: Paid, service: Service, outcome: &Result<ModelReply, Error>) {
    let promised = paid.estimate.amount();
    let spent = match outcome {
        Ok(reply) => {
            let usd = match reply.cost {
                Cost::NotBilled => Usd(0),
                Cost::Usd(dollars) => Usd::spent(dollars),
                Cost::Unpriced => promised.usd,
            };
            Amount { calls: 1, tokens: reply.usage.input.saturating_add(reply.usage.output), usd, ms: 0 }
        }
        Err(error) => spent_on(error, service, promised),
    };
    let is_bounded = paid.estimate.tokens.is_some() && paid.estimate.usd.is_some();
    if is_bounded && (promised.tokens < spent.tokens || promised.usd < spent.usd) {
        let message = format!("the call took {} tokens, and {} were the most it should", spent.tokens, promised.tokens);
        cx.notes.log("warning", message);
    }
    paid.grant.settle(spent);
}

/// A call that was refused, or never sent, costs nothing; of any other failure nobody knows what it cost.
fn spent_on(error: &Error, service: Service, promised: Amount) -> Amount {
    let details = error.details_value();
    let is_refused = details.is_some_and(|it| it.get("status").is_some());
    let is_unsent = error.code() != "LLM_FAILED" || details.is_some_and(|it| it.get("sent") == Some(&false.into()));
    match (is_unsent, is_refused || service == Service::Scripted) {
        (true, _) => Amount::default(),
        (false, true) => Amount { calls: 1, ..Amount::default() },
        (false, false) => promised,
    }
}
