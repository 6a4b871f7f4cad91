-- A directory that would take away too many people at once is held until an administrator of the org has
-- looked. How many active people an org has is counted as they come and go: on 64 rows, so that those who
-- come at one instant seldom meet.
SET LOCAL ROLE vst_owner;

CREATE TABLE vst.seat_counts (
    org_id uuid NOT NULL REFERENCES vst.orgs,
    part   integer NOT NULL,
    active bigint NOT NULL,
    PRIMARY KEY (org_id, part)
) WITH (fillfactor = 50);

CREATE FUNCTION vst.count_seat() RETURNS trigger
LANGUAGE plpgsql
AS $$
DECLARE
    change int := 0;
BEGIN
    IF TG_OP <> 'INSERT' AND OLD.active THEN change := change - 1; END IF;
    IF TG_OP <> 'DELETE' AND NEW.active THEN change := change + 1; END IF;
    IF change <> 0 THEN
        INSERT INTO vst.seat_counts AS c (org_id, part, active)
        VALUES (COALESCE(NEW.org_id, OLD.org_id), abs(hashtext(COALESCE(NEW.user_id, OLD.user_id)::text)) % 64, change)
        ON CONFLICT (org_id, part) DO UPDATE SET active = c.active + EXCLUDED.active;
    END IF;
    RETURN NULL;
END
$$;

-- Who is here already, counted once: FORCE would hide them from the owner.
ALTER TABLE vst.users NO FORCE ROW LEVEL SECURITY;
INSERT INTO vst.seat_counts (org_id, part, active)
SELECT org_id, 0, count(*) FROM vst.users WHERE active GROUP BY org_id;
ALTER TABLE vst.users FORCE ROW LEVEL SECURITY;

CREATE TRIGGER count_seat AFTER INSERT OR DELETE OR UPDATE OF active ON vst.users
    FOR EACH ROW EXECUTE FUNCTION vst.count_seat();

SELECT vst.enclose('vst.seat_counts', 'org', 'SELECT, INSERT, UPDATE');

-- guard_percent NULL: the guard is off.
ALTER TABLE vst.directories
    ADD COLUMN guard_percent    integer DEFAULT 20 CHECK (guard_percent BETWEEN 1 AND 100),
    ADD COLUMN guard_at_least   integer NOT NULL DEFAULT 10 CHECK (guard_at_least BETWEEN 1 AND 1000000),
    ADD COLUMN guard_open_until timestamptz;

-- Which directory took the person away.
ALTER TABLE vst.deprovisionings ADD COLUMN dir_id uuid;
CREATE INDEX deprovisionings_by_directory ON vst.deprovisionings (org_id, dir_id, received_at) WHERE dir_id IS NOT NULL;

CREATE TABLE vst.holds (
    org_id     uuid NOT NULL,
    hold_id    uuid NOT NULL,
    dir_id     uuid NOT NULL,
    reason     text NOT NULL CHECK (reason IN ('share', 'last_administrator')),
    state      text NOT NULL CHECK (state IN ('open', 'approved', 'refused')),
    most       integer NOT NULL,
    active     bigint NOT NULL,
    opened_at  timestamptz NOT NULL,
    decided_at timestamptz,
    decided_by text,
    until      timestamptz,
    PRIMARY KEY (org_id, hold_id),
    FOREIGN KEY (org_id, dir_id) REFERENCES vst.directories (org_id, dir_id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX holds_open ON vst.holds (org_id, dir_id, reason) WHERE state = 'open';

-- Whom the directory would take away: each asked for again until somebody decides.
CREATE TABLE vst.held_people (
    org_id   uuid NOT NULL,
    hold_id  uuid NOT NULL,
    user_id  uuid NOT NULL,
    first_at timestamptz NOT NULL,
    last_at  timestamptz NOT NULL,
    PRIMARY KEY (org_id, hold_id, user_id),
    FOREIGN KEY (org_id, hold_id) REFERENCES vst.holds (org_id, hold_id) ON DELETE CASCADE,
    FOREIGN KEY (org_id, user_id) REFERENCES vst.users (org_id, user_id) ON DELETE CASCADE
);
CREATE INDEX held_people_by_user ON vst.held_people (org_id, user_id);

SELECT vst.enclose('vst.holds', 'org', 'SELECT, INSERT, UPDATE');
SELECT vst.enclose('vst.held_people', 'seat', 'SELECT, INSERT, UPDATE, DELETE');

RESET ROLE;
