-- Writes a revocation and tells the nodes, in one step: who hears the number n and
-- knew n - 1 has missed nothing.
--
-- KEYS: the revocations, a sorted set by their end in ms; the number of changes.
-- ARGV: the channel; the revocation; its end; the end before which revocations are
-- removed; further ones to be removed.
-- Returns the number of changes.
local list, number = KEYS[1], KEYS[2]
local ends = tonumber(ARGV[3])
redis.call('ZREMRANGEBYSCORE', list, '-inf', '(' .. ARGV[4])
for i = 5, #ARGV do
  redis.call('ZREM', list, ARGV[i])
end
local known = redis.call('ZSCORE', list, ARGV[2])
if known and tonumber(known) > ends then
  ends = tonumber(known)
end
redis.call('ZADD', list, string.format('%.0f', ends), ARGV[2])
local n = redis.call('INCR', number)
local last = redis.call('ZRANGE', list, -1, -1, 'WITHSCORES')[2]
for _, key in ipairs(KEYS) do -- an hour longer, for clocks that differ
  redis.call('PEXPIREAT', key, string.format('%.0f', tonumber(last) + 3600000))
end
redis.call('PUBLISH', ARGV[1], string.format('%.0f', n) .. ' ' .. string.format('%.0f', ends) .. ' ' .. ARGV[2])
return n
