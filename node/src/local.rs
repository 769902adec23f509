//! lockstep local
use crate::{Failure, cli};
pub(crate) fn run(_args: &cli::Local) -> Result<(), Failure> {
    Err(Failure::work("soon"))
}
