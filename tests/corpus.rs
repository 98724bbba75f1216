//! The inputs that fuzzing found worth keeping (`fuzz/corpus`), and their near neighbours, each given to the function that
//! the fuzzer drives: what it holds them to stands in `src/fuzzing.rs`.

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use shild::fuzzing::{TARGETS, Target, accepted};

/// The kept inputs of a target, by the names of their files.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<_> = files.map(|file| file.expect("the folder can be read").path()).collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let input = fs::read(&path).expect("the file can be read");
            (path, input)
        })
        .collect()
}

#[track_caller]
fn hold((target, check): Target, input: &[u8], from: &Path) {
    let held = catch_unwind(|| check(input));
    assert!(
        held.is_ok(),
        "{target} does not hold of {:?}, which comes from {}",
        String::from_utf8_lossy(input),
        from.display()
    );
}

// B4, B5, T2, T3, T5, T7, T9–T12, T17, P1–P9, P11, W7, W11, H11, H13
#[test]
fn what_is_promised_of_hostile_input_holds_of_every_kept_one() {
    for target in TARGETS {
        let corpus = corpus(target.0);
        assert!(corpus.len() >= 10, "{} inputs are kept for {}", corpus.len(), target.0);
        for (path, input) in corpus {
            hold(target, &input, &path);
        }
    }
}

// What nothing accepts proves little.
#[test]
fn the_kept_tokens_are_also_those_that_are_accepted() {
    let kept: Vec<_> = corpus("token").into_iter().map(|(_, input)| input).collect();
    let is_missing = |text: &String| !kept.iter().any(|input| input == text.as_bytes());
    let missing: Vec<_> = accepted().into_iter().filter(is_missing).collect();
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn it_holds_of_every_kept_input_that_is_cut_off_or_has_one_byte_changed() {
    /// Bytes that mean something to one or another reader, and some that mean nothing to any.
    const BYTES: &[u8] = b"\0\n \"%&+,.:={}A_~\x7f\x80\xff";
    for target in TARGETS {
        for (path, input) in corpus(target.0) {
            // Long inputs are much alike in most places.
            let step = input.len().div_ceil(20).max(1);
            for (turn, at) in (0..input.len()).step_by(step).enumerate() {
                hold(target, &input[..at], &path);
                let mut changed = input.clone();
                changed[at] = BYTES[turn % BYTES.len()];
                hold(target, &changed, &path);
                changed.insert(at, BYTES[(turn + 1) % BYTES.len()]);
                hold(target, &changed, &path);
            }
        }
    }
}
