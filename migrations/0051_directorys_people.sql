-- A person's directory is the one whose credential wrote the row, and whoever writes by it holds its door until the
-- commit (0040); a directory lets go of its people before it goes, after it has waited at that door for whoever is
-- inside. A key to it only made every person of a directory lock its one row, of which each commit kept a list of
-- all who did so at that instant.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.users DROP CONSTRAINT users_org_id_dir_id_fkey;

RESET ROLE;
