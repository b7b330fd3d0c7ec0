-- Before the scripts that make a change to a room: what a `Change` is in ARGV, and how it is made.

-- The change whose arguments begin with the nth: tag, number of events, payload, worker, channel, once or '',
-- number of messages, and for each: id, version, number of its first and its last event, body;
-- then of each turn that begins to wait: id, body.
local function change_at(n)
  local change = {
    tag = ARGV[n], count = ARGV[n + 1] + 0, payload = ARGV[n + 2], worker = ARGV[n + 3], channel = ARGV[n + 4],
    once = ARGV[n + 5], puts = {}, turns = {},
  }
  local turns = n + 7 + 5 * ARGV[n + 6]
  for m = n + 7, turns - 1, 5 do
    change.puts[#change.puts + 1] = {
      id = ARGV[m], version = ARGV[m + 1], first = ARGV[m + 2] + 0, last = ARGV[m + 3] + 0, body = ARGV[m + 4],
    }
  end
  for m = turns, #ARGV - 1, 2 do
    change.turns[#change.turns + 1] = {id = ARGV[m], body = ARGV[m + 1]}
  end
  -- What it makes, and is remembered for, if it is to happen but once.
  change.made = change.puts[1] and change.puts[1].id or ''
  return change
end

-- Why a change is not to be made: {outcome, and where it was stored before, its entry, or the message}; nil if it is.
local function refused(room, change)
  for _, put in ipairs(change.puts) do
    put.old = message(room, put.id)
    if put.old and tag_of(put.old.version) == change.tag then
      return {'stored', unpack(entry_of(room, put.old.version))}
    end
  end
  local used = change.once ~= '' and redis.call('HGET', room.once, change.once)
  for _, put in ipairs(change.puts) do
    if put.old and put.version == '0-0' and (tag_of(put.old.created) == change.tag or put.id == used) then
      return {'stored', unpack(entry_of(room, put.old.created))}
    end
  end
  if used then
    return {'seen', used}
  end
  for _, put in ipairs(change.puts) do
    if (put.old and put.old.version or '0-0') ~= put.version then
      return {'changed'}
    end
  end
  return nil
end

-- Make it. Returns {'stored', position before, position, payload}.
local function make(room, change, now)
  local position = whole(room.seq + change.count) .. '-' .. change.tag
  add(room, position, change.payload, now)
  for n, put in ipairs(change.puts) do
    local version = whole(room.seq + put.last) .. '-' .. change.tag
    if put.old then
      keep(room, put.id, put.body, version, put.old.created, put.old.once)
    else
      local seq = whole(room.seq + put.first)
      redis.call('ZADD', room.order, seq, put.id)
      keep(room, put.id, put.body, version, seq .. '-' .. change.tag, n == 1 and change.once or '')
    end
  end
  if change.once ~= '' then
    redis.call('HSET', room.once, change.once, change.made)
  end
  for _, turn in ipairs(change.turns) do
    local number = redis.call('HINCRBY', room.meta, 'asked', 1)
    redis.call('HSETNX', room.turns, turn.id, number .. ' 0-0 ' .. turn.body)
  end
  local before = room.top
  tell(room, change.channel, change.worker, position, change.payload)
  room.seq = seq_of(position)
  trim(room, now)
  return {'stored', before, position, change.payload}
end

-- The number and the body of a turn that waits; or nil.
local function waits(room, turn)
  return string.match(redis.call('HGET', room.turns, turn) or '', '^(%d+) 0%-0 (.*)$')
end
