//! The example with a state machine of its own runs, and finds nothing.

#[path = "../examples/own_machine.rs"]
mod own_machine;

#[test]
fn a_state_machine_of_ones_own_lives_in_the_world() {
    own_machine::main();
}
