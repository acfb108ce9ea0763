//! The HTTP server: guard, plain routes, and the routers handed to it as values.
