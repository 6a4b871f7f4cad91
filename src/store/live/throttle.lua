-- KEYS the credential's bucket and its org's; ARGV for each, in microseconds: what one request takes, what the
-- bucket holds; then how many requests are wished for. One is let through while there is room for one, more only
-- out of an eighth of what is left. Answers limit, remaining, microseconds until full, microseconds to wait (0: let
-- through), and how many are. The time is Redis's own, so that the clocks of the nodes need not agree.
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])
local takes, filled, tightest = {}, {}, nil
for i = 1, 2 do
    local holds = tonumber(ARGV[2 * i])
    takes[i] = tonumber(ARGV[2 * i - 1])
    filled[i] = math.max(0, tonumber(redis.call('GET', KEYS[i]) or '0') - now)
    local spare = (holds - filled[i]) / takes[i] - 1
    if not tightest or spare < tightest.spare then
        tightest = { spare = spare, takes = takes[i], holds = holds, filled = filled[i] }
    end
end
local limit = math.floor(tightest.holds / tightest.takes)
if tightest.spare < 0 then
    return { limit, 0, math.ceil(tightest.filled), math.ceil(tightest.filled + tightest.takes - tightest.holds), 0 }
end
local granted = math.max(1, math.min(tonumber(ARGV[5]), math.floor(tightest.spare / 8)))
for i = 1, 2 do
    local used = filled[i] + granted * takes[i]
    redis.call('SET', KEYS[i], string.format('%.0f', now + used), 'PX', math.ceil(used / 1000))
end
local after = math.floor(tightest.spare) + 1 - granted
return { limit, after, math.ceil(tightest.filled + granted * tightest.takes), 0, granted }
