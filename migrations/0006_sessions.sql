-- Sessions, codes, refresh families, revocations. Postgres is the truth, Redis only fast.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.sessions (
    org_id      uuid NOT NULL,
    ses_id      uuid NOT NULL,
    user_id     uuid NOT NULL,
    con_id      uuid NOT NULL,
    digest      bytea NOT NULL,
    rs          bigint NOT NULL,
    acr         text,
    amr         text[] NOT NULL DEFAULT '{}',
    auth_time   timestamptz NOT NULL,
    created_at  timestamptz NOT NULL,
    seen_at     timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    ended_at    timestamptz,
    PRIMARY KEY (org_id, ses_id),
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX sessions_by_digest ON vst.sessions (org_id, digest);
CREATE INDEX sessions_by_user ON vst.sessions (org_id, user_id);

CREATE TABLE vst.codes (
    org_id         uuid NOT NULL,
    digest         bytea NOT NULL,
    ses_id         uuid NOT NULL,
    user_id        uuid NOT NULL,
    app_id         uuid NOT NULL,
    redirect_uri   text NOT NULL,
    code_challenge text NOT NULL,
    nonce          text,
    scope          text NOT NULL,
    rs             bigint NOT NULL,
    expires_at     timestamptz NOT NULL,
    redeemed_at    timestamptz,
    fam_id         uuid,
    PRIMARY KEY (org_id, digest),
    FOREIGN KEY (org_id, ses_id) REFERENCES vst.sessions (org_id, ses_id) ON DELETE CASCADE
);
CREATE INDEX codes_by_session ON vst.codes (org_id, ses_id);

CREATE TABLE vst.refresh_families (
    org_id         uuid NOT NULL,
    fam_id         uuid NOT NULL,
    ses_id         uuid NOT NULL,
    user_id        uuid NOT NULL,
    app_id         uuid NOT NULL,
    scope          text NOT NULL,
    rs             bigint NOT NULL,
    generation     bigint NOT NULL,
    successor_used boolean NOT NULL DEFAULT false,
    rotated_at     timestamptz NOT NULL,
    expires_at     timestamptz NOT NULL,
    ended_at       timestamptz,
    PRIMARY KEY (org_id, fam_id),
    FOREIGN KEY (org_id, ses_id) REFERENCES vst.sessions (org_id, ses_id) ON DELETE CASCADE
);
CREATE INDEX refresh_families_by_session ON vst.refresh_families (org_id, ses_id);
CREATE INDEX refresh_families_by_user ON vst.refresh_families (org_id, user_id);

-- seq is dense per org: the head row is updated last, by whoever revokes, and never by who mints.
CREATE TABLE vst.revocation_heads (
    org_id uuid PRIMARY KEY REFERENCES vst.orgs,
    head   bigint NOT NULL
);
CREATE TABLE vst.revocations (
    org_id uuid NOT NULL,
    seq    bigint NOT NULL,
    scope  text NOT NULL,
    action text NOT NULL CHECK (action IN ('terminate', 'reassert')),
    reason text NOT NULL,
    at     timestamptz NOT NULL,
    PRIMARY KEY (org_id, seq)
);
CREATE INDEX revocations_by_scope ON vst.revocations (org_id, scope, seq DESC);

-- Receipts of a deactivation. No foreign key to the user: a receipt outlives the person's row.
CREATE TABLE vst.deprovisionings (
    org_id         uuid NOT NULL,
    dep_id         uuid NOT NULL,
    user_id        uuid NOT NULL,
    cause          text NOT NULL,
    request_id     text NOT NULL,
    seq            bigint NOT NULL,
    sessions_ended int NOT NULL,
    families_ended int NOT NULL,
    received_at    timestamptz NOT NULL,
    written_at     timestamptz NOT NULL,
    committed_at   timestamptz,
    reached_at     timestamptz,
    dead_after     timestamptz NOT NULL,
    PRIMARY KEY (org_id, dep_id)
);
CREATE INDEX deprovisionings_by_user ON vst.deprovisionings (org_id, user_id, dep_id DESC);

-- What may be used once: assertion ids, ID token nonces.
CREATE TABLE vst.first_uses (
    org_id       uuid NOT NULL,
    single_use_key text NOT NULL,
    until        timestamptz NOT NULL,
    PRIMARY KEY (org_id, single_use_key)
);
CREATE INDEX first_uses_by_end ON vst.first_uses (org_id, until);

SELECT vst.enclose('vst.sessions', 'seat', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.codes', 'seat', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.refresh_families', 'seat', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.revocation_heads', 'org', 'SELECT, INSERT, UPDATE');
SELECT vst.enclose('vst.revocations', 'org', 'SELECT, INSERT');
SELECT vst.enclose('vst.deprovisionings', 'seat', 'SELECT, INSERT, UPDATE');
SELECT vst.enclose('vst.first_uses', 'org', 'SELECT, INSERT, DELETE');

RESET ROLE;
