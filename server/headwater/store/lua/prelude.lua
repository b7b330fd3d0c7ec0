-- Before each script. Times are whole milliseconds of Unix time, as text where they are stored.

-- The time by this Redis's clock, unless the caller brings one.
local function clock(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- A number without an exponent, as it is compared and shown.
local function whole(number)
  return string.format('%.0f', number)
end

-- What has expired is not there, whether or not Redis has removed it.
local function expired(at, now)
  return at and tonumber(at) <= now
end

local function ended(status)
  return status ~= 'queued' and status ~= 'in_progress'
end

local function seq_of(position)
  return tonumber(string.match(position, '^(%d+)-'))
end

local function tag_of(position)
  return string.match(position, '-(%d+)$')
end

-- What else is to be done with the end of a room's run: see room_end.lua.
local room_end

-- The position of the entry that covers a seq, or nil.
local function covering(log, seq)
  local found = redis.call('XRANGE', log, whole(seq), '+', 'COUNT', 1)
  return found[1] and found[1][1]
end

-- All keys of a run vanish at one instant.
local function expire_at(at, ...)
  for _, key in ipairs({...}) do
    redis.call('PEXPIREAT', key, at)
  end
end

-- A set that is ordered by time vanishes with the last that is in it.
local function expire_with_last(set)
  local last = redis.call('ZRANGE', set, -1, -1, 'WITHSCORES')
  redis.call('PEXPIREAT', set, whole(tonumber(last[2])))
end
