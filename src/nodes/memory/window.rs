//! The window: which stored messages a person is shown again. Exact filters, no model, no I/O.

use super::{Message, SYSTEM};

/// How many messages a selection may choose from, at most (diagrams.md 3.12).
pub const CANDIDATES_MAX: usize = 150;

/// A filter with a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Preset {
    AllMessages,
    #[default]
    AllInvolved,
    SentToMe,
    SentByMe,
    ConversationPairs,
    SystemAndMe,
    Goldfish,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 7] = [
        Self::AllMessages,
        Self::AllInvolved,
        Self::SentToMe,
        Self::SentByMe,
        Self::ConversationPairs,
        Self::SystemAndMe,
        Self::Goldfish,
    ];

    /// The name as written in diagrams.
    pub fn name(self) -> &'static str {
        match self {
            Self::AllMessages => "ALL_MESSAGES",
            Self::AllInvolved => "ALL_INVOLVED",
            Self::SentToMe => "SENT_TO_ME",
            Self::SentByMe => "SENT_BY_ME",
            Self::ConversationPairs => "CONVERSATION_PAIRS",
            Self::SystemAndMe => "SYSTEM_AND_ME",
            Self::Goldfish => "GOLDFISH",
        }
    }

    /// Reads a name without regard to case.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name().eq_ignore_ascii_case(text.trim()))
    }
}

/// What `memorize_to` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    Preset(Preset),
    /// Any other text: the model chooses by it.
    Selected(String),
}

impl Wanted {
    /// The preset's name, or the text of the criteria.
    pub fn name(&self) -> &str {
        match self {
            Self::Preset(preset) => preset.name(),
            Self::Selected(criteria) => criteria,
        }
    }
}

/// The memory fields of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    pub wanted: Wanted,
    /// Keeps the newest so many; the system prompt does not count.
    pub at_most: Option<usize>,
    /// Ids of parties whose messages are left out first.
    pub ignored: Vec<String>,
}

impl Memory {
    /// A preset without further limits.
    pub fn preset(preset: Preset) -> Self {
        Self { wanted: Wanted::Preset(preset), at_most: None, ignored: Vec::new() }
    }

    /// Returns the window that `preset` gives `person`, oldest first.
    pub fn window<'m>(&self, preset: Preset, person: &str, messages: &'m [Message]) -> Vec<&'m Message> {
        let kept = filtered(preset, person, self.not_ignored(messages));
        match preset {
            Preset::ConversationPairs => newest(kept, self.at_most.map(|it| it - it % 2)),
            Preset::AllMessages
            | Preset::AllInvolved
            | Preset::SentToMe
            | Preset::SentByMe
            | Preset::SystemAndMe
            | Preset::Goldfish => newest(kept, self.at_most),
        }
    }

    /// Returns what a selection may choose from, oldest first.
    pub fn candidates<'m>(&self, messages: &'m [Message]) -> Vec<&'m Message> {
        newest(self.not_ignored(messages).collect(), Some(CANDIDATES_MAX))
    }

    fn not_ignored<'m>(&self, messages: &'m [Message]) -> impl Iterator<Item = &'m Message> {
        messages.iter().filter(|it| !self.ignored.iter().any(|id| *id == it.from || *id == it.to))
    }
}

/// Keeps the newest `at_most` messages.
pub fn newest(mut messages: Vec<&Message>, at_most: Option<usize>) -> Vec<&Message> {
    let surplus = at_most.map_or(0, |it| messages.len().saturating_sub(it));
    messages.drain(..surplus);
    messages
}

fn filtered<'m>(preset: Preset, person: &str, messages: impl Iterator<Item = &'m Message>) -> Vec<&'m Message> {
    match preset {
        Preset::AllMessages => messages.collect(),
        Preset::AllInvolved => messages.filter(|it| it.from == person || it.to == person).collect(),
        Preset::SentToMe => messages.filter(|it| it.to == person).collect(),
        Preset::SentByMe => messages.filter(|it| it.from == person).collect(),
        Preset::SystemAndMe => messages.filter(|it| is_between(it, SYSTEM, person)).collect(),
        Preset::ConversationPairs => pairs(person, messages.filter(|it| is_between(it, SYSTEM, person)).collect()),
        Preset::Goldfish => Vec::new(),
    }
}

fn is_between(message: &Message, one: &str, other: &str) -> bool {
    (message.from == one && message.to == other) || (message.from == other && message.to == one)
}

