-- Signs in again and again: wrk … -- USERNAME PASSWORD

function init(args)
  local body = string.format('{"username":"%s","password":"%s"}', args[1], args[2])
  wrk.method = "POST"
  wrk.path = "/login"
  wrk.body = body
  wrk.headers["Host"] = "gateway"
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["Content-Length"] = #body
  login = wrk.format()
end

function request()
  return login
end

function done(summary, latency)
  local errors = summary.errors
  local lost = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status, lost,
    latency:percentile(50), latency:percentile(99)))
end
