//! What this program is and can do, and whether it is well: for clients that look before they ask.

pub mod execution_capabilities;
pub mod health_check;
pub mod supported_formats;
pub mod system_info;
