-- Signing keys that rotate, and by which algorithm an app's tokens are signed. The platform's own: no customer's
-- data. A private key is sealed, and gone from the row once it signs no more; the one of before this version
-- is carried over from platform_secrets at the next start, under its name.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.apps
    ADD COLUMN signing_alg text NOT NULL DEFAULT 'ES256' CHECK (signing_alg IN ('ES256', 'EdDSA', 'RS256'));

CREATE TABLE vst.signing_keys (
    kid          text PRIMARY KEY,
    alg          text NOT NULL CHECK (alg IN ('ES256', 'EdDSA', 'RS256')),
    state        text NOT NULL CHECK (state IN ('next', 'current', 'retiring', 'withdrawn')),
    public_jwk   jsonb NOT NULL,
    sealed       bytea,
    made_at      timestamptz NOT NULL,
    signs_at     timestamptz,
    ends_at      timestamptz,
    withdrawn_at timestamptz,
    CHECK ((sealed IS NOT NULL) = (state IN ('next', 'current'))),
    CHECK ((ends_at IS NOT NULL) = (state = 'retiring')),
    CHECK ((withdrawn_at IS NOT NULL) = (state = 'withdrawn'))
);
-- Of one algorithm one key signs and one is next, whatever two nodes do at once.
CREATE UNIQUE INDEX signing_keys_at_work ON vst.signing_keys (alg, state) WHERE state IN ('next', 'current');
GRANT SELECT, INSERT, UPDATE, DELETE ON vst.signing_keys TO vst_app;

-- Who changes the keys holds this row; each node reads its number, and the keys when it is another.
CREATE TABLE vst.signing_keys_head (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    version  bigint NOT NULL DEFAULT 0
);
INSERT INTO vst.signing_keys_head DEFAULT VALUES;
GRANT SELECT, UPDATE ON vst.signing_keys_head TO vst_app;

RESET ROLE;
