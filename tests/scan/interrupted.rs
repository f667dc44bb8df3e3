//! Scans that are killed, run out of space or find half a file: what they end with is what an undisturbed one ends with.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::support::{
    Project, Said, corpus, fail, files, model, run, scan_command, succeed, tokenize_command, wait,
};

const DOCUMENTS: usize = 120;

/// A scan with a checkpoint after every batch, of which there are many.
fn scan(project: &Path) -> Command {
    let mut command = scan_command(project, &model("llama"), &project.join("corpus.jsonl"));
    command.args(["--batch-tokens", "64", "--checkpoint-every", "0"]);
    command.arg("--keep-hooks");
    command
}

fn project() -> Project {
    let project = Project::new();
    corpus(&project.join("corpus.jsonl"), DOCUMENTS);
    project
}

/// The atlas of a scan that nobody disturbed, and how long it took.
fn undisturbed() -> (Vec<(String, Vec<u8>)>, Duration) {
    let dir = project();
    let start = Instant::now();
    succeed(&mut scan(&dir));
    let taken = start.elapsed();
    (files(&dir.data("llama").join("atlas")), taken)
}

fn assert_undisturbed(project: &Path, expected: &[(String, Vec<u8>)]) {
    let found = files(&project.join("data/llama/atlas"));
    let names = |files: &[(String, Vec<u8>)]| files.iter().map(|f| f.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&found), names(expected));
    for (found, expected) in found.iter().zip(expected) {
        assert!(found == expected, "{} differs", found.0);
    }
    let parts = fs::read_dir(project.join("data/llama/parts")).unwrap();
    let left: Vec<_> = parts.map(|entry| entry.unwrap().file_name()).collect();
    let left = left.iter().map(|name| name.to_string_lossy());
    let left: Vec<_> = left.filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(left, ["part-00000-of-00001"], "nothing is left behind");
}

fn checkpoint(project: &Path) -> PathBuf {
    project.join("data/llama/parts/.part-00000-of-00001.checkpoint")
}

/// Starts a scan, and sends it a signal after some time unless it has ended by then.
fn stopped(project: &Path, after: Duration, signal: &str) -> Option<Said> {
    let mut command = scan(project);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    std::thread::sleep(after);
    let ended = child.try_wait().unwrap().is_some();
    if !ended {
        let id = child.id().to_string();
        let sent = Command::new("kill").args([signal, &id]).status();
        assert!(sent.unwrap().success());
    }
    let said = wait(child);
    (!ended).then_some(said)
}

#[test]
fn a_scan_that_is_killed_again_and_again_gives_the_same_atlas() {
    let (expected, taken) = undisturbed();
    let dir = project();
    let (mut n_killed, mut n_resumed, mut seed) = (0, 0, 12_345u64);
    for _ in 0..400 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let share = (seed >> 40) as f64 / f64::from(1 << 24);
        // often early, sometimes as long as a whole scan takes
        let after = taken.mul_f64(0.02 + 1.2 * share * share * share);
        match stopped(&dir, after, "-KILL") {
            Some(said) => {
                n_killed += 1;
                n_resumed += usize::from(said.stderr.contains("going on after"));
            }
            None => break,
        }
    }
    succeed(&mut scan(&dir));
    assert_undisturbed(&dir, &expected);
    assert!(n_killed >= 2 && n_resumed >= 1, "{n_killed} {n_resumed}");
}

#[test]
fn a_scan_that_is_asked_to_stop_goes_on_where_it_was() {
    let (expected, taken) = undisturbed();
    for signal in ["-INT", "-TERM"] {
        let dir = project();
        let mut n_stopped = 0;
        for _ in 0..50 {
            let Some(said) = stopped(&dir, taken.mul_f64(0.4), signal) else {
                break;
            };
            if checkpoint(&dir).exists() {
                assert_eq!(said.code, Some(130), "{}", said.stderr);
                assert!(
                    said.stderr
                        .contains("run the same command again to continue"),
                    "{}",
                    said.stderr
                );
                n_stopped += 1;
            }
        }
        succeed(&mut scan(&dir));
        assert_undisturbed(&dir, &expected);
        assert!(n_stopped >= 1);
    }
}

