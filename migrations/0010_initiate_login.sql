-- Where an app begins a sign-in by itself (OpenID Connect Core, 4: `initiate_login_uri`): a person who
-- arrives from their company's portal is sent there, and nothing of the arrival is a session.
SET LOCAL ROLE vst_owner;
ALTER TABLE vst.apps ADD COLUMN initiate_login_uri text;
RESET ROLE;
