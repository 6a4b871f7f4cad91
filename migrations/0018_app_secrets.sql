-- An app's secret is replaced while its servers still know the old one: until the end both are good.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.apps
    ADD COLUMN old_secret_digest bytea,
    ADD COLUMN old_secret_until  timestamptz;

RESET ROLE;
