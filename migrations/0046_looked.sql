-- What a reading transaction asks as it opens, in the same message: the org's state while the credential is good,
-- NULL once it is not. As enter_by, but it holds no door: who revokes a credential need not wait for its readers.
SET LOCAL ROLE vst_owner;

CREATE FUNCTION vst.look_by(held uuid) RETURNS text
LANGUAGE plpgsql STABLE
AS $$
BEGIN
    RETURN (SELECT o.state
              FROM vst.credentials c
              JOIN vst.orgs o USING (org_id)
             WHERE c.key_id = held
               AND c.revoked_at IS NULL
               AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp()));
END
$$;

RESET ROLE;
