//! MCP on stdio and streamable HTTP: translates, calls a handler, translates back.
