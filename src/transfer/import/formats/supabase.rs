//! The table `auth.users` of Supabase, whose hashes are bcrypt's.

use super::{Candidate, Fields, Reader, password_hash};

pub(super) fn read(reader: &Reader, fields: &Fields<'_>) -> Result<Option<Candidate>, String> {
    if fields.text("deleted_at")?.is_some() || fields.flag("is_anonymous")? == Some(true) {
        return Ok(None);
    }
    let (pointer, name) = match (fields.text("email")?, fields.text("phone")?) {
        (Some(email), _) => (fields.pointer("email"), email),
        (None, Some(phone)) => (fields.pointer("phone"), phone),
        (None, None) => return Err("/email: is missing, and there is no phone either".to_owned()),
    };
    let hash = password_hash(
        &fields.pointer("encrypted_password"),
        fields.text("encrypted_password")?,
    )?;
    let banned = fields.time("banned_until")?.is_some_and(|until| until > reader.now);
    let mut user = Candidate::foreign(fields.id("id"), reader.username(&pointer, name)?, hash);
    user.disabled = banned || is_unconfirmed(fields)?;
    user.scopes = reader.scopes(fields.flag("is_super_admin")?.unwrap_or(false));
    user.created_at = fields.time("created_at")?;
    user.updated_at = fields.time("updated_at")?;
    Ok(Some(user))
}

/// Whether the export has columns for it and none of them says when the address was confirmed: such a user cannot sign
/// in there.
fn is_unconfirmed(fields: &Fields<'_>) -> Result<bool, String> {
    let mut told = false;
    for name in ["email_confirmed_at", "phone_confirmed_at", "confirmed_at"] {
        told |= fields.has(name);
        if fields.text(name)?.is_some() {
            return Ok(false);
        }
    }
    Ok(told)
}
