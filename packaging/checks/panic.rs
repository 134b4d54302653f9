//! A thread of the router that panics, without the router: its hook prints what failed and where, and ends the
//! process.

fn main() {
    std::panic::set_hook(Box::new(|panic| {
        // finds nothing, and must do no harm
        let _ = std::backtrace::Backtrace::force_capture();
        eprintln!("{panic}");
        std::process::exit(1);
    }));
    let thread = std::thread::spawn(|| panic!("too many: {}", std::env::args().count()));
    let _ = thread.join();
}
