mod net_lab;
fn main() -> std::process::ExitCode {
    net_lab::main(tests![])
}
