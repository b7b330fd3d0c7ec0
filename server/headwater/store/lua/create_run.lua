-- Before the scripts that create a run.
-- ARGV: time, owner, model, conversation or '', body, key of its idempotency key or '',
--       and of a claim, each '' without one: tag, ms, holder; who asked for it, room or ''
local RUN_ARGS = 10

-- Write a run where there is none.
local function create_run(now)
  redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'caller', ARGV[10], 'model', ARGV[3], 'key', ARGV[6], 'created', whole(now),
    'status', 'queued', 'token', '0', 'lease', '0', 'until', '0', 'top', '0-0')
  if ARGV[4] ~= '' then
    redis.call('HSET', KEYS[1], 'conversation', ARGV[4])
  end
  if ARGV[7] ~= '' then
    redis.call('HSET', KEYS[1], 'status', 'in_progress', 'started', whole(now), 'token', '1', 'lease', ARGV[7],
      'until', whole(now + tonumber(ARGV[8])), 'holder', ARGV[9])
  end
  if ARGV[11] ~= '' then
    redis.call('HSET', KEYS[1], 'room', ARGV[11])
  end
  redis.call('SET', KEYS[3], ARGV[5])
end
