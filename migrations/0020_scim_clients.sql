-- A directory may fetch its tokens itself (OAuth client credentials): by a secret, of which two may live at
-- once, it gets access tokens of an hour or a few. They end with the secret. And when a credential was
-- last used, to the minute.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.credentials
    DROP CONSTRAINT credentials_kind_check,
    ADD CONSTRAINT credentials_kind_check CHECK (kind IN ('scim', 'scim_secret', 'scim_access', 'org_key')),
    ADD COLUMN parent_id    uuid,
    ADD COLUMN last_used_at timestamptz,
    ADD FOREIGN KEY (org_id, parent_id) REFERENCES vst.credentials (org_id, key_id);
ALTER TABLE vst.route_credential
    DROP CONSTRAINT route_credential_kind_check,
    ADD CONSTRAINT route_credential_kind_check CHECK (kind IN ('scim', 'scim_secret', 'scim_access', 'org_key'));
CREATE INDEX credentials_by_parent ON vst.credentials (org_id, parent_id) WHERE parent_id IS NOT NULL;

-- Fetched tokens are swept when they are over.
GRANT DELETE ON vst.credentials TO vst_app;

-- The route does not change with every use.
DROP TRIGGER follow_route ON vst.credentials;
CREATE TRIGGER follow_route AFTER INSERT OR DELETE OR UPDATE OF digest, kind, holder_id, scopes, expires_at, revoked_at
    ON vst.credentials FOR EACH ROW EXECUTE FUNCTION vst.follow_route();

RESET ROLE;
