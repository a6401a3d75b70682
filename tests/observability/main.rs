//! What operators look at, against the real thing: the dashboards, the rules and the runbooks, a real Prometheus, and the service as
//! real processes under load and under faults.
//!
//! - `dashboards`: the rules that the JSON files keep, listed there.
//! - `rules`: alerts and recording rules, their runbooks, and `promtool test rules` for the dimension of time.
//! - `panels`: every panel returns data under a mixed load with an outage, and every metric of the table moves.
//! - `faults`: every alert fires when its fault is caused, and no other does.
//!
//! A machine without Prometheus fails these tests and is told what to install.

#[cfg(test)]
mod dashboards;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod load;
#[cfg(test)]
mod panels;
#[cfg(test)]
mod prometheus;
#[cfg(test)]
mod rules;

#[cfg(test)]
#[path = "../it/support/mod.rs"]
#[expect(dead_code, reason = "shared with the other suite, which uses the rest")]
mod support;
