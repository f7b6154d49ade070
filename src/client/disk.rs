//! Files that are whole or not there, whoever else writes and whenever the power goes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use tempfile::NamedTempFile;

/// Reads a small file; `None` if there is none.
///
/// # Errors
/// Those of reading, and of a file that is longer than `longest` bytes or no text.
pub(super) fn read(path: &Path, longest: u64) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let mut text = String::new();
    file.take(longest + 1).read_to_string(&mut text)?;
    if text.len() as u64 > longest {
        return Err(io::Error::other(format!("is longer than {longest} bytes")));
    }
    Ok(Some(text))
}

/// Makes the folder of a file, for its owner alone.
///
/// # Errors
/// Those of making it.
pub(super) fn make_folder(path: &Path) -> io::Result<&Path> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)?;
    Ok(folder)
}

/// Puts a text in a file's place: written beside it, brought to the disk, renamed over it. Whoever reads gets the old
/// or the new one. A new file is its owner's alone (0600); an old one keeps its mode.
///
/// # Errors
/// Those of writing; the old file is as it was then.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let folder = make_folder(path)?;
    let mut file = NamedTempFile::with_prefix_in(".caro-", folder)?;
    file.write_all(text.as_bytes())?;
    if let Ok(old) = fs::metadata(path) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    // The name as well. Not every file system can do that, and the content is safe without.
    #[cfg(unix)]
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

/// Opens a file to lock it, and makes it if need be. It stays when it is no longer locked: whoever deleted it could
/// delete one that somebody else has locked.
///
/// # Errors
/// Those of opening.
pub(super) fn lock_file(path: &Path) -> io::Result<File> {
    make_folder(path)?;
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
