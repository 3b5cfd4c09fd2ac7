//! A new migration file must reach `sqlx::migrate!`, which the compiler cannot know by itself.

fn main() {
    println!("cargo:rerun-if-changed=../../migrations");
}
