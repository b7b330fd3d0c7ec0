-- Messages, newest first.
-- KEYS: the room's
-- ARGV: the score below which they lie, how many
return messages(room_at(1), ARGV[1], ARGV[2])
