-- Note that the run of a reservation has been written: from now on, a run that is not there has gone.
-- KEYS: the key
-- ARGV: run id
if redis.call('HGET', KEYS[1], 'run') == ARGV[1] then
  redis.call('HSET', KEYS[1], 'state', 'done')
end
