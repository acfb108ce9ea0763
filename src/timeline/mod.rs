//! When what ran: the log of an execution as bars over time, written as SVG. Pure: events and the present
//! moment come in as parameters. It must not know the store or the adapters, so every surface can show it.

mod axis;
mod layout;
mod record;
mod style;
mod svg;
mod text;

pub use axis::duration;
pub use record::{NodeRun, Stretch, StretchKind, Timeline, state_of};
pub use svg::svg;
