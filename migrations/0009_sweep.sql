-- Each org's turn at the sweep: one row an org, made with the org and moved on at each turn, so that no
-- sign-in has to note that there is work. The nil org is the shelf of answers about no org.
SET LOCAL ROLE vst_owner;

INSERT INTO vst.pending (kind, org_id, item_id, due_at)
SELECT 'sweep', org_id, org_id, now() FROM vst.route_org
 UNION ALL
SELECT 'sweep', '00000000-0000-0000-0000-000000000000', '00000000-0000-0000-0000-000000000000', now();

-- By the API's own POSTs alone: no index here is on a sign-in's path.
CREATE INDEX idempotent_answers_by_end ON vst.idempotent_answers (org_id, until);

RESET ROLE;
