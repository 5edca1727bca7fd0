//! `/init` of the virtual machines of `cargo xtask kernels`; see `ha_tests::guest`.

use std::process::ExitCode;

fn main() -> ExitCode {
    ha_tests::guest::main()
}
