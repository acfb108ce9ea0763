//! Python in the sandbox: the embedded interpreter, conditions, and what it cannot do. The only
//! module that names the interpreter and the Python parser. It runs whatever it is given to the end;
//! time limits that must hold against hostile code are the business of `worker` and `sandbox`.

pub(super) mod call;
pub(super) mod classes;
pub(super) mod condition;
pub(super) mod exception;
pub(super) mod facts;
pub(super) mod needs;
pub(super) mod outside;
pub(super) mod place;
pub(super) mod program;
pub(super) mod straight;
pub(super) mod values;
