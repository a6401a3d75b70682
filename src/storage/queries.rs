//! Every statement by name; its text is the file `sql/<name>.sql`.

/// A named SQL statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// Its name, `<entity>/<verb>`: also its metric label.
    pub name: &'static str,
    /// Its text, comments included.
    pub text: &'static str,
}

macro_rules! queries {
    ($( $constant:ident = $name:literal, )+) => {
        $( #[doc = concat!("`sql/", $name, ".sql`")]
        pub const $constant: Query = Query {
            name: $name,
            text: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/sql/", $name, ".sql")),
        }; )+

        /// Every statement, so that a test can prepare them all.
        pub const ALL: &[Query] = &[$($constant),+];
    };
}

queries! {
    ACCOUNT_CONFIRM = "account/confirm",
    ACCOUNT_FIND = "account/find",
    ACCOUNT_FIND_SUBJECT = "account/find_subject",
    ACCOUNT_INSERT = "account/insert",
    ACCOUNT_LIST = "account/list",
    ACCOUNT_REMOVE = "account/remove",
    ACCOUNT_REPLACE_PASSWORD_HASH = "account/replace_password_hash",
    ACCOUNT_SET_PASSWORD = "account/set_password",
    BARRIER_LOWEST_PASSED = "barrier/lowest_passed",
    BARRIER_RAISE = "barrier/raise",
    CANARY_TAKE_TURN = "canary/take_turn",
    CANARY_WATCH = "canary/watch",
    CLIENT_FIND_BY_SECRET_DIGEST = "client/find_by_secret_digest",
    CLIENT_INSERT = "client/insert",
    CLIENT_LIST = "client/list",
    CLIENT_REMOVE = "client/remove",
    CLIENT_ROTATE = "client/rotate",
    FORMER_TOKEN_FILTER = "former_token/filter",
    FORMER_TOKEN_FIND = "former_token/find",
    FORMER_TOKEN_INSERT = "former_token/insert",
    FORMER_TOKEN_INVALIDATE = "former_token/invalidate",
    FORMER_TOKEN_MARK_REUSED = "former_token/mark_reused",
    FORMER_TOKEN_TRIM = "former_token/trim",
    HOOK_DELIVERY_CLAIM = "hook_delivery/claim",
    HOOK_DELIVERY_COUNT = "hook_delivery/count",
    HOOK_DELIVERY_INSERT = "hook_delivery/insert",
    HOOK_DELIVERY_POSTPONE = "hook_delivery/postpone",
    HOOK_DELIVERY_SETTLE = "hook_delivery/settle",
    LOGIN_THROTTLE_COUNT = "login_throttle/count",
    LOGIN_THROTTLE_SWEEP = "login_throttle/sweep",
    LOGIN_THROTTLE_TAKE_BACK = "login_throttle/take_back",
    REPLICA_BEAT = "replica/beat",
    REPLICA_LIST = "replica/list",
    REPLICA_PASS = "replica/pass",
    REPLICA_REMOVE = "replica/remove",
    REVOCATION_ENDED_AMONG = "revocation/ended_among",
    REVOCATION_ENDED_SINCE = "revocation/ended_since",
    REVOCATION_ENDED_WITH_EVERYONE = "revocation/ended_with_everyone",
    REVOCATION_EVERYONE_SINCE = "revocation/everyone_since",
    REVOCATION_POLL = "revocation/poll",
    REVOCATION_SWEEP = "revocation/sweep",
    SCHEMA_PING = "schema/ping",
    SCHEMA_VERSION = "schema/version",
    SESSION_COUNT_LIVE = "session/count_live",
    SESSION_COUNT_LIVE_BY_SUBJECT = "session/count_live_by_subject",
    SESSION_FIND_BY_ID = "session/find_by_id",
    SESSION_FIND_BY_TOKEN_DIGEST = "session/find_by_token_digest",
    SESSION_INSERT = "session/insert",
    SESSION_KNOWN_DEVICE = "session/known_device",
    SESSION_LIST = "session/list",
    SESSION_LIST_BEYOND_LIMIT = "session/list_beyond_limit",
    SESSION_LIST_BY_SUBJECT = "session/list_by_subject",
    SESSION_LIST_LIVE_BY_SUBJECT = "session/list_live_by_subject",
    SESSION_LOCK = "session/lock",
    SESSION_LOCK_SUBJECT = "session/lock_subject",
    SESSION_READ_FOR_EXCHANGE = "session/read_for_exchange",
    SESSION_REMEMBER_DEVICE = "session/remember_device",
    SESSION_RENEW = "session/renew",
    SESSION_REPLACE_TOKEN_DIGEST = "session/replace_token_digest",
    SESSION_REVOKE = "session/revoke",
    SESSION_REVOKE_BATCH = "session/revoke_batch",
    SESSION_REVOKE_OWN = "session/revoke_own",
    SESSION_STEP_UP = "session/step_up",
    SESSION_TOUCH_BATCH = "session/touch_batch",
    SIGNING_KEY_ACTIVATE = "signing_key/activate",
    SIGNING_KEY_DROP = "signing_key/drop",
    SIGNING_KEY_ERASE_DESTROYED = "signing_key/erase_destroyed",
    SIGNING_KEY_INSERT = "signing_key/insert",
    SIGNING_KEY_LIST = "signing_key/list",
    SIGNING_KEY_LOCK = "signing_key/lock",
    SIGNING_KEY_RESEAL = "signing_key/reseal",
    SIGNING_KEY_RETIRE = "signing_key/retire",
    SUBJECT_DISABLE = "subject/disable",
    SUBJECT_ENABLE = "subject/enable",
    SUBJECT_RAISE_EPOCH = "subject/raise_epoch",
    SUBJECT_RAISE_GLOBAL_EPOCH = "subject/raise_global_epoch",
}
