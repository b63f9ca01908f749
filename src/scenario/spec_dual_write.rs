//! The vocabulary of a target that is two systems.

use super::spec::{COUNT, DRIVER, Default, Key, Kind, OPTIONS, PLACE, key};

/// `dual_write = { … }`; times are since the start of the measured phase.
pub(super) static DUAL_WRITE: &[Key] = &[
    DRIVER,
    PLACE,
    OPTIONS,
    key(
        "from",
        Kind::Span,
        Default::Absent,
        "The new system is made ready (its streams are created) and written to only then; from the beginning on if absent.",
    ),
    key(
        "move",
        Kind::List { min: 1, of: &Kind::Table(MOVE) },
        Default::Required,
        "When how many subscribers leave the old system and read from the new one; all of them together.",
    ),
];

/// An item of `dual_write.move`.
pub(super) static MOVE: &[Key] = &[
    key("at", Kind::Span, Default::Required, "When."),
    key("subscribers", COUNT, Default::Is("1"), "How many: those that come next."),
];
