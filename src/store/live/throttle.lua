-- KEYS the credential's bucket and its org's; ARGV for each, in microseconds: what one request takes, what the
-- bucket holds. Answers limit, remaining, microseconds until full, microseconds to wait (0: it is let through).
-- The time is Redis's own, so that the clocks of the nodes need not agree.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local used, tightest = {}, nil
for i = 1, 2 do
    local takes, holds = tonumber(ARGV[2 * i - 1]), tonumber(ARGV[2 * i])
    local filled = math.max(0, tonumber(redis.call('GET', KEYS[i]) or '0') - now)
    used[i] = filled + takes
    local spare = (holds - used[i]) / takes
    if not tightest or spare < tightest.spare then
        tightest = { spare = spare, takes = takes, holds = holds, filled = filled }
    end
end
local limit = math.floor(tightest.holds / tightest.takes)
if tightest.spare < 0 then
    return { limit, 0, math.ceil(tightest.filled), math.ceil(tightest.filled + tightest.takes - tightest.holds) }
end
for i = 1, 2 do
    redis.call('SET', KEYS[i], string.format('%.0f', now + used[i]), 'PX', math.ceil(used[i] / 1000))
end
return { limit, math.floor(tightest.spare), math.ceil(tightest.filled + tightest.takes), 0 }
