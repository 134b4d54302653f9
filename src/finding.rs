//! What a check of a source or a sink has found, for a person.

/// One line of a check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// It works.
    Good(String),
    /// It works, but somebody should know.
    Doubtful(String),
    /// It does not work; why, and what to do.
    Failed(String),
}

/// Takes findings as they are made.
pub(crate) type Tell<'a> = &'a mut dyn FnMut(Finding);
