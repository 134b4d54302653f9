//! The pipeline of a route: poller, lanes, workers, keeper.
