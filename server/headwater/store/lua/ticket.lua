-- What a ticket stands for; it may be gone with the answer.
-- KEYS: ticket
-- ARGV: time, '1' to use it up
-- Returns payload, or nil
local has = redis.call('HMGET', KEYS[1], 'payload', 'until')
if not has[1] or expired(has[2], clock(ARGV[1])) then
  return nil
end
if ARGV[2] == '1' then
  redis.call('DEL', KEYS[1])
end
return has[1]
