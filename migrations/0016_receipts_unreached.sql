-- Receipts of revocations that Redis has not heard of yet: the relay completes them.
SET LOCAL ROLE vst_owner;
CREATE INDEX deprovisionings_unreached ON vst.deprovisionings (org_id, seq) WHERE reached_at IS NULL;
RESET ROLE;
