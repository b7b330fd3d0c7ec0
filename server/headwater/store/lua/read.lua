-- A run's log after a position.
-- KEYS: run, log
-- ARGV: time, seq, tag, bytes after which no further entry is read
-- Returns {top, status, '1' if the position joins, {position, payload, position, payload …}}, or nil
local has = redis.call('HMGET', KEYS[1], 'top', 'status', 'expires')
local top = has[1]
if not top or expired(has[3], clock(ARGV[1])) then
  return nil
end
local seq, last = tonumber(ARGV[2]), seq_of(top)
local tag = '0'
if seq > 0 and seq <= last then
  tag = tag_of(covering(KEYS[2], seq) or '')
end
if seq > last or tag ~= ARGV[3] then
  return {top, has[2], '0', {}}
end
return {top, has[2], '1', rows(KEYS[2], seq, last, tonumber(ARGV[4]))}
