-- People, groups, teams, roles. Names are compared in a normalised column, because under row level
-- security only leakproof operators (text =, ranges) reach an index.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.users (
    org_id         uuid NOT NULL REFERENCES vst.orgs,
    user_id        uuid NOT NULL,
    user_name      text NOT NULL,
    user_name_norm text NOT NULL,
    external_id    text,
    active         boolean NOT NULL,
    email          text,
    email_norm     text,
    display_name   text,
    given_name     text,
    family_name    text,
    attributes     jsonb NOT NULL DEFAULT '{}',
    dir_id         uuid,
    version        bigint NOT NULL DEFAULT 1,
    created_at     timestamptz NOT NULL,
    modified_at    timestamptz NOT NULL,
    PRIMARY KEY (org_id, user_id),
    UNIQUE (org_id, user_name_norm),
    FOREIGN KEY (org_id, dir_id) REFERENCES vst.directories (org_id, dir_id)
);
CREATE INDEX users_by_external_id ON vst.users (org_id, external_id);
CREATE INDEX users_by_email ON vst.users (org_id, email_norm);

-- Which person at which connection holds which seat: the key is connection and subject, never an email.
CREATE TABLE vst.identities (
    org_id     uuid NOT NULL,
    con_id     uuid NOT NULL,
    subject    text NOT NULL,
    user_id    uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, con_id, subject),
    FOREIGN KEY (org_id, con_id) REFERENCES vst.connections (org_id, con_id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX identities_by_user ON vst.identities (org_id, user_id);

CREATE TABLE vst.teams (
    org_id     uuid NOT NULL REFERENCES vst.orgs,
    team_id    uuid NOT NULL,
    slug       text NOT NULL,
    name       text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, team_id),
    UNIQUE (org_id, slug)
);
-- source: 'api', or the mapped group's id: what a group gave, only that group takes away.
CREATE TABLE vst.team_members (
    org_id     uuid NOT NULL,
    team_id    uuid NOT NULL,
    user_id    uuid NOT NULL,
    source     text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, user_id, team_id, source),
    FOREIGN KEY (org_id, team_id) REFERENCES vst.teams (org_id, team_id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX team_members_by_team ON vst.team_members (org_id, team_id);
CREATE TABLE vst.user_roles (
    org_id     uuid NOT NULL,
    user_id    uuid NOT NULL,
    role       text NOT NULL,
    source     text NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (org_id, user_id, role, source),
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE TABLE vst.groups (
    org_id            uuid NOT NULL REFERENCES vst.orgs,
    group_id          uuid NOT NULL,
    dir_id            uuid NOT NULL,
    group_key         text NOT NULL,
    display_name      text NOT NULL,
    display_name_norm text NOT NULL,
    external_id       text,
    version           bigint NOT NULL DEFAULT 1,
    created_at        timestamptz NOT NULL,
    modified_at       timestamptz NOT NULL,
    PRIMARY KEY (org_id, group_id),
    UNIQUE (org_id, dir_id, display_name_norm),
    FOREIGN KEY (org_id, dir_id) REFERENCES vst.directories (org_id, dir_id)
);
CREATE INDEX groups_by_external_id ON vst.groups (org_id, external_id);
CREATE TABLE vst.group_members (
    org_id   uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id  uuid NOT NULL,
    PRIMARY KEY (org_id, group_id, user_id),
    FOREIGN KEY (org_id, group_id) REFERENCES vst.groups (org_id, group_id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX group_members_by_user ON vst.group_members (org_id, user_id);
-- group_key: a SCIM group's own id (grp_…), or the immutable value an identity provider sends at sign-in.
CREATE TABLE vst.group_mappings (
    org_id    uuid NOT NULL REFERENCES vst.orgs,
    group_key text NOT NULL,
    team_id   uuid,
    roles     text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (org_id, group_key),
    FOREIGN KEY (org_id, team_id) REFERENCES vst.teams (org_id, team_id) ON DELETE CASCADE
);

-- Names a directory took away: a sign-in makes no new seat for them.
CREATE TABLE vst.departed (
    org_id    uuid NOT NULL REFERENCES vst.orgs,
    name_norm text NOT NULL,
    at        timestamptz NOT NULL,
    PRIMARY KEY (org_id, name_norm)
);

SELECT vst.enclose('vst.departed', 'org', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.users', 'seat', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.identities', 'seat', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.teams', 'team', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.team_members', 'team', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.user_roles', 'seat', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.groups', 'org', 'SELECT, INSERT, UPDATE, DELETE');
SELECT vst.enclose('vst.group_members', 'seat', 'SELECT, INSERT, DELETE');
SELECT vst.enclose('vst.group_mappings', 'org', 'SELECT, INSERT, DELETE');

RESET ROLE;