/// A limit of the length of files is met as a full disk is: writing fails.
#[test]
fn a_full_disk_is_an_error_and_no_loss() {
    let (expected, _) = undisturbed();
    let (mut n_failed, mut n_noted) = (0, 0);
    for blocks in [1, 8, 24, 40, 64, 96, 128, 200] {
        let dir = project();
        let scan = scan(&dir);
        let mut command = Command::new("sh");
        // blocks of 512 bytes; the signal is ignored, so that the write fails instead
        let limited = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" \"$@\"");
        command.arg("-c").arg(limited).arg(scan.get_program());
        command.args(scan.get_args());
        let said = run(&mut command);
        assert!(!said.stderr.contains("panicked"), "{}", said.stderr);
        match said.code {
            Some(0) => {}
            code => {
                assert_eq!(code, Some(1), "{}", said.stderr);
                assert!(said.stderr.contains("error: "), "{}", said.stderr);
                n_failed += 1;
            }
        }
        n_noted += usize::from(said.stderr.contains("no checkpoint"));
        succeed(&mut self::scan(&dir));
        assert_undisturbed(&dir, &expected);
    }
    assert!(n_failed >= 3 && n_noted >= 1, "{n_failed} {n_noted}");
}

/// Half a checkpoint, or one with other bits, is noticed; the scan begins again.
#[test]
fn a_torn_checkpoint_is_not_used() {
    let (expected, taken) = undisturbed();
    let damage: [fn(&mut Vec<u8>); 5] = [
        |bytes| bytes.truncate(bytes.len() / 2),
        |bytes| bytes.truncate(7),
        |bytes| bytes.clear(),
        |bytes| {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0x10;
        },
        |bytes| bytes.extend([0; 100]),
    ];
    for damage in damage {
        let dir = project();
        let path = checkpoint(&dir);
        for share in [0.3, 0.5, 0.7, 0.9] {
            if path.exists() {
                break;
            }
            stopped(&dir, taken.mul_f64(share), "-KILL");
        }
        let mut bytes = fs::read(&path).expect("one of the scans was killed under way");
        damage(&mut bytes);
        fs::write(&path, bytes).unwrap();
        // what a torn write leaves beside it is in nobody's way either
        fs::write(path.with_extension("checkpoint-new"), b"NSCK").unwrap();
        let said = succeed(&mut scan(&dir));
        assert!(said.stderr.contains("beginning again"), "{}", said.stderr);
        assert_undisturbed(&dir, &expected);
    }
}

/// The work of another version of the program is not thrown away unless that is asked for.
#[test]
fn a_checkpoint_of_another_version_is_kept_unless_the_scan_is_to_begin_again() {
    let (expected, taken) = undisturbed();
    let dir = project();
    let path = checkpoint(&dir);
    for share in [0.3, 0.5, 0.7, 0.9] {
        if !path.exists() {
            stopped(&dir, taken.mul_f64(share), "-KILL");
        }
    }
    let mut bytes = fs::read(&path).expect("one of the scans was killed under way");
    bytes.truncate(bytes.len() - 32);
    let own = format!("\"neuroscope\":\"{}\"", env!("CARGO_PKG_VERSION"));
    let at = bytes
        .windows(own.len())
        .position(|part| part == own.as_bytes());
    let at = at.unwrap() + own.len() - 2;
    bytes[at] = b'9';
    let hash = Sha256::digest(&bytes);
    bytes.extend_from_slice(&hash);
    fs::write(&path, &bytes).unwrap();
    let said = fail(&mut scan(&dir), &["was begun by neuroscope", "--restart"]);
    assert!(!said.stderr.contains("beginning again"), "{}", said.stderr);
    assert!(fs::read(&path).unwrap() == bytes, "nothing is lost");
    succeed(scan(&dir).arg("--restart"));
    assert_undisturbed(&dir, &expected);
    // a part that is there is scanned again, too
    let said = succeed(scan(&dir).arg("--restart"));
    assert!(!said.stderr.contains("is there already"), "{}", said.stderr);
    assert_undisturbed(&dir, &expected);
}

