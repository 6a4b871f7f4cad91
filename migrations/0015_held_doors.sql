-- Whoever writes by a credential holds its door open until the commit; whoever revokes the credential, or
-- changes the org's state, waits for those inside and lets nobody else in. Advisory locks and not row
-- locks, because these queue in order: a flood of writers does not keep a revocation waiting for ever,
-- and nothing is written to disk for them.
SET LOCAL ROLE vst_owner;

CREATE FUNCTION vst.door(of uuid) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT hashtextextended('door ' || of::text, 0) $$;

-- The org's state while the credential is good, NULL once it is not. VOLATILE: what is read is read after
-- the lock was had. The database's clock, because a request may take as long as its body does.
CREATE FUNCTION vst.hold_door(held uuid) RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(vst.door(vst.current_org()));
    PERFORM pg_advisory_xact_lock_shared(vst.door(held));
    RETURN (SELECT o.state
              FROM vst.credentials c
              JOIN vst.orgs o USING (org_id)
             WHERE c.key_id = held
               AND c.revoked_at IS NULL
               AND (c.expires_at IS NULL OR c.expires_at > clock_timestamp()));
END
$$;

RESET ROLE;
