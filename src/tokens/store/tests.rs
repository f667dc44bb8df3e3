use super::*;
use crate::ids::{DocId, RoleId, TokenId};
use proptest::prelude::*;

fn write(dir: &Path, documents: &[Vec<u32>], d_vocab: usize) {
    let mut writer = StoreWriter::create(dir, d_vocab).unwrap();
    for (i, document) in documents.iter().enumerate() {
        let (id, source) = (format!("doc {i}"), format!("source {}", i % 2));
        let tokens: Vec<_> = document.iter().map(|&id| TokenId(id)).collect();
        writer
            .push(
                DocumentInfo {
                    id: &id,
                    source: &source,
                    license: "CC0-1.0",
                },
                &tokens,
            )
            .unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn any_range_of_any_document_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let long: Vec<u32> = (0..BLOCK_TOKENS as u32 * 2 + 7)
        .map(|i| i * 7 % 60_000)
        .collect();
    let documents = [vec![1, 2, 3], vec![], long.clone(), vec![9]];
    write(dir.path(), &documents, 60_000);
    let store = TokenStore::open(dir.path(), 1).unwrap();
    assert_eq!(store.n_documents(), 4);
    assert_eq!(store.n_tokens(), long.len() as u64 + 4);
    for (i, document) in documents.iter().enumerate() {
        let doc = DocId(i as u32);
        let all: Vec<u32> = store
            .tokens(doc, 0..store.len(doc))
            .unwrap()
            .iter()
            .map(|id| id.0)
            .collect();
        assert_eq!(&all, document);
    }
    let middle = store.tokens(DocId(2), 32_760..32_770).unwrap();
    assert_eq!(
        middle.iter().map(|id| id.0).collect::<Vec<_>>(),
        long[32_760..32_770]
    );
    assert_eq!(
        store.info(DocId(3)),
        DocumentInfo {
            id: "doc 3",
            source: "source 1",
            license: "CC0-1.0"
        }
    );
}

/// Writes a store of conversations, and returns the roles of its tokens.
fn write_chat(dir: &Path, lengths: &[usize]) -> Vec<Vec<RoleId>> {
    let mut writer = StoreWriter::create_for_chat(dir, 60_000).unwrap();
    let names = ["user", "assistant", "tool"];
    let numbers = names.map(|name| writer.role(name).unwrap());
    assert_eq!(numbers, [1, 2, 3].map(RoleId));
    let mut all = Vec::new();
    for (doc, &n) in lengths.iter().enumerate() {
        let tokens: Vec<_> = (0..n as u32).map(|i| TokenId(i * 7 % 60_000)).collect();
        let roles: Vec<_> = (0..n).map(|i| RoleId(((i / 5 + doc) % 4) as u8)).collect();
        let info = DocumentInfo {
            id: "user",
            source: "s",
            license: "",
        };
        writer.push_with_roles(info, &tokens, &roles).unwrap();
        all.push(roles);
    }
    assert_eq!(writer.role_names(), names);
    writer.finish().unwrap();
    all
}

#[test]
fn any_range_of_roles_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let lengths = [3, 0, BLOCK_TOKENS * 2 + 7, 9];
    let expected = write_chat(dir.path(), &lengths);
    let store = TokenStore::open(dir.path(), 1).unwrap();
    assert!(store.has_roles());
    assert_eq!(store.role_names(), ["user", "assistant", "tool"]);
    for (doc, expected) in (0..).map(DocId).zip(&expected) {
        let found = store.roles(doc, 0..store.len(doc)).unwrap();
        assert_eq!(found.as_ref(), Some(expected));
    }
    let around = BLOCK_TOKENS - 10..BLOCK_TOKENS + 10;
    let found = store.roles(DocId(2), around.clone()).unwrap().unwrap();
    assert_eq!(found, expected[2][around.clone()]);
    let tokens = store.tokens(DocId(2), around.clone()).unwrap();
    assert_eq!(tokens[0], TokenId((around.start * 7 % 60_000) as u32));
    assert!(store.roles(DocId(0), 2..4).is_err());

    let wanted = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>()
    };
    let set = store.role_set(&wanted(&["tool", "user"])).unwrap();
    let is_one = store.has_role(DocId(3), 0..9, &set).unwrap();
    let one_of = |role: &RoleId| role.0 == 1 || role.0 == 3;
    assert!(
        is_one
            .iter()
            .eq(&expected[3].iter().map(one_of).collect::<Vec<_>>())
    );
    assert_eq!(
        store.role_set(&wanted(&["user", "critic"])),
        Err("critic".into())
    );
}

