-- KEYS[1] the session, KEYS[2] the org's watermarks. Answers its id, 'dead', or ''.
local s = redis.call('HMGET', KEYS[1], 'ses', 'usr', 'con', 'rs')
if not s[1] then return '' end
local marks = redis.call('HMGET', KEYS[2], 'org', 'usr:' .. s[2], 'ses:' .. s[1], 'con:' .. s[3])
local rs = tonumber(s[4])
for i = 1, 4 do
    if marks[i] and tonumber(marks[i]) > rs then return 'dead' end
end
return s[1]
