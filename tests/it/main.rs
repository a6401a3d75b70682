//! The suite: the service from outside, on a real Postgres, over real sockets; and the rules of the house.
#![expect(clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test ends at its first surprise")]

mod admin_sessions;
mod at_rest;
mod cli;
mod database_faults;
mod dev;
mod discovery;
mod docs;
mod exchange;
mod floors;
mod gateway;
mod house;
mod imports;
mod keys;
mod lexer;
mod listeners;
mod login;
mod logs;
mod master_key;
mod migrations;
mod pages;
mod problems;
mod public_session;
mod roles;
mod sql;
mod sql_files;
mod statements;
mod support;
mod tokens;
mod tree;
mod validators;
