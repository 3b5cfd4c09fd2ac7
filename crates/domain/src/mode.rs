use strum::{Display, EnumString, IntoStaticStr};

/// Which of the gateway's two worlds: on every row, checked on every fact, never mixed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Mode {
    /// Play money.
    Test,
    /// Real money.
    Live,
}

impl Mode {
    /// The mode that the gateway's `livemode` flag means.
    pub fn from_livemode(livemode: bool) -> Self {
        if livemode { Self::Live } else { Self::Test }
    }
}
