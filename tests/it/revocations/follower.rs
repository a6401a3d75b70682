//! The example microservice, run as a process: what it refuses, how soon, and what it does without the feed.
