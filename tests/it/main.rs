//! The suite: the service from outside, on a real Postgres, over real sockets; and the rules of the house.

mod dev;
mod docs;
mod exchange;
mod floors;
mod gateway;
mod house;
mod imports;
mod lexer;
mod sql;
mod sql_files;
mod support;
mod tree;
