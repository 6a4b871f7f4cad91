-- One subject of a connection on one seat; a mapping outlives its team; who makes seats is said, not assumed.
SET LOCAL ROLE vst_owner;

-- FORCE blinds the owner too.
ALTER TABLE vst.identities NO FORCE ROW LEVEL SECURITY;
ALTER TABLE vst.connections NO FORCE ROW LEVEL SECURITY;

-- Of several subjects of one connection on one seat the first stays: the others came in by its address.
DELETE FROM vst.identities later
 USING vst.identities first
 WHERE first.org_id = later.org_id AND first.user_id = later.user_id AND first.con_id = later.con_id
   AND (first.created_at, first.subject) < (later.created_at, later.subject);
DROP INDEX vst.identities_by_user;
CREATE UNIQUE INDEX identities_by_user ON vst.identities (org_id, user_id, con_id);

-- Until now `jit` was written as true unless somebody said false. Without it, true means: while the org
-- has no directory.
UPDATE vst.connections SET config = config - 'jit' WHERE config -> 'jit' = 'true'::jsonb;

ALTER TABLE vst.identities FORCE ROW LEVEL SECURITY;
ALTER TABLE vst.connections FORCE ROW LEVEL SECURITY;

-- A team that goes takes its place in a mapping along, not the roles that the mapping gives.
ALTER TABLE vst.group_mappings DROP CONSTRAINT group_mappings_org_id_team_id_fkey;
ALTER TABLE vst.group_mappings
    ADD FOREIGN KEY (org_id, team_id) REFERENCES vst.teams (org_id, team_id) ON DELETE SET NULL (team_id);

RESET ROLE;
