//! The `xvrrp` binary.

fn main() -> std::process::ExitCode {
    ha_userspace::cli::main()
}
