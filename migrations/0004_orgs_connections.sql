-- Orgs, their hosts, domains, connections, directories and credentials; and what is the platform's own.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.orgs (
    org_id                uuid PRIMARY KEY,
    slug                  text NOT NULL,
    name                  text NOT NULL,
    state                 text NOT NULL CHECK (state IN ('trial', 'active', 'past_due', 'suspended', 'deleted', 'purged')),
    plan                  text NOT NULL,
    region                text NOT NULL,
    scim_adopts           boolean NOT NULL DEFAULT false,
    session_idle_secs     int,
    session_absolute_secs int,
    created_at            timestamptz NOT NULL,
    deleted_at            timestamptz
);
CREATE TABLE vst.org_hosts (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    host       text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, host)
);
CREATE TABLE vst.domains (
    org_id      uuid NOT NULL REFERENCES vst.orgs,
    dom_id      uuid NOT NULL,
    name        text NOT NULL,
    state       text NOT NULL CHECK (state IN ('pending', 'verified')),
    txt_value   text NOT NULL,
    created_at  timestamptz NOT NULL,
    verified_at timestamptz,
    PRIMARY KEY (org_id, dom_id),
    UNIQUE (org_id, name)
);
CREATE TABLE vst.connections (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    con_id     uuid NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('saml', 'oidc')),
    name       text NOT NULL,
    state      text NOT NULL CHECK (state IN ('draft', 'enabled', 'disabled')),
    config     jsonb NOT NULL,
    secret     bytea,
    created_at timestamptz NOT NULL,
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, con_id)
);
CREATE TABLE vst.directories (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    dir_id     uuid NOT NULL,
    name       text NOT NULL,
    provider   text,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, dir_id)
);
-- Bearer credentials by digest. kind scim: the holder is a directory; kind org_key: the org itself.
CREATE TABLE vst.credentials (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    key_id     uuid NOT NULL,
    kind       text NOT NULL CHECK (kind IN ('scim', 'org_key')),
    holder_id  uuid NOT NULL,
    name       text NOT NULL,
    digest     bytea NOT NULL,
    scopes     text[] NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    PRIMARY KEY (org_id, key_id)
);
CREATE INDEX credentials_by_holder ON vst.credentials (org_id, holder_id);

CREATE TRIGGER follow_route AFTER INSERT OR UPDATE ON vst.orgs FOR EACH ROW EXECUTE FUNCTION vst.follow_route();
CREATE TRIGGER follow_route AFTER INSERT OR UPDATE OR DELETE ON vst.org_hosts FOR EACH ROW EXECUTE FUNCTION vst.follow_route();
CREATE TRIGGER follow_route AFTER INSERT OR UPDATE OR DELETE ON vst.domains FOR EACH ROW EXECUTE FUNCTION vst.follow_route();
CREATE TRIGGER follow_route AFTER INSERT OR DELETE ON vst.connections FOR EACH ROW EXECUTE FUNCTION vst.follow_route();
CREATE TRIGGER follow_route AFTER INSERT OR UPDATE OR DELETE ON vst.credentials FOR EACH ROW EXECUTE FUNCTION vst.follow_route();

SELECT vst.enclose('vst.orgs', 'org', 'SELECT, INSERT, UPDATE');
SELECT vst.enclose('vst.org_hosts', 'org', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.domains', 'org', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.connections', 'org', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.directories', 'org', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.credentials', 'org', 'SELECT, INSERT, UPDATE');

-- The platform's own: no customer's data, so no org_id and no policy. The catalogue test lists them.
CREATE TABLE vst.apps (
    app_id                    uuid PRIMARY KEY,
    name                      text NOT NULL,
    audience                  text NOT NULL,
    redirect_uris             text[] NOT NULL,
    post_logout_redirect_uris text[] NOT NULL DEFAULT '{}',
    auth_method               text NOT NULL CHECK (auth_method IN ('none', 'client_secret_basic', 'client_secret_post')),
    secret_digest             bytea,
    all_orgs                  boolean NOT NULL,
    refresh_grace_secs        int NOT NULL,
    created_at                timestamptz NOT NULL
);
CREATE TABLE vst.app_orgs (
    app_id uuid NOT NULL REFERENCES vst.apps ON DELETE CASCADE,
    org_id uuid NOT NULL REFERENCES vst.route_org,
    PRIMARY KEY (app_id, org_id)
);
CREATE TABLE vst.platform_keys (
    key_id     uuid PRIMARY KEY,
    name       text NOT NULL,
    digest     bytea NOT NULL UNIQUE,
    created_at timestamptz NOT NULL,
    revoked_at timestamptz
);
CREATE TABLE vst.platform_secrets (
    name       text PRIMARY KEY,
    sealed     bytea NOT NULL,
    created_at timestamptz NOT NULL
);
CREATE TABLE vst.platform_events (
    evt_id     uuid PRIMARY KEY,
    at         timestamptz NOT NULL,
    actor      text NOT NULL,
    action     text NOT NULL,
    target     text,
    request_id text NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON vst.apps, vst.app_orgs TO vst_app;
GRANT SELECT, INSERT, UPDATE ON vst.platform_keys, vst.platform_secrets TO vst_app;
GRANT SELECT, INSERT ON vst.platform_events TO vst_app;

RESET ROLE;
