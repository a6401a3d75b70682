-- Asks for an exchange with one session token after another.
--
-- wrk … -- FILE PATH FIRST [PAUSE]
--   FILE   session tokens, one after the other, 47 bytes each
--   PATH   the path of every request
--   FIRST  the number of the token to begin with
--   PAUSE  the mean time in milliseconds that a connection rests between two requests; none where absent

local LENGTH = 47
local tokens, head, count, position

function init(args)
  local file = assert(io.open(args[1], "rb"))
  tokens = file:read("*a")
  file:close()
  count = #tokens / LENGTH
  position = tonumber(args[3]) % count
  head = "GET " .. args[2] .. " HTTP/1.1\r\nHost: gateway\r\nCookie: __Host-session="
  local pause = tonumber(args[4] or "0")
  if pause > 0 then
    delay = function()
      return math.floor(2 * pause * math.random() + 0.5)
    end
  end
end

function request()
  local start = position * LENGTH
  position = (position + 1) % count
  return head .. string.sub(tokens, start + 1, start + LENGTH) .. "\r\n\r\n"
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status, lost,
    latency:percentile(50), latency:percentile(99)))
end