#[test]
fn a_store_of_texts_is_of_the_first_version_and_has_no_roles() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[vec![1, 2, 3]], 60_000);
    let index = std::fs::read(index_path(dir.path())).unwrap();
    assert_eq!(index[8..12], 1u32.to_le_bytes());
    let store = TokenStore::open(dir.path(), 1).unwrap();
    assert!(!store.has_roles() && store.role_names().is_empty());
    assert_eq!(store.roles(DocId(0), 0..3).unwrap(), None);
}

#[test]
fn there_are_at_most_255_roles() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = StoreWriter::create_for_chat(dir.path(), 10).unwrap();
    for role in 0..255 {
        assert_eq!(
            writer.role(&role.to_string()).unwrap(),
            RoleId(role as u8 + 1)
        );
    }
    assert_eq!(writer.role("0").unwrap(), RoleId(1));
    assert!(writer.role("255").is_err());
}

#[test]
fn an_index_of_conversations_with_wrong_numbers_is_damaged() {
    let dir = tempfile::tempdir().unwrap();
    write_chat(dir.path(), &[20, 4]);
    let path = index_path(dir.path());
    let whole = std::fs::read(&path).unwrap();
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut index = whole[..whole.len() - DIGEST].to_vec();
        change(&mut index);
        index.extend_from_slice(&Sha256::digest(&index));
        std::fs::write(&path, index).unwrap();
        TokenStore::open(dir.path(), 1)
    };
    assert!(changed(&|_| ()).is_ok());
    // three ends of documents, two documents, two blocks
    let roles = CHAT_HEADER + 3 * 8 + 2 * 12 + 2 * 16;
    for (at, size) in [(HEADER, 8), (CHAT_HEADER, 8), (roles - 16, 4), (roles, 4)] {
        for byte in [0x7f, 0xff] {
            let error = changed(&|index| index[at..at + size].fill(byte)).err();
            let error = error.map(|error| error.to_string()).unwrap_or_default();
            assert!(
                error.contains("index.bin`"),
                "{size} bytes at {at}: {error}"
            );
        }
    }
    let twice = changed(&|index| index.copy_within(roles..roles + 4, roles + 4)).err();
    assert!(twice.unwrap().to_string().contains("one name"));
    let fewer = changed(&|index| {
        index[HEADER] = 2;
        index.drain(roles + 8..roles + 12);
    });
    let error = fewer.unwrap().roles(DocId(0), 0..20).err();
    let error = error.map(|error| error.to_string()).unwrap_or_default();
    // the roles of the tokens go up to three
    assert!(error.contains("tokens-00000.bin`"), "{error}");
    std::fs::write(&path, &whole[..CHAT_HEADER]).unwrap();
    assert!(TokenStore::open(dir.path(), 1).is_err());
}

#[test]
fn large_vocabularies_take_wide_ids() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[vec![200_000, 5]], 250_000);
    let store = TokenStore::open(dir.path(), 1).unwrap();
    assert_eq!(
        store.tokens(DocId(0), 0..2).unwrap(),
        [TokenId(200_000), TokenId(5)]
    );
}

#[test]
fn a_truncated_shard_and_a_newer_version_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[(0..5000).collect()], 60_000);
    let shard = dir.path().join(shard_name(0));
    let whole = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &whole[..whole.len() - 1]).unwrap();
    let error = TokenStore::open(dir.path(), 1).err().unwrap().to_string();
    assert!(
        error.contains("index.bin") && error.contains("cut off"),
        "{error}"
    );
    std::fs::write(&shard, &whole).unwrap();

    let path = index_path(dir.path());
    let mut index = std::fs::read(&path).unwrap();
    index[8] = 99;
    std::fs::write(&path, &index).unwrap();
    let error = TokenStore::open(dir.path(), 1).err().unwrap().to_string();
    assert!(error.contains("version 99"), "{error}");
}

#[test]
fn what_is_not_there_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[vec![1, 2, 3]], 60_000);
    let store = TokenStore::open(dir.path(), 1).unwrap();
    let backwards = Range { start: 2, end: 1 };
    for (doc, range) in [
        (0, 2..4),
        (0, 7..9),
        (0, backwards),
        (1, 0..1),
        (u32::MAX, 3..9),
    ] {
        let error = store.tokens(DocId(doc), range).unwrap_err().to_string();
        assert!(error.contains("index.bin` has no tokens"), "{error}");
    }
    assert_eq!(
        (store.len(DocId(1)), store.source(DocId(u32::MAX))),
        (0, "")
    );
}

