-- An app may prove itself by a key of its own (RFC 7523) instead of a secret: its public keys, and which
-- assertions it has used. The platform's own, no customer's; a `jti` is kept as a digest, so that it is short.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.apps
    DROP CONSTRAINT apps_auth_method_check,
    ADD CONSTRAINT apps_auth_method_check
        CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt')),
    ADD COLUMN jwks jsonb,
    ADD CHECK ((auth_method = 'private_key_jwt') = (jwks IS NOT NULL));

CREATE TABLE vst.app_assertions (
    app_id uuid NOT NULL,
    digest bytea NOT NULL,
    until  timestamptz NOT NULL,
    PRIMARY KEY (app_id, digest)
);
CREATE INDEX app_assertions_by_end ON vst.app_assertions (until);
GRANT SELECT, INSERT, DELETE ON vst.app_assertions TO vst_app;

-- What an app has chosen to have in its access tokens besides.
ALTER TABLE vst.apps ADD COLUMN claims text[] NOT NULL DEFAULT '{}';

RESET ROLE;
