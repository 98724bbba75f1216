//! An auth collection of PocketBase, whose hashes are bcrypt's: in the column `password` since 0.23, in `passwordHash` before.

use super::{Candidate, Fields, Reader, password_hash};

pub(super) fn read(reader: &Reader, fields: &Fields<'_>) -> Result<Option<Candidate>, String> {
    let (pointer, name) = match (fields.text("email")?, fields.text("username")?) {
        (Some(email), _) => (fields.pointer("email"), email),
        (None, Some(username)) => (fields.pointer("username"), username),
        (None, None) => return Err("/email: is missing, and there is no username either".to_owned()),
    };
    let column = if fields.has("passwordHash") {
        "passwordHash"
    } else {
        "password"
    };
    let hash = password_hash(&fields.pointer(column), fields.text(column)?)?;
    let mut user = Candidate::foreign(fields.id("id"), reader.username(&pointer, name)?, hash);
    user.scopes = reader.scopes(fields.text("collectionName")? == Some("_superusers"));
    user.created_at = fields.time("created")?;
    user.updated_at = fields.time("updated")?;
    Ok(Some(user))
}
