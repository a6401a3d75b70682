//! `[password]`: what hashing a password costs, and how much of it is done at once.

use super::{
    reader::Reader,
    setting::{
        SettingDoc,
        Shape::{Number, Text},
    },
    value::{number, size},
};

const KIB: usize = 1_024;
const MIB: usize = 1_024 * KIB;

pub(super) const SETTINGS: &[SettingDoc] = &[
    SettingDoc::new(
        "password.memory",
        Text,
        "19MiB to 256MiB, in whole KiB",
        "Memory that hashing one password takes (Argon2id).",
    )
    .default("19MiB"),
    SettingDoc::new(
        "password.iterations",
        Number,
        "2 to 16",
        "Passes that hashing one password makes over the memory.",
    )
    .default("2"),
    SettingDoc::new("password.parallelism", Number, "1 to 8", "Lanes of the memory; they are computed one by one.")
        .default("1"),
    SettingDoc::new(
        "password.hash_threads",
        Number,
        "0 to 64",
        "Threads that hash passwords, at low priority; 0 means half as many as cores, at least one.",
    )
    .default("0"),
    SettingDoc::new(
        "password.hash_queue",
        Number,
        "1 to 10000",
        "Sign-ins that may wait for one of them; more are answered with 503 and Retry-After.",
    )
    .default("64"),
];

/// What hashing a password costs, and how much of it is done at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordConfig {
    /// Memory of one hash in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub iterations: u32,
    /// Lanes of the memory.
    pub parallelism: u32,
    /// Threads that hash; 0 means half as many as cores.
    pub hash_threads: usize,
    /// Sign-ins that may wait for a thread.
    pub hash_queue: usize,
}

pub(super) fn read(reader: &mut Reader) -> Option<PasswordConfig> {
    let memory = reader.read("password.memory", size(19 * MIB..=256 * MIB));
    let iterations = reader.read("password.iterations", number(2..=16));
    let parallelism = reader.read("password.parallelism", number(1..=8));
    let hash_threads = reader.read("password.hash_threads", number(0..=64));
    let hash_queue = reader.read("password.hash_queue", number(1..=10_000));
    if memory.is_some_and(|memory| memory % KIB != 0) {
        reader.combination("password.memory", "it is not a whole number of KiB");
    }
    Some(PasswordConfig {
        memory_kib: u32::try_from(memory? / KIB).ok()?,
        iterations: iterations?,
        parallelism: parallelism?,
        hash_threads: hash_threads?,
        hash_queue: hash_queue?,
    })
}
