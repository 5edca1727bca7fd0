//! 255 virtual routers on one interface, and reloads of many.

use crate::harness::Test;

pub(crate) fn tests() -> Vec<Test> {
    vec![]
}
