//! The table `user` of fastapi-users, whose hashes are Argon2id's, or bcrypt's from before its version 13.

use super::{Candidate, Fields, Reader, password_hash};

pub(super) fn read(reader: &Reader, fields: &Fields<'_>) -> Result<Candidate, String> {
    let email = fields.text("email")?.ok_or("/email: is missing")?;
    let hash = password_hash(&fields.pointer("hashed_password"), fields.text("hashed_password")?)?;
    let mut user = Candidate::foreign(fields.id("id"), reader.username(&fields.pointer("email"), email)?, hash);
    user.disabled = fields.flag("is_active")? == Some(false);
    user.scopes = reader.scopes(fields.flag("is_superuser")?.unwrap_or(false));
    Ok(user)
}
