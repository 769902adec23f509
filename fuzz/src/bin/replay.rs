//! Runs inputs through a target: `replay TARGET FILE…`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let name = args.next().ok_or("replay TARGET FILE…")?;
    let run = fuzz::target(&name);
    for path in args {
        let bytes = std::fs::read(&path)?;
        println!("{path}, {} bytes", bytes.len());
        run(&bytes);
    }
    println!("nothing found");
    Ok(())
}
