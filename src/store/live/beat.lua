-- KEYS[1] the guard; ARGV generation, the least beat. Answers what it finds, and the next beat.
local has = redis.call('HMGET', KEYS[1], 'generation', 'beat')
if not has[1] then return {'empty', 0} end
if has[1] ~= ARGV[1] then return {'replaced', 0} end
if tonumber(has[2]) < tonumber(ARGV[2]) then return {'rewound', 0} end
return {'same', redis.call('HINCRBY', KEYS[1], 'beat', 1)}
