-- Before the scripts that read a log: the entries from the one that covers seq + 1 up to the one with the seq `last`, as
-- position, payload, position, payload …, at least one, and no further one beyond so many bytes.
local function rows(log, seq, last, limit)
  local found, bytes = {}, 0
  while seq < last and bytes < limit do
    local entries = redis.call('XRANGE', log, whole(seq + 1), '+', 'COUNT', 100)
    if not entries[1] then
      break
    end
    for _, entry in ipairs(entries) do
      if seq_of(entry[1]) > last then
        return found -- what lies above the top is not of this log
      end
      local payload = entry[2][2]
      bytes = bytes + #payload
      if bytes > limit and found[1] then
        return found
      end
      found[#found + 1] = entry[1]
      found[#found + 1] = payload
      seq = seq_of(entry[1])
    end
  end
  return found
end
