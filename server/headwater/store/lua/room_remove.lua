-- Remove a room, unless answers are under way in it. Whatever else lies under its keys goes, too.
-- KEYS: the room's, its marks, when they were made
-- ARGV: channel, news of it
-- Returns 'removed', 'busy' or 'absent'
if redis.call('HEXISTS', KEYS[1], 'top') == 0 then
  return 'absent'
end
if redis.call('HLEN', KEYS[6]) > 0 then
  return 'busy'
end
redis.call('UNLINK', unpack(KEYS))
redis.call('PUBLISH', ARGV[1], ARGV[2])
return 'removed'