/// Keeps prompts with their replies. Both are stored by one completion, so they are neighbours among
/// the messages between the diagram and this person.
fn pairs<'m>(person: &str, messages: Vec<&'m Message>) -> Vec<&'m Message> {
    let mut kept = Vec::with_capacity(messages.len());
    let mut rest = messages.as_slice();
    while let [prompt, reply, ..] = rest {
        let is_pair = prompt.to == person
            && reply.from == person
            && prompt.node_id == reply.node_id
            && prompt.iteration == reply.iteration;
        if is_pair {
            kept.extend([*prompt, *reply]);
        }
        rest = &rest[if is_pair { 2 } else { 1 }..];
    }
    kept
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// The two messages of one completed call of `person`.
    pub(crate) fn call(messages: &mut Vec<Message>, person: &str, node: &str, prompt: &str, reply: &str) {
        for (k, (from, to, role, content)) in
            [(SYSTEM, person, "user", prompt), (person, SYSTEM, "assistant", reply)].into_iter().enumerate()
        {
            messages.push(Message {
                id: format!("{node}:1:{}", k + 1),
                seq: messages.len() as u64 + 1,
                from: from.to_owned(),
                to: to.to_owned(),
                person_id: person.to_owned(),
                role: role.to_owned(),
                content: content.to_owned(),
                node_id: node.to_owned(),
                iteration: 1,
                kind: "message".to_owned(),
            });
        }
    }

    fn talk() -> Vec<Message> {
        let mut messages = Vec::new();
        call(&mut messages, "Ann", "a1", "q1", "r1");
        call(&mut messages, "Ben", "b1", "q2", "r2");
        call(&mut messages, "Ann", "a2", "q3", "r3");
        let mut note = messages[0].clone();
        (note.from, note.to, note.content, note.node_id) = ("Ben".into(), "Ann".into(), "note".into(), "n".into());
        messages.push(note);
        messages
    }

    fn check(memory: &Memory, expected: &str) {
        let Wanted::Preset(preset) = memory.wanted else { panic!("a preset") };
        let messages = talk();
        let shown: Vec<_> = memory.window(preset, "Ann", &messages).iter().map(|it| it.content.as_str()).collect();
        assert_eq!(shown.join(" "), expected, "{memory:?}");
    }

    #[test]
    fn every_preset_is_an_exact_filter() {
        for (preset, expected) in [
            (Preset::AllMessages, "q1 r1 q2 r2 q3 r3 note"),
            (Preset::AllInvolved, "q1 r1 q3 r3 note"),
            (Preset::SentToMe, "q1 q3 note"),
            (Preset::SentByMe, "r1 r3"),
            (Preset::ConversationPairs, "q1 r1 q3 r3"),
            (Preset::SystemAndMe, "q1 r1 q3 r3"),
            (Preset::Goldfish, ""),
        ] {
            check(&Memory::preset(preset), expected);
        }
    }

    #[test]
    fn at_most_keeps_the_newest_and_never_splits_a_pair() {
        for (preset, at_most, expected) in [
            (Preset::AllMessages, 3, "q3 r3 note"),
            (Preset::AllMessages, 99, "q1 r1 q2 r2 q3 r3 note"),
            (Preset::SentByMe, 1, "r3"),
            (Preset::ConversationPairs, 3, "q3 r3"),
            (Preset::ConversationPairs, 1, ""),
            (Preset::ConversationPairs, 4, "q1 r1 q3 r3"),
        ] {
            check(&Memory { at_most: Some(at_most), ..Memory::preset(preset) }, expected);
        }
    }

    #[test]
    fn ignored_parties_are_left_out_before_counting() {
        let ignoring = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let all = Memory::preset(Preset::AllMessages);
        check(&Memory { ignored: ignoring(&["Ben"]), ..all.clone() }, "q1 r1 q3 r3");
        check(&Memory { ignored: ignoring(&["Ben"]), at_most: Some(3), ..all.clone() }, "r1 q3 r3");
        check(&Memory { ignored: ignoring(&["Ann", "Ben"]), ..all }, "");
    }

    #[test]
    fn preset_names_are_read_without_regard_to_case() {
        assert_eq!(Preset::parse(" all_messages"), Some(Preset::AllMessages));
        assert_eq!(Preset::parse("GoldFish"), Some(Preset::Goldfish));
        assert_eq!(Preset::parse("remember all"), None);
    }
}
