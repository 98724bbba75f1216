//! Django: `{"model":"auth.user","pk":1,"fields":{…}}`, or the columns of the table.

use super::{Candidate, Fields, Reader, password_hash};

pub(super) fn read(reader: &Reader, record: &Fields<'_>) -> Result<Option<Candidate>, String> {
    let (id, inner) = match record.inner("fields", "/fields") {
        Some(inner) => (record.id("pk"), inner),
        None => (record.id("id"), *record),
    };
    // A dump may have groups and permissions too.
    if !inner.has("password") {
        return Ok(None);
    }
    let (pointer, name) = match (inner.text("username")?, inner.text("email")?) {
        (Some(username), _) => (inner.pointer("username"), username),
        (None, Some(email)) => (inner.pointer("email"), email),
        (None, None) => {
            return Err(format!(
                "{}: is missing, and there is no email either",
                inner.pointer("username")
            ));
        }
    };
    // `set_unusable_password` writes an exclamation mark and something random.
    let hash = inner.text("password")?.filter(|text| !text.starts_with('!'));
    let hash = password_hash(&inner.pointer("password"), hash)?;
    let mut user = Candidate::foreign(id, reader.username(&pointer, name)?, hash);
    user.disabled = inner.flag("is_active")? == Some(false);
    user.scopes = reader.scopes(inner.flag("is_superuser")?.unwrap_or(false));
    user.created_at = inner.time("date_joined")?;
    Ok(Some(user))
}
