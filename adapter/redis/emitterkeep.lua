-- Publishes an event of an emitter, and keeps it where nodes keep theirs: if there
-- is a journal. Number, entry and message are one step, so that all emitters of a
-- namespace are one publisher of the journal, whose numbers have no gap and are in
-- the order in which nodes see them.
--
-- KEYS: the journal; the state of the publisher.
-- ARGV: a fresh name; how long the publisher's name lasts, in ms; the most entries
-- and bytes of the journal; how to publish and where; the channel of all members;
-- the message; the entry, if it is not the message.
-- Returns 1 if the event was kept.
local journal, state = KEYS[1], KEYS[2]
local verb, channel, members, message, entry = ARGV[5], ARGV[6], ARGV[7], ARGV[8], ARGV[9]

if redis.call('EXISTS', journal) == 0 then
  redis.call(verb, channel, message)
  return 0
end

local name = redis.call('HGET', state, 'p')
if not name then
  name = ARGV[1]
  redis.call('HSET', state, 'p', name)
end
local n = redis.call('HINCRBY', state, 'n', 1)

-- stamp adds what only Fanwire reads: {j: number, p: publisher} (extras.go).
local function stamp(b)
  if b:sub(1, 1) == '{' then
    return b:sub(1, -2) .. ',"fanwire":{"j":' .. n .. ',"p":"' .. name .. '"}}'
  end
  local number = string.char(math.floor(n / 16777216) % 256, math.floor(n / 65536) % 256, math.floor(n / 256) % 256, n % 256)
  local map = '\130\161j\206' .. number .. '\161p' .. string.char(160 + #name) .. name
  local head = b:byte(1)
  if head >= 128 and head < 144 then
    map = '\167fanwire' .. map
  end
  return string.char(head + 1) .. b:sub(2) .. map
end

-- Who writes large events keeps the journal short, as nodes do.
local stamped = stamp(message)
local kept = entry == '' and stamped or stamp(entry)
local average = tonumber(redis.call('HGET', state, 'a') or 256)
average = math.floor(average + (#kept + 64 - average) / 16)
redis.call('HSET', state, 'a', average)
redis.call('PEXPIRE', state, ARGV[2])
local most = math.max(1, math.min(tonumber(ARGV[3]), math.floor(tonumber(ARGV[4]) / average)))

redis.call('XADD', journal, 'MAXLEN', '~', string.format('%d', most), '*', 'm', kept)
redis.call(verb, channel, stamped)
redis.call(verb, members, name .. ' ' .. string.format('%d', n) .. ' 0')
return 1
