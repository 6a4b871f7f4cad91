-- Another name keeps a person out as well as a deactivation does, and a directory may give one to everybody at
-- once: the blast guard counts both. When the directory last took a name from a person by which they sign in.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.users ADD COLUMN renamed_at timestamptz;
CREATE INDEX users_renamed ON vst.users (org_id, dir_id, renamed_at) WHERE renamed_at IS NOT NULL;

RESET ROLE;
