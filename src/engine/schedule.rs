//! Decides which node may fire: the firing rule of diagrams.md 3.3 as a pure state machine.