/// A store of one block with some values of its index changed, and the checksum put right.
fn changed(change: impl Fn(&mut Vec<u8>)) -> Result<TokenStore, StoreError> {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), &[vec![1, 2, 3], vec![4]], 60_000);
    let path = index_path(dir.path());
    let mut index = std::fs::read(&path).unwrap();
    index.truncate(index.len() - DIGEST);
    change(&mut index);
    index.extend_from_slice(&Sha256::digest(&index));
    std::fs::write(&path, index).unwrap();
    TokenStore::open(dir.path(), 1)
}

#[test]
fn an_index_of_wrong_numbers_is_damaged() {
    assert!(changed(|_| ()).is_ok());
    // the header's counts, the documents' ends, their strings, the block's shard, length and place
    for (at, size) in [
        (20, 4),
        (24, 8),
        (32, 8),
        (40, 8),
        (48, 8),
        (HEADER, 8),
        (HEADER + 8, 8),
        (HEADER + 16, 8),
        (HEADER + 24, 4),
        (HEADER + 48, 4),
        (HEADER + 52, 4),
        (HEADER + 56, 8),
    ] {
        for byte in [0x7f, 0xff] {
            let error = changed(|index| index[at..at + size].fill(byte)).err();
            let error = error.map(|error| error.to_string());
            let names_a_file = error.as_ref().is_some_and(|error| error.contains(".bin`"));
            assert!(names_a_file, "{size} bytes at {at}: {error:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn links_are_not_followed_when_a_store_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let mine = dir.path().join("mine.txt");
    std::fs::write(&mine, "years of work").unwrap();
    for name in ["index.bin", "tokens-00000.bin"] {
        let store = dir.path().join(format!("store-{name}"));
        std::fs::create_dir(&store).unwrap();
        std::os::unix::fs::symlink(&mine, store.join(name)).unwrap();
        let mut writer = StoreWriter::create(&store, 10).unwrap();
        let info = DocumentInfo {
            id: "",
            source: "",
            license: "",
        };
        let written = writer
            .push(info, &[TokenId(1)])
            .and_then(|()| writer.finish());
        assert!(written.is_err());
        assert_eq!(std::fs::read(&mine).unwrap(), b"years of work");
    }
}

/// Changes one byte of the index or of the first shard of the store in `dir`; with `fix_digest`, the index's digest is of the changed bytes.
fn corrupt(dir: &Path, at: prop::sample::Index, flip: u8, fix_digest: bool, in_index: bool) {
    let path = if in_index {
        index_path(dir)
    } else {
        dir.join(shard_name(0))
    };
    let mut bytes = std::fs::read(&path).unwrap();
    let at = at.index(bytes.len());
    bytes[at] ^= flip;
    if in_index && fix_digest {
        let body = bytes.len() - DIGEST;
        let digest = Sha256::digest(&bytes[..body]);
        bytes[body..].copy_from_slice(&digest);
    }
    std::fs::write(&path, &bytes).unwrap();
}

proptest! {
    #[test]
    fn corrupt_bytes_give_an_error_or_the_same_tokens(at in any::<prop::sample::Index>(), flip in 1u8..=255, fix_digest in any::<bool>(), in_index in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let documents = [(0..3000).map(|i| i % 50).collect::<Vec<u32>>(), vec![4; 100]];
        write(dir.path(), &documents, 60_000);
        corrupt(dir.path(), at, flip, fix_digest, in_index);
        if let Ok(store) = TokenStore::open(dir.path(), 1) {
            for doc in 0..store.n_documents() as u32 {
                store.info(DocId(doc));
                let _ = store.tokens(DocId(doc), 0..store.len(DocId(doc)));
            }
        }
    }

    #[test]
    fn corrupt_conversations_give_an_error_or_roles(at in any::<prop::sample::Index>(), flip in 1u8..=255, fix_digest in any::<bool>(), in_index in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        write_chat(dir.path(), &[3000, 100]);
        corrupt(dir.path(), at, flip, fix_digest, in_index);
        if let Ok(store) = TokenStore::open(dir.path(), 1) {
            let n_roles = store.role_names().len();
            for doc in (0..store.n_documents() as u32).map(DocId) {
                let _ = store.tokens(doc, 0..store.len(doc));
                if let Ok(Some(roles)) = store.roles(doc, 0..store.len(doc)) {
                    prop_assert!(roles.iter().all(|role| usize::from(role.0) <= n_roles));
                }
            }
        }
    }
}