/// A checkpoint of another scan is not gone on with.
#[test]
fn a_checkpoint_of_other_options_is_not_used() {
    let (expected, taken) = undisturbed();
    let dir = project();
    for share in [0.3, 0.5, 0.7, 0.9] {
        if !checkpoint(&dir).exists() {
            let mut command = scan(&dir);
            command.args(["--top-k", "3"]).stderr(Stdio::null());
            let mut child = command.spawn().unwrap();
            std::thread::sleep(taken.mul_f64(share));
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    assert!(checkpoint(&dir).exists());
    fail(
        &mut scan(&dir),
        &[
            "was begun with another policy",
            "stats.top_k 3",
            "--restart",
        ],
    );
    succeed(scan(&dir).arg("--restart"));
    assert_undisturbed(&dir, &expected);
}

/// Two processes do not scan the same part at the same time.
#[test]
fn a_part_in_work_is_left_alone() {
    let dir = project();
    let text = dir.join("corpus.jsonl");
    succeed(&mut tokenize_command(&dir, &model("llama"), &text));
    let parts = dir.data("llama").join("parts");
    fs::create_dir_all(&parts).unwrap();
    let lock = fs::File::create(parts.join(".part-00000-of-00001.lock")).unwrap();
    lock.lock().unwrap();
    let said = run(&mut scan(&dir));
    assert_eq!(said.code, Some(1));
    assert!(said.stderr.contains("another process"), "{}", said.stderr);
    drop(lock);
    succeed(&mut scan(&dir));
}

/// Scans with standard error (and output) that cannot be written end as any other.
#[test]
fn messages_that_nobody_can_read_stop_nothing() {
    let (expected, _) = undisturbed();
    for how in [
        "exec 2>/dev/full",
        "exec 2>&-",
        "exec >&- 2>&-",
        "exec 2> >(true); sleep 0.3",
        "exec 2> >(read -r line)",
    ] {
        for format in ["text", "json"] {
            let dir = project();
            let mut scan = scan(&dir);
            scan.args(["--log-format", format]);
            let mut command = Command::new("bash");
            command.args(["-c", &format!("{how}; exec \"$@\""), "bash"]);
            command.arg(scan.get_program()).args(scan.get_args());
            let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
            assert!(status.unwrap().success(), "{how}");
            assert_undisturbed(&dir, &expected);
        }
    }
}

/// A terminal that goes away leaves a checkpoint behind, even though its shell and the system both say so at once; and
/// stops nothing that was told to outlive it.
#[test]
fn a_terminal_that_goes_away_loses_no_work() {
    let (expected, taken) = undisturbed();
    let dir = project();
    let child = scan(&dir).stderr(Stdio::null()).spawn();
    let mut child = child.unwrap();
    std::thread::sleep(taken / 4);
    for _ in 0..2 {
        let sent = Command::new("kill")
            .args(["-HUP", &child.id().to_string()])
            .status();
        assert!(sent.is_ok());
    }
    let code = child.wait().unwrap().code();
    assert!(matches!(code, Some(130 | 0)), "{code:?}");
    succeed(&mut scan(&dir));
    assert_undisturbed(&dir, &expected);

    let dir = project();
    let scan = scan(&dir);
    let mut nohup = Command::new("nohup");
    nohup.arg(scan.get_program()).args(scan.get_args());
    nohup
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = nohup.spawn().unwrap();
    std::thread::sleep(taken / 4);
    let sent = Command::new("kill")
        .args(["-HUP", &child.id().to_string()])
        .status();
    assert!(sent.is_ok());
    assert!(child.wait().unwrap().success());
    assert_undisturbed(&dir, &expected);
}
