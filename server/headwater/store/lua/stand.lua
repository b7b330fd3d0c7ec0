-- Where a run stands.
-- KEYS: run
-- ARGV: time
-- Returns {top, status, token, until, created, owner, conversation, expiry, model}, or nil
local has = redis.call(
  'HMGET', KEYS[1], 'top', 'status', 'token', 'until', 'created', 'owner', 'conversation', 'expires', 'model'
)
if not has[1] or expired(has[8], clock(ARGV[1])) then
  return nil
end
return has
