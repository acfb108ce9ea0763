//! Keeps resolved secrets out of a run. What a node gives back is scrubbed before anything else sees it, so
//! that later nodes, the log, messages and a run restored from the log all have the same value.

use std::sync::Arc;

use crate::engine::event::Event;
use crate::error::Error;
use crate::nodes::{Outcome, Output, Question};
use crate::secret::Scrubber;

/// Blots secrets out of what came out of an attempt.
pub(super) fn result(result: Result<Outcome, Error>, scrubber: &Scrubber) -> Result<Outcome, Error> {
    if scrubber.is_idle() {
        return result;
    }
    match result {
        Ok(Outcome::Done(mut done)) => {
            output(&mut done, scrubber);
            Ok(Outcome::Done(done))
        }
        Ok(Outcome::Wait(mut asked)) => {
            question(&mut asked, scrubber);
            Ok(Outcome::Wait(asked))
        }
        Err(error) => Err(error.scrubbed(scrubber)),
    }
}

fn output(output: &mut Output, scrubber: &Scrubber) {
    scrubber.scrub_value(Arc::make_mut(&mut output.body));
    if let Some(forms) = output.forms.as_mut().map(Arc::make_mut) {
        scrubber.scrub(&mut forms.text);
        forms.object.iter_mut().for_each(|it| scrubber.scrub_value(it));
        scrubber.scrub_value(&mut forms.conversation);
    }
    for map in [&mut output.meta, &mut output.variables, &mut output.exposed] {
        scrubber.scrub_map(map);
    }
    output.messages.iter_mut().for_each(|it| scrubber.scrub(&mut it.content));
}

fn question(question: &mut Question, scrubber: &Scrubber) {
    scrubber.scrub(&mut question.prompt);
    question.messages.iter_mut().for_each(|it| scrubber.scrub(&mut it.content));
    question.schema.iter_mut().for_each(|it| scrubber.scrub_value(it));
    question.options.iter_mut().flatten().for_each(|it| scrubber.scrub_value(it));
    scrubber.scrub_value(&mut question.state);
}

/// Blots secrets out of what others say into the run: lines of its log, answers, reasons.
pub(super) fn event(event: &mut Event, scrubber: &Scrubber) {
    match event {
        Event::ExecutionLog(it) => scrubber.scrub(&mut it.message),
        Event::InteractiveResponse(it) => scrubber.scrub_value(&mut it.value),
        Event::NodeOutput(it) => {
            [&mut it.item.output, &mut it.item.error].into_iter().flatten().for_each(|it| scrubber.scrub_value(it));
            it.item.messages.iter_mut().for_each(|it| scrubber.scrub(&mut it.content));
            scrubber.scrub_map(&mut it.item.meta);
        }
        Event::Control(it) => it.reason.iter_mut().for_each(|it| scrubber.scrub(it)),
        // The rest is made of values that were scrubbed when they came in.
        _ => {}
    }
}
