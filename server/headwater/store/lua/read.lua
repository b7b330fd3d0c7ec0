-- A run's log after a position.
-- KEYS: run, log
-- ARGV: time, seq, tag, bytes after which no further entry is read
-- Returns {top, status, '1' if the position joins, position, payload, position, payload …}, or nil
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
  return {top, has[2], '0'}
end
local found, bytes, limit = {top, has[2], '1'}, 0, tonumber(ARGV[4])
while seq < last and bytes < limit do
  local entries = redis.call('XRANGE', KEYS[2], whole(seq + 1), '+', 'COUNT', 100)
  if not entries[1] then
    break
  end
  for _, entry in ipairs(entries) do
    if seq_of(entry[1]) > last then
      return found -- what lies above the top is not of this log
    end
    local payload = entry[2][2]
    bytes = bytes + #payload
    if bytes > limit and found[4] then
      return found
    end
    found[#found + 1] = entry[1]
    found[#found + 1] = payload
    seq = seq_of(entry[1])
  end
end
return found
