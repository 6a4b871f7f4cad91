-- Another name keeps a person out as well as a deactivation does, and a directory may give one to everybody at
-- once: the blast guard counts both. When the directory last took a name from a person by which they sign in.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.users ADD COLUMN renamed_at timestamptz;
CREATE INDEX users_renamed ON vst.users (org_id, dir_id, renamed_at) WHERE renamed_at IS NOT NULL;

-- And a change of a group that takes what it gave from too many.
ALTER TABLE vst.holds
    DROP CONSTRAINT holds_reason_check,
    ADD CONSTRAINT holds_reason_check
        CHECK (reason IN ('share', 'last_administrator', 'role_by_hand', 'group'));

RESET ROLE;
