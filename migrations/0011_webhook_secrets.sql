-- A webhook's secret is replaced while its receiver still knows the old one: for a day both sign.
SET LOCAL ROLE vst_owner;

ALTER TABLE vst.webhooks
    ADD COLUMN old_secret       bytea,
    ADD COLUMN old_secret_until timestamptz;

RESET ROLE;
